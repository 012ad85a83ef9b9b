"""Adapters: small trainable modules inside a frozen ViT. W width, d bottleneck."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.towers.blocks import standardised

Start = Literal["kaiming_normal", "kaiming_uniform"]
"""Distribution of Down's initial weights, both with a = sqrt(5): the first is that of LIFT's code,
the second that of LIFT+'s. The standard deviation is 1 / sqrt(3W) in both."""


def bottleneck_rule(classes: int, blocks: int, matrices: int = 2) -> int:
    """LIFT's bottleneck: 2^max(0, floor(log2(K / mL))) for K classes and L blocks.

    Args:
        classes: K.
        blocks: L.
        matrices: m, matrices of the adapter in a block whose size is width times bottleneck. LIFT's
            code has 2 for all adapters, LIFT+'s has 4 for low-rank updates of queries and values,
            and 1 for prompts, whose number it then is.
    """
    return 1 << max(0, math.floor(math.log2(classes / (matrices * blocks))))


class Slots(nn.Module):
    """Trained parts of one block of a ViT; a slot may be empty. n tokens of any images.

    The block reads x, computes h = x + Attn(LN1(x)) and returns h + MLP(LN2(h)).

    Args:
        attention: a(LN1(x), T) is added to h, in parallel to the self-attention and from the same
            input: (n, W) -> (n, W). T is the number of tokens per image; rows of one image are
            adjacent. The last block of a tower with class-token pooling passes only class tokens,
            with T = 1, because no other token is read any more.
        query: added to the self-attention's queries, (n, W) -> (n, W), from LN1(x).
        key: added to its keys, likewise.
        value: added to its values, likewise.
        prompts: (P, W) additional tokens that attention reads in this block only.
        up: added to the MLP's hidden layer before the activation, (n, W) -> (n, 4 W), from LN2(h).
        down: added to the MLP's output, (n, 4 W) -> (n, W), from the hidden layer after the
            activation (and the norm that EVA has there).
        after_mlp: reads the MLP's output and is added to it, (n, W) -> (n, W).
        mlp: added to the block's output in parallel to the MLP, (n, W) -> (n, W). It reads h
            standardised (mean 0, variance 1 per token), which is computed once for the MLP and for
            this slot; it applies gain and shift of its own norm itself.

    A part computes in the number type of its input, or runs under autocast.
    """

    def __init__(
        self,
        *,
        attention: nn.Module | None = None,
        query: nn.Module | None = None,
        key: nn.Module | None = None,
        value: nn.Module | None = None,
        prompts: nn.Parameter | None = None,
        up: nn.Module | None = None,
        down: nn.Module | None = None,
        after_mlp: nn.Module | None = None,
        mlp: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.query = query
        self.key = key
        self.value = value
        self.prompts = prompts
        self.up = up
        self.down = down
        self.after_mlp = after_mlp
        self.mlp = mlp

    @property
    def read_normed(self) -> bool:
        """True if a part reads LN1(x)."""
        parts = (self.attention, self.query, self.key, self.value)
        return any(part is not None for part in parts)


class Adapter(nn.Module):
    """Up(ReLU(Down(LN(x)))), a bottleneck (Houlsby et al. 2019, arXiv 1902.00751).

    As in LIFT's code: it has its own layer norm, biases and Up start at zero.

    Args:
        width: W.
        bottleneck: d.
        seed: key of the initial values.
        start: distribution of Down.
    """

    def __init__(
        self, width: int, bottleneck: int, seed: int, start: Start = "kaiming_normal"
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        drawn = nn.init.kaiming_normal_ if start == "kaiming_normal" else nn.init.kaiming_uniform_
        drawn(self.down.weight, a=math.sqrt(5), generator=randomness.generator(seed, "adaptformer"))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W); zero at initialisation."""
        return self.of_standardised(
            standardised(x, self.norm.eps), torch.ones_like(self.up.bias[0])
        )

    def of_standardised(self, x: Tensor, scale: Tensor) -> Tensor:
        """(n, W) -> (n, W): scale * Up(ReLU(Down(gain * x + shift))) of standardised tokens x.

        Gain, shift and scale are folded into the small weights instead of applied to the tokens.
        """
        down = self.down.weight * self.norm.weight
        bias = self.down.bias + self.down.weight @ self.norm.bias
        hidden = F.relu(F.linear(x, down.to(x.dtype), bias.to(x.dtype)))  # (n, d)
        up, shift = scale * self.up.weight, scale * self.up.bias
        return F.linear(hidden, up.to(x.dtype), shift.to(x.dtype))


class AdaptFormer(Adapter):
    """s * Up(ReLU(Down(LN(x)))), parallel to the MLP (Chen et al. 2022, arXiv 2205.13535).

    An `Adapter` whose scale s is learned and starts at 1, as in LIFT's code. Its input is already
    standardised.
    """

    def __init__(
        self, width: int, bottleneck: int, seed: int, start: Start = "kaiming_normal"
    ) -> None:
        super().__init__(width, bottleneck, seed, start)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W); zero at initialisation."""
        return self.of_standardised(x, self.scale)


class LowRank(nn.Module):
    """x A B / s, a rank-d update of a weight (LoRA: Hu et al. 2021, arXiv 2106.09685).

    By default as in LIFT's code: s = d, no bias, B starts at zero, A uniform within ±1 / sqrt(d).

    Args:
        width: W.
        rank: d.
        seed: key of the initial values.
        out: W', width of the output; None: W.
        divisor: s; None: d.
        reach: largest initial number of A; None: 1 / sqrt(d).
        dropout: share of the numbers of x that are dropped in training.
    """

    def __init__(
        self,
        width: int,
        rank: int,
        seed: int,
        out: int | None = None,
        *,
        divisor: float | None = None,
        reach: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        reach = rank**-0.5 if reach is None else reach
        start = torch.rand(width, rank, generator=randomness.generator(seed, "low rank"))
        self.a = nn.Parameter((2 * start - 1) * reach)
        self.b = nn.Parameter(torch.zeros(rank, width if out is None else out))
        self.divisor = rank if divisor is None else divisor
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W'); zero at initialisation."""
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        b = self.b / self.divisor
        return x @ self.a.to(x.dtype) @ b.to(x.dtype)


def prompt_tokens(width: int, patch: int, length: int, seed: int) -> nn.Parameter:
    """(P, W) prompt tokens, uniform (VPT: Jia et al. 2022, arXiv 2203.12119).

    Args:
        width: W.
        patch: side of a patch in pixels; with W it sets the range, Xavier's for the patch
            embedding.
        length: P.
        seed: key of the initial values.
    """
    reach = math.sqrt(6 / (3 * patch**2 + width))
    start = torch.rand(length, width, generator=randomness.generator(seed, "prompts"))
    return nn.Parameter((2 * start - 1) * reach)


class Sum(nn.Module):
    """Sum of the outputs of parallel adapters."""

    def __init__(self, *adapters: nn.Module) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(adapters)

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W)."""
        first, *others = self.adapters
        out: Tensor = first(x)
        for adapter in others:
            out = out + adapter(x)
        return out
