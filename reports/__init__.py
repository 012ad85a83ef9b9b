"""What is shown: tables and plots, made from records alone."""
