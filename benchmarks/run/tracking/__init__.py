"""Trackers: TensorBoard, Weights & Biases, MLflow and users' own, which watch a run.

`base.py` says what a tracker is; each of the suite has a file of its name. `trackers.py` keeps them
in processes of their own, and `tracked_display.py` tells them what a run's display is told.
"""
