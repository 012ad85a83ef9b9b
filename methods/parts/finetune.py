"""The frame of methods that train parts of the image tower: tower, head and training in one place.

    tower = AdaptedViT(visual, [Slots(mlp=…, attention=…) for each block])   # parts/vit.py
    return finetune(task, tower, text_head(task), loss, recipe)

The head reads the pooled output before the CLIP projection, as LIFT's does.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from methods.base import Predictor, Task, TextSource
from methods.parts.heads import CosineHead
from methods.parts.training import ONLY, Loss, Recipe, Stage, train
from methods.parts.vit import AdaptedClassifier, AdaptedViT, project_to_width, vit


def shape(visual: Any) -> tuple[int, int]:
    """(W, L): width and number of blocks of a tower."""
    return visual.conv1.out_channels, len(visual.transformer.resblocks)


def text_head(task: Task, text: TextSource = "names") -> CosineHead:
    """A cosine head that starts at the projected text features (C, W) of one template, as LIFT."""
    features = task.text_features(text, ensemble=False)
    return CosineHead(project_to_width(vit(task.backbone), features))


def finetune(
    task: Task,
    tower: AdaptedViT,
    head: nn.Module,
    loss: Loss,
    recipe: Recipe,
    stage: Stage = ONLY,
) -> Predictor:
    """Train a tower and a head together on the training images.

    Args:
        task: what to train on.
        tower: its trained parts start where they are.
        head: (B, W) -> (B, C).
        loss: see `training.Loss`.
        recipe: see `training.Recipe`.
        stage: see `training.Stage`.
    """
    return train(task, AdaptedClassifier(tower, head), loss, recipe, "images", stage)
