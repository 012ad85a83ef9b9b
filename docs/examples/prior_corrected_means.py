"""A complete method in one file: nearest class means, shifted towards rare classes.

    python run_benchmarks.py --plugin docs/examples/prior_corrected_means.py \
        --methods ncm,prior_corrected_means --datasets glyphs100_lt
"""

from dataclasses import dataclass

from torch.nn import functional as F

from methods.base import Method, Predictor, Task
from methods.parts.heads.linear_classifiers import class_means
from methods.registry import register


@register("prior_corrected_means", paper="none: an example", needs="features", deterministic=True)
@dataclass(frozen=True)
class PriorCorrectedMeans(Method):
    """Cosine to class means of frozen features, minus a share of the log class frequency."""

    strength: float = 0.1
    """Factor on the log frequency that is subtracted from the logits."""

    def fit(self, task: Task) -> Predictor:
        means = task.backbone.logit_scale * F.normalize(class_means(task), dim=-1)  # (C, D)
        shift = self.strength * task.log_prior  # (C,)
        return Predictor(lambda batch: batch.inputs @ means.T - shift)
