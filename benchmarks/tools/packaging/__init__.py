"""The build backend: what `pip install` may do with the checkout (`checkout_only.py`)."""
