"""Test-time ensembling: mean logits over five crops of each test image, as in LIFT's code.

    views = views_for(task, tte=self.tte)     # before training: it refuses what cannot be cropped
    …
    return dataclasses.replace(predictor, views=views)

A method on images reads the crops themselves, one on features the frozen features of each crop.
"""

from __future__ import annotations

from benchmarks.views import enlarged_size
from methods.base import Task, Views


def views_for(task: Task, *, tte: bool) -> Views:
    """Return the views of test images, and note in the record what they are.

    Args:
        task: provides the backbone.
        tte: average over five crops.

    Raises:
        NotApplicable: the backbone's evaluation transform leaves no room for crops.
    """
    if not tte:
        return "whole"
    side = task.backbone.image_size
    enlarged = enlarged_size(task.backbone.preprocess, side)
    task.note(f"mean logits of five {side}-pixel crops of test images resized to {enlarged}")
    return "five crops"
