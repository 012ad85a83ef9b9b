"""Changes of a tower's own linear layers and norms: scale and shift, and single trained weights.

A change is a module that computes a layer's weight and bias from the frozen ones in every pass.
Afterwards they are folded like any others (`benchmarks.towers.folding`), so that the pass over the
tokens takes as long as without the change.

    AdaptedViT(visual, changes=scaled_and_shifted(visual, ("attention", "mlp", "norms"), seed))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks import randomness
from benchmarks.errors import NotApplicable
from benchmarks.towers import image

Part = Literal["attention", "mlp", "norms"]
"""Linear layers of the self-attention or of the MLP, or layer norms, of all blocks."""


class Weights(NamedTuple):
    """Names of the parameters of a linear layer or norm."""

    weight: str
    bias: str | None
    block: int
    place: str
    """Name of the weight in its block."""


def weights(visual: Any, part: Part) -> Iterator[Weights]:
    """The linear layers or norms of a tower from `vit` that belong to a part.

    Args:
        visual: the tower.
        part: see `Part`.
    """
    tower = image.reader(visual)
    for i, block in enumerate(tower.blocks):
        known = dict(block.named_parameters())
        if part == "norms":
            norms = [n for n, module in block.named_modules() if isinstance(module, nn.LayerNorm)]
            names = [f"{name}.weight" for name in norms]
        else:
            start = {"attention": "attn.", "mlp": "mlp."}[part]
            names = [
                name for name, parameter in known.items()
                if name.startswith(start) and name.endswith("weight") and parameter.ndim == 2
            ]  # fmt: skip
        for name in names:
            bias = f"{name.removesuffix('weight')}bias"
            start = f"{tower.prefix}{i}."
            yield Weights(start + name, start + bias if bias in known else None, i, name)


class Changes(nn.Module):
    """Weights and biases that replace frozen ones of a tower.

    Args:
        changes: by weights, modules (weight, bias) -> (weight, bias).
    """

    def __init__(self, changes: Mapping[Weights, nn.Module]) -> None:
        super().__init__()
        self.modules_of_layers = nn.ModuleList(changes.values())
        self._layers = list(changes)

    def within(self, visual: Any, function: Callable[[Any], Tensor]) -> Tensor:
        """The value of a function of the changed tower; the tower is not changed afterwards.

        Args:
            visual: the tower.
            function: applied to it.
        """
        frozen = dict(visual.named_parameters())
        replaced = {}
        for layer, change in zip(self._layers, self.modules_of_layers, strict=True):
            bias = None if layer.bias is None else frozen[layer.bias]
            weight, bias = change(frozen[layer.weight], bias)
            replaced[f"tower.{layer.weight}"] = weight
            if layer.bias is not None:
                replaced[f"tower.{layer.bias}"] = bias
        found: Tensor = functional_call(_Of(visual, function), replaced, ())
        return found


class _Of(nn.Module):
    """A function of a tower, as a module."""

    def __init__(self, tower: nn.Module, function: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.tower = tower
        self._function = function

    def forward(self) -> Tensor:
        return self._function(self.tower)


class ScaleShift(nn.Module):
    """s y + t of a layer's output y (SSF: Lian et al. 2022, arXiv 2210.08823).

    As in LIFT's code, s starts at normal numbers around 1 and t around 0, both with a standard
    deviation of 0.02.

    Args:
        size: number of outputs.
        seed: key of the initial values.
    """

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        start = 0.02 * torch.randn(2, size, generator=randomness.generator(seed, "ssf"))
        self.scale = nn.Parameter(1 + start[0])
        self.shift = nn.Parameter(start[1].clone())

    def forward(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """(out, in) or (out,) weight and (out,) bias."""
        scale = self.scale.view(-1, *[1] * (weight.ndim - 1))
        return scale * weight, torch.addcmul(self.shift, self.scale, bias)


class Chosen(nn.Module):
    """Some single weights and biases of a linear layer, trained in place of the frozen ones.

    As in LIFT's code, they are drawn at random from weights and biases alike.

    Args:
        weight: (out, in), frozen.
        bias: (out,), frozen.
        share: share of the weights and biases that is trained, rounded down, but at least one.
        seed: key of the choice.
    """

    places: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, share: float, seed: int) -> None:
        super().__init__()
        every = _joined(weight, bias)
        order = torch.randperm(len(every), generator=randomness.generator(seed, "mask"))
        places = order[: max(1, int(len(every) * share))].sort().values
        self.register_buffer("places", places.to(weight.device), persistent=False)
        self.values = nn.Parameter(every[self.places])

    def forward(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(out, in) weight and (out,) bias."""
        every = _joined(weight, bias).index_put((self.places,), self.values)
        size = weight.numel()
        return every[:size].view_as(weight), None if bias is None else every[size:]


def _joined(weight: Tensor, bias: Tensor | None) -> Tensor:
    """All weights, then all biases, in one row."""
    flat = weight.detach().flatten()
    return flat if bias is None else torch.cat([flat, bias.detach()])


def scaled_and_shifted(visual: Any, parts: tuple[Part, ...], seed: int) -> Changes:
    """A `ScaleShift` for every layer of some parts.

    Args:
        visual: a tower from `vit`.
        parts: the parts.
        seed: key of the initial values.

    Raises:
        NotApplicable: a layer has no bias, so that its shift has no place.
    """
    changes = {}
    for part in parts:
        for layer in weights(visual, part):
            if layer.bias is None:
                raise NotApplicable("ssf shifts biases, and a linear layer of the tower has none")
            size = len(visual.get_parameter(layer.weight))
            changes[layer] = ScaleShift(size, _key(layer, seed))
    return Changes(changes)


def masked(visual: Any, share: float, seed: int) -> Changes:
    """Some weights and biases of every linear layer of the blocks, trained.

    Args:
        visual: a tower from `vit`.
        share: see `Chosen`.
        seed: key of the choice.
    """
    changes = {}
    for part in ("attention", "mlp"):
        for layer in weights(visual, part):
            bias = None if layer.bias is None else visual.get_parameter(layer.bias)
            weight = visual.get_parameter(layer.weight)
            changes[layer] = Chosen(weight, bias, share, _key(layer, seed))
    return Changes(changes)


def mask_rule(classes: int, blocks: int, width: int) -> float:
    """LIFT's share of trained weights: K / (12 L W) in steps of 0.001, at least one step.

    Args:
        classes: K.
        blocks: L.
        width: W.
    """
    return max(0.001, classes / (12 * blocks * width) // 0.001 * 0.001)


def _key(layer: Weights, seed: int) -> int:
    return randomness.key(randomness.key(seed, "block", layer.block), layer.place)
