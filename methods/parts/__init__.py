"""Code that several methods share: losses, classifiers, training, and parts of the two towers.

Imported by methods and plug-ins; imports no method. Start with `training/loop.py`, the training
loop that nearly all methods use.
"""
