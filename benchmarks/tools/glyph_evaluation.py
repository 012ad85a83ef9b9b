"""Accuracies of the embedded backbone that its training log reports."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.datasets.base import ArrayImages, DataSet, Split, Texts
from benchmarks.glyphs import ASSETS, PREPROCESS
from benchmarks.glyphs.tokenizer import GlyphTokenizer

PROMPTS: dict[str, Callable[[str, str], str]] = {
    "names": lambda name, description: name,
    "descriptions": lambda name, description: description,
    "both": lambda name, description: f"{name}, {description}",
}
"""Texts that replace `{}` in a template."""


def load_model() -> open_clip.CLIP:
    """Return the shipped backbone in fp32 on the CPU, in evaluation mode."""
    open_clip.add_model_config(ASSETS)
    weights = ASSETS / "glyph.safetensors"
    return open_clip.create_model("glyph", pretrained=str(weights)).float().eval()


def normalise(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Convert (N, 32, 32, 3) uint8 to the (N, 3, 32, 32) floats that the model takes."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(PREPROCESS[key], device=device) for key in ("mean", "std"))
    return (pixels - mean[:, None, None]) / std[:, None, None]


@torch.no_grad()
def image_features(model: open_clip.CLIP, split: Split) -> torch.Tensor:
    """Return (N, D) normalised features of a split that is in memory."""
    assert isinstance(split.images, ArrayImages)
    device = next(model.parameters()).device
    parts = np.array_split(split.images.array, max(1, len(split) // 256))
    return torch.cat(
        [model.encode_image(normalise(part, device), normalize=True) for part in parts]
    )


@torch.no_grad()
def class_features(
    model: open_clip.CLIP, tokenizer: GlyphTokenizer, texts: Texts, prompt: str
) -> torch.Tensor:
    """Return (C, D) normalised means of each class's prompts over the templates."""
    assert texts.descriptions is not None
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    for template in texts.templates:
        filled = [
            template.format(PROMPTS[prompt](name, description))
            for name, description in zip(texts.class_names, texts.descriptions, strict=True)
        ]
        total = total + model.encode_text(tokenizer(filled).to(device), normalize=True)
    return F.normalize(total, dim=-1)


def linear_probe(
    features: torch.Tensor, labels: NDArray[np.int64], classes: int, steps: int = 400
) -> torch.Tensor:
    """Return (D + 1, C) weights of softmax regression with logit adjustment, trained on all images.

    The last row is the bias. The counts are added as log-frequencies in training only.
    """
    x = F.pad(features, (0, 1), value=0.1)
    y = torch.from_numpy(labels).to(x.device)
    prior = torch.bincount(y, minlength=classes).clamp(min=1).log()
    weights = torch.zeros(x.shape[1], classes, device=x.device, requires_grad=True)
    optimiser = torch.optim.AdamW([weights], lr=0.3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = F.cross_entropy(x @ weights + prior, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return weights.detach()


def probe_logits(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return (N, C) logits of a linear probe."""
    return F.pad(features, (0, 1), value=0.1) @ weights


def class_accuracy(logits: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (C,) percentages of each class's images that are classified correctly."""
    right = (logits.argmax(1).cpu().numpy() == labels).astype(np.float64)
    counts = np.bincount(labels, minlength=logits.shape[1])
    return 100 * np.bincount(labels, right, minlength=logits.shape[1]) / np.maximum(counts, 1)


def group_means(
    accuracy: NDArray[np.float64], masks: dict[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """Mean accuracy over the classes of each mask that has any."""
    return {
        name: round(float(accuracy[mask].mean()), 1) for name, mask in masks.items() if mask.any()
    }


def figures(
    model: open_clip.CLIP, tokenizer: GlyphTokenizer, data: DataSet, split: Split
) -> dict[str, dict[str, float]]:
    """Accuracies on `split`: zero-shot for each kind of prompt, and a linear probe.

    Each is a mean over classes: of all, of those with names that pre-training covered or hardly
    trained, and of the many-, medium- and few-shot ones.
    """
    covered, counts = data.facts["covered"], data.counts
    masks = {
        "all": np.ones_like(covered),
        "covered": covered,
        "hardly trained": ~covered,
        "many": counts > 100,
        "medium": (counts >= 20) & (counts <= 100),
        "few": counts < 20,
    }
    features = image_features(model, split)
    rows = {}
    for prompt in PROMPTS:
        logits = features @ class_features(model, tokenizer, data.texts, prompt).T
        rows[f"zero-shot, {prompt}"] = logits
    weights = linear_probe(image_features(model, data.train), data.train.labels, data.num_classes)
    rows["linear probe"] = probe_logits(features, weights)
    return {
        name: group_means(class_accuracy(logits, split.labels), masks)
        for name, logits in rows.items()
    }
