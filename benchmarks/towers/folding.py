"""Linear layers with what precedes and follows them folded in, cast to the type of the computation.

The gain and shift of the layer norm before a layer, and the layer scale after it, are linear too.
They are multiplied into the layer's weight and bias. Frozen parameters are folded and rounded once,
and the result is cached for the lifetime of the weight; trained parameters are folded in every
pass, with gradients. A change of a weight in place is detected, except through `.data`, which torch
does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import TensorWeakRef, WeakTensorKeyDictionary


@dataclass(frozen=True)
class Layer:
    """x W^T + b."""

    weight: Tensor
    """(out, in)."""
    bias: Tensor | None
    """(out,)."""

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in) -> (n, out)."""
        return F.linear(x, self.weight, self.bias)

    def __getitem__(self, part: slice) -> Layer:
        """The layer restricted to some of its outputs."""
        return Layer(self.weight[part], None if self.bias is None else self.bias[part])


def folded(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    dtype: torch.dtype,
    *,
    norm: nn.LayerNorm | None = None,
    scale: Tensor | None = None,
) -> Layer:
    """The layer x -> scale * (W (gain * x + shift) + b), where W and b are given in parts.

    Args:
        weights: parts of W, one above the other, (out_i, in) each.
        biases: the bias of each part, (out_i,); None for zeros.
        dtype: dtype of the result.
        norm: norm before the layer, whose gain and shift are folded in; x is standardised.
        scale: (out,) factors on the outputs, a layer scale.
    """

    def weight() -> Tensor:
        whole = _joined(weights)
        if norm is not None:
            whole = whole * norm.weight
        return whole if scale is None else whole * scale[:, None]

    def bias() -> Tensor:
        pairs = zip(biases, weights, strict=True)
        whole = _joined([w.new_zeros(len(w)) if b is None else b for b, w in pairs])
        if norm is not None:
            whole = whole + _joined(weights) @ norm.bias
        return whole if scale is None else whole * scale

    known = [b for b in biases if b is not None]
    if norm is None and scale is None and len(weights) == 1:
        return Layer(typed(weights[0], dtype), typed(known[0], dtype) if known else None)
    gain = [] if norm is None else [norm.weight]
    shift = [] if norm is None else [norm.bias]
    scales = [] if scale is None else [scale]
    matrix = _cached("weight", weight, dtype, *weights, *gain, *scales)
    if not known and norm is None:
        return Layer(matrix, None)
    # The bias depends on the weights through the shift alone; without one, they are not sources.
    through = weights if shift else ()
    return Layer(matrix, _cached("bias", bias, dtype, *known, *through, *shift, *scales))


def typed(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A parameter cast to `dtype`; cached if it is frozen."""
    if parameter.dtype == dtype:
        return parameter
    return _cached("typed", lambda: parameter, dtype, parameter)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class _CacheEntry:
    """A value computed from frozen parameters, and the state of these parameters.

    Args:
        value: must not share memory with the parameters, or it would keep them alive.
        sources: the parameters; referenced weakly.
    """

    def __init__(self, value: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.value = value
        self._sources = [(TensorWeakRef(p), p._version, p.data_ptr()) for p in sources]

    def is_valid_for(self, sources: tuple[Tensor, ...]) -> bool:
        """True if these are the same parameters with unchanged contents."""
        return all(
            ref() is p and version == p._version and address == p.data_ptr()
            for (ref, version, address), p in zip(self._sources, sources, strict=True)
        )


_CACHE: Any = WeakTensorKeyDictionary()
"""First source parameter -> {(name, dtype): latest `_CacheEntry`}; ends with the parameter."""


def _cached(
    name: str, compute: Callable[[], Tensor], dtype: torch.dtype, *sources: Tensor
) -> Tensor:
    """The value computed from `sources`, cast to `dtype`, and cached unless one is trained."""
    if any(parameter.requires_grad for parameter in sources):
        return compute().to(dtype)
    entries = _CACHE.setdefault(sources[0], {})
    entry = entries.get((name, dtype))
    if entry is None or not entry.is_valid_for(sources):
        with torch.no_grad():
            entry = entries[name, dtype] = _CacheEntry(compute().to(dtype), sources)
    found: Tensor = entry.value
    return found
