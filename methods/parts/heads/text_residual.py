"""A text classifier plus a learned residual, scale * cos(x, t_c + alpha r_c).

C classes, D features, B samples.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from methods.base import Batch, Task, TextSource


def raw_text_features(task: Task, source: TextSource, *, ensemble: bool) -> Tensor:
    """(C, D) text features with the lengths that the text tower gives them.

    A step from t_c turns the classifier by an angle that falls with the length of t_c, about 10 in
    CLIP: published learning rates and penalties are for features of that length. The direction is
    that of `Task.text_features`, the length that of the first template's feature.
    """
    directions = task.text_features(source, ensemble=ensemble)
    prompts = [group[0] for group in task.prompts(source, ensemble=False)]
    lengths: Tensor = task.backbone.encode_text(prompts, unit=False).norm(dim=-1)
    return directions * lengths.to(directions)[:, None]


class TextResidual(nn.Module):
    """scale * cos(x, t_c + alpha r_c) with learned residuals r_c that start at 0.

    Args:
        texts: (C, D) frozen text features t_c, of any length.
        scale: factor on the cosines.
        alpha: factor on the residuals.
    """

    texts: Tensor

    def __init__(self, texts: Tensor, *, scale: float, alpha: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("texts", texts, persistent=False)
        self.residual = nn.Parameter(texts.new_zeros(texts.shape))
        self.scale = scale
        self.alpha = alpha

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        weight = F.normalize(self.texts + self.alpha * self.residual, dim=-1)
        logits: Tensor = self.scale * (batch.inputs @ weight.mT)
        return logits
