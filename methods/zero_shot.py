"""Zero-shot CLIP: cosine similarity to a prompt ensemble (Radford et al. 2021, section 3.1).

On multi-label data a score is a logit of its own, and SigLIP's logit bias is part of it: with the
bias its sigmoid is the model's probability that the image shows the class (Zhai et al. 2023, arXiv
2303.15343). One constant for all images and classes changes no ranking, no average precision and no
softmax, so single-label logits go without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.registry import register


@register(
    "zero_shot",
    paper="Radford et al. 2021, arXiv 2103.00020",
    needs="features",
    tasks=("single", "multi"),
    deterministic=True,
)
@dataclass(frozen=True)
class ZeroShot(Method):
    """Zero-shot CLIP with the data set's prompt ensemble; nothing is trained."""

    text: TextSource = "names"
    """Texts that fill the prompt: class names, descriptions, or both."""
    ensemble: bool = True
    """Average the features of all templates; otherwise use only the first."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    def fit(self, task: Task) -> Predictor:
        views = views_for(task, tte=self.tte)
        weight = task.backbone.logit_scale * task.text_features(self.text, ensemble=self.ensemble)

        bias = task.backbone.logit_bias if task.kind == "multi" else None

        def logits(batch: Batch) -> Tensor:
            scaled = batch.inputs @ weight.T
            return scaled if bias is None else scaled + bias

        return Predictor(logits, views=views, uncalibrated=logits)
