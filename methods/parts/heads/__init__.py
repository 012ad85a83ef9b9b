"""Classifiers on features, and what sets them up: priors, prototypes, calibration.

Imported by methods and by the parts of the towers. Start with `linear_classifiers.py`.
"""
