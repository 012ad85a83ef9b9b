"""Text guidance of a ViT's tokens: the guiding texts, and the attention of tokens to them.

This is our reconstruction of Sage's SG-Adapter. According to the abstract, class descriptions guide
the visual encoder through the attention mechanism. C texts, D joint space, W width of the tower, a
attention width, n tokens.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.glyphs import world
from benchmarks.towers import image
from methods.base import Task, TextSource

GuideSource = Literal["own", "random", "foreign"]
TEMPERATURE = 10.0
"""Initial factor on the cosines of queries and keys; learned."""


def guides(task: Task, text: TextSource, source: GuideSource, limit: int) -> Tensor:
    """(C', D) features of the guiding texts, C' <= `limit`.

    Attention over a set does not depend on its order, so shuffling descriptions among classes is
    not a control. `random` and `foreign` are the controls.

    Args:
        task: texts and backbone.
        text: kind of a class's texts.
        source: `own`: texts of the data set's classes; `random`: Gaussian features with the mean,
            covariance and norm of the own ones; `foreign`: descriptions of other things (drawn
            glyphs that the data set does not contain), as many as there are classes.
        limit: more texts than this are pooled to this number, see `pooled`.
    """
    own = task.text_features(text, ensemble=False)
    if source == "random":
        own = lookalikes(own, task.normal_per_class("guides", own.shape[1]))
    elif source == "foreign":
        template = task.texts.templates[0]
        own = task.text_cache([template.format(t) for t in foreign_texts(task)]).to(task.device)
    return pooled(own, limit)


def foreign_texts(task: Task) -> list[str]:
    """Descriptions of drawn glyphs that are not classes of the data set, at most one per class."""
    taken = set(task.texts.descriptions or ())
    free = [
        number
        for number in range(world.COMBINATIONS)
        if not taken & {world.describe(number, form) for form in range(world.forms())}
    ]
    wanted = min(task.num_classes, len(free))
    # Evenly spaced numbers vary shape, colour and texture: adjacent numbers share their shape.
    return [world.description(free[i * len(free) // wanted]) for i in range(wanted)]


def lookalikes(features: Tensor, noise: Tensor) -> Tensor:
    """(C, D) random features with the mean, covariance and norms of `features`.

    Args:
        features: (C, D).
        noise: (C, D) standard normal numbers.
    """
    mean = features.mean(0)
    _, spread, axes = torch.linalg.svd(features - mean, full_matrices=False)
    # The symmetric root of the covariance: the axes' signs, which are arbitrary, drop out.
    root = axes.T * (spread / math.sqrt(len(features))) @ axes  # (D, D)
    like: Tensor = F.normalize(mean + noise @ root, dim=-1) * features.norm(dim=-1).mean()
    return like


def pooled(features: Tensor, limit: int, rounds: int = 10) -> Tensor:
    """At most `limit` features that represent all (C, D), by k-means on the sphere.

    The initial centres are the feature nearest to the mean and then, repeatedly, the one farthest
    from all chosen ones: nothing is random, and the order of the classes does not matter.
    """
    if len(features) <= limit:
        return features
    unit = F.normalize(features, dim=-1)
    nearest = unit @ F.normalize(unit.mean(0), dim=0)  # (C,) cosine to the closest chosen one
    chosen = [int(nearest.argmax())]
    nearest = unit @ unit[chosen[0]]
    while len(chosen) < limit:
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, unit @ unit[chosen[-1]])
    centres = unit[chosen]  # (limit, D)
    for _ in range(rounds):
        sums = torch.zeros_like(centres).index_add_(0, (unit @ centres.T).argmax(1), unit)
        # A centre without members does not move.
        centres = F.normalize(torch.where(sums.any(1, keepdim=True), sums, centres), dim=-1)
    return centres


class TextAttention(nn.Module):
    """softmax(temperature * cos(Q x, K t)) V t over the guiding texts t: (n, W) -> (n, a).

    Raw text features of a data set are nearly parallel, so attention over them is nearly uniform
    (entropy 0.999 of its maximum) and its output nearly constant: they are centred and scaled
    first. Queries and keys start as the projection to the joint space, reduced to the principal
    axes of the texts, so that tokens attend to similar descriptions before anything is learned. (In
    towers with attention pooling: the projection of a token that the pooling attends to alone.)

    Args:
        visual: the tower whose tokens are the queries.
        texts: (C, D) features.
        width: a; axes beyond the rank of the texts start at zero.
    """

    texts: Tensor

    def __init__(self, visual: Any, texts: Tensor, width: int) -> None:
        super().__init__()
        centred = texts - texts.mean(0)
        rms = centred.square().mean().sqrt().clamp(min=1e-6)
        self.register_buffer("texts", centred / rms, persistent=False)
        axes = _main_axes(self.texts, width)  # (a, D)
        _, to_joint = image.reader(visual).to_joint()  # (W, D)
        dim, tower_width = texts.shape[1], to_joint.shape[0]
        self.query = nn.Linear(tower_width, width, bias=False)
        self.key = nn.Linear(dim, width, bias=False)
        self.value = nn.Linear(dim, width, bias=False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        with torch.no_grad():
            self.query.weight.copy_(axes @ to_joint.detach().to(axes).T)
            self.key.weight.copy_(axes)
            self.value.weight.copy_(axes)

    def weights(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """(n, C) attention weights of tokens (n, W) over the texts, in full precision.

        Args:
            x: normed tokens; standardised ones where `norm` is given.
            norm: norm whose gain and shift are applied first.
        """
        query, bias = self.query.weight, None
        if norm is not None:
            query, bias = query * norm.weight, (query @ norm.bias).to(x.dtype)
        q = F.linear(x, query.to(x.dtype), bias)
        with torch.autocast(x.device.type, enabled=False):
            k = F.normalize(self.key(self.texts), dim=-1)
            q = F.normalize(q.to(k.dtype), dim=-1)
            return (q @ (self.log_temperature.exp() * k).T).softmax(-1)

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """(n, W) tokens -> (n, a), see `weights`."""
        with torch.autocast(x.device.type, enabled=False):
            values = self.value(self.texts).to(x.dtype)  # (C, a)
        out: Tensor = self.weights(x, norm).to(x.dtype) @ values
        return out


def _main_axes(texts: Tensor, width: int) -> Tensor:
    """(width, D) principal axes of centred texts; missing axes are zero."""
    _, spread, axes = torch.linalg.svd(texts, full_matrices=False)
    # Axes of zero variance are arbitrary and would change with the order of the classes.
    axes = axes[spread > 1e-4 * spread.max()][:width]
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return F.pad(axes * signs, (0, 0, 0, width - len(axes)))


class CrossAttention(nn.Module):
    """In parallel to the MLP: Up(attention over the texts), with Up starting at zero.

    Like AdaptFormer it has its own layer norm. The norm starts as a copy of the tower's last one,
    which the projection to the joint space expects.
    """

    def __init__(self, visual: Any, texts: Tensor, width: int) -> None:
        super().__init__()
        tower = image.reader(visual)
        self.norm = nn.LayerNorm(tower.width)
        last, _ = tower.to_joint()
        if last is not None:
            self.norm.load_state_dict(last.state_dict())
        self.attention = TextAttention(visual, texts, width)
        self.up = nn.Linear(width, tower.width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) standardised tokens -> (n, W); zero at initialisation."""
        return F.linear(self.attention(x, self.norm), self.up.weight.to(x.dtype))


class KeyValueAttention(nn.Module):
    """In parallel to the self-attention: tanh(gate) times a separate attention over the texts.

    The gate starts at 0 and the output projection does not, otherwise the gate would never get a
    gradient. Keys added to the block's own softmax would not be neutral: they take mass from the
    tokens even if their values are zero.

    Args:
        visual: the tower.
        texts: (C, D).
        width: a.
        seed: key of the initial output projection.
    """

    def __init__(self, visual: Any, texts: Tensor, width: int, seed: int) -> None:
        super().__init__()
        self.attention = TextAttention(visual, texts, width)
        self.out = nn.Linear(width, image.reader(visual).width, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))
        nn.init.xavier_normal_(self.out.weight, generator=randomness.generator(seed, "text out"))

    def forward(self, x: Tensor, tokens: int) -> Tensor:
        """(B * T, W) normed tokens -> (B * T, W); zero at initialisation."""
        out = self.gate.tanh() * self.out.weight
        return F.linear(self.attention(x), out.to(x.dtype))
