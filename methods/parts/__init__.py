"""What several methods share: the training loop, losses, heads, adapters, the prompt learner."""
