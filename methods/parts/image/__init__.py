"""Trained parts of the image tower: adapters, text guidance, fine-tuning in one or two stages.

Imported by methods with `needs="images"`. Start with `finetune.py`, the frame of these methods.
"""
