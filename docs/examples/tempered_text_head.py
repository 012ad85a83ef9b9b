"""A trained method in one file: the text head with one learned offset per class.

    python run_benchmarks.py --plugin docs/examples/tempered_text_head.py \
        --methods zero_shot,tempered_text_head --datasets glyphs100_lt
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.training.loop import Schedule, train
from methods.registry import register


@register("tempered_text_head", paper="none: an example", needs="features")
@dataclass(frozen=True)
class TemperedTextHead(Method):
    """Zero-shot logits with a learned temperature and an offset for each class."""

    text: TextSource = "both"
    """Texts of the prompts: class names, descriptions, or both."""
    lr: float = 0.1
    epochs: int = 5
    batch_size: int = 128

    def fit(self, task: Task) -> Predictor:
        def loss(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
            shifted = logits + task.log_prior  # logit adjustment, (B, C)
            return F.cross_entropy(shifted, labels, reduction="none")  # one per sample, (B,)

        module = Tempered(task.text_features(self.text), task.backbone.logit_scale)
        schedule = Schedule(self.epochs, self.batch_size, self.lr)
        return train(task, module, loss, schedule, "features")


class Tempered(nn.Module):
    """exp(t) * scale * cos(x, text_c) + b_c."""

    def __init__(self, texts: Tensor, scale: float) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(len(texts)))
        self.register_buffer("weight", scale * texts, persistent=False)  # frozen

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        return self.temperature.exp() * batch.inputs @ self.weight.T + self.offset
