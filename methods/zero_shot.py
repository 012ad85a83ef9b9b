"""Zero-shot CLIP: cosine similarity to a prompt ensemble (Radford et al. 2021, section 3.1)."""

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

        def logits(batch: Batch) -> Tensor:
            return batch.inputs @ weight.T

        return Predictor(logits, views=views, uncalibrated=logits)
