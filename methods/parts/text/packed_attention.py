"""Causal attention of packed prompts to themselves and to the tokens before them.

Batched matrix products over one bucket at a time, with an explicit backward pass: for short prompts
this is faster than fused kernels. Tokens that precede all prompts of a set are keys and values of
one product. G sets, n prompts of a bucket, T rows of each, t of them queries, R rows, H heads of
width d, W = H d, P tokens before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.parts.text.packing import Bucket, Chunk


@dataclass(frozen=True)
class Part:
    """Rows whose attention is computed as one array."""

    queries: slice
    """Rows of the queries, (G, n, t)."""
    keys: slice
    """Rows of keys and values, (G, n, T)."""
    sets: int
    prompts: int
    asking: int
    length: int
    mask: Tensor | None
    """(t, T) or (n, 1, T), 0 where a query reads and -inf where not; None if it reads all."""
    leads: bool
    """True for the chunk's leading tokens, which all other rows read."""


def parts(chunk: Chunk, sets: int, like: Tensor, *, ends_only: bool) -> list[Part]:
    """The parts of a chunk.

    Args:
        chunk: the chunk.
        sets: G.
        like: tensor with the number type and device of the masks.
        ends_only: only the ends of prompts are queries; leading tokens are not.
    """
    found = []
    mask: Tensor | None
    if length := chunk.leading:
        rows = slice(0, sets * length)
        if ends_only:
            found.append(Part(slice(0, 0), rows, sets, 1, 0, length, None, leads=True))
        else:
            mask = _causal(length, like)
            found.append(Part(rows, rows, sets, 1, length, length, mask, leads=True))
    done, mask = 0, None
    for bucket in chunk.buckets:
        n, length = len(bucket.prompts), bucket.length
        rows = slice(bucket.first, bucket.first + sets * n * length)
        if ends_only:
            queries, mask = slice(done, done + sets * n), _until(bucket, like)
            done += sets * n
            found.append(Part(queries, rows, sets, n, 1, length, mask, leads=False))
        else:
            mask = _causal(length, like)
            found.append(Part(rows, rows, sets, n, length, length, mask, leads=False))
    return found


def _causal(length: int, like: Tensor) -> Tensor:
    return like.new_full((length, length), float("-inf")).triu_(1)


def _until(bucket: Bucket, like: Tensor) -> Tensor | None:
    if not bucket.padded:
        return None
    behind = torch.arange(bucket.length, device=like.device) > bucket.ends[:, None, None]
    return like.new_zeros(behind.shape).masked_fill_(behind, float("-inf"))


def attend(
    where: Sequence[Part], q: Tensor, kv: Tensor, before: Tensor, attended: Tensor
) -> list[Tensor]:
    """Fill `attended`; return each part's softmax weights, (G * H * n, t, P + T), for backward.

    Args:
        where: the parts.
        q: (query rows, W) queries.
        kv: (R, 2 W) keys and values.
        before: (2, G, H, P, d) keys and values of the tokens before, in the number type to compute
            in. They include the leading tokens, which read only those before themselves.
        attended: (query rows, W) output.
    """
    kept = []
    for part in where:
        keys, values = _seen(part, before)
        queries, k, v = _taken(part, q, kv, before)
        groups, seen = keys.shape[:2]  # G * H, P
        if part.mask is None:
            own = queries @ k.transpose(1, 2)  # (G * H * n, t, T)
        else:
            mask = part.mask if part.mask.ndim == 2 else part.mask.repeat(groups, 1, 1)
            own = torch.baddbmm(mask, queries, k.transpose(1, 2))
        to_seen = _flat(queries, groups) @ keys.transpose(1, 2)
        weights = torch.cat([to_seen.view(*own.shape[:2], seen), own], dim=-1).softmax(-1)
        out = weights[..., seen:] @ v
        _flat(out, groups).baddbmm_(_flat(weights, groups)[..., :seen], values)
        _put(out, attended[part.queries], part)
        kept.append(weights)
    return kept


def attend_backward(
    where: Sequence[Part],
    kept: Sequence[Tensor],
    rows: tuple[Tensor, Tensor],
    before: Tensor,
    of_attended: Tensor,
    of_rows: tuple[Tensor, Tensor],
    of_before: Tensor | None,
) -> None:
    """Fill the gradients of q and kv, and add to those of the tokens before.

    Args:
        where: as for `attend`.
        before: as for `attend`.
        kept: weights that `attend` returned.
        rows: q and kv.
        of_attended: (query rows, W) gradient of the output of `attend`.
        of_rows: gradients of q and kv, to be filled.
        of_before: (2, G, H, P, d) gradient to add to, or None if it is not needed. The leading
            tokens' part of it is added to their rows of kv.
    """
    for part, weights in reversed(list(zip(where, kept, strict=True))):
        keys, values = _seen(part, before)
        queries, k, v = _taken(part, *rows, before)
        groups, seen, width = keys.shape  # G * H, P, d
        of_out = _split(of_attended[part.queries], part, part.asking, 1, before)[0]
        to_seen = _flat(of_out, groups) @ values.transpose(1, 2)
        to_own = of_out @ v.transpose(1, 2)
        of_weights = torch.cat([to_seen.view(*to_own.shape[:2], seen), to_own], dim=-1)
        of_logits = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        own = of_logits[..., seen:]
        of_queries = own @ k
        _flat(of_queries, groups).baddbmm_(_flat(of_logits, groups)[..., :seen], keys)
        _put(of_queries.mul_(width**-0.5), of_rows[0][part.queries], part)
        of_k, of_v = own.transpose(1, 2) @ queries, weights[..., seen:].transpose(1, 2) @ of_out
        if of_before is not None:
            for target, left, right in (
                (of_before[0], of_logits, queries), (of_before[1], weights, of_out)
            ):  # fmt: skip
                added = _flat(left, groups)[..., :seen].transpose(1, 2) @ _flat(right, groups)
                target[..., :seen, :] += added.view(*target.shape[:2], seen, width)
            if part.leads:  # gradients from all rows that read these tokens
                of_k += of_before[0, ..., seen:, :].reshape(of_k.shape)
                of_v += of_before[1, ..., seen:, :].reshape(of_v.shape)
        for x, columns in zip((of_k, of_v), of_rows[1].chunk(2, dim=1), strict=True):
            _put(x, columns[part.keys], part)


def leading_keys(chunk: Chunk, sets: int, kv: Tensor, before: Tensor) -> Tensor:
    """`before` (2, G, H, P, d) followed by keys and values of the chunk's leading tokens."""
    if not chunk.leading:
        return before
    heads = before.shape[2]
    rows = kv[: sets * chunk.leading].unflatten(1, (2, heads, -1)).unflatten(0, (sets, -1))
    return torch.cat([before, rows.permute(2, 0, 3, 1, 4).to(before.dtype)], dim=3)


def _seen(part: Part, before: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values, (G * H, P, d) each, of the tokens before a part."""
    count = before.shape[3] - (part.length if part.leads else 0)
    keys, values = before[..., :count, :].flatten(1, 2)
    return keys, values


def _taken(part: Part, q: Tensor, kv: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled queries (G * H * n, t, d), keys and values (G * H * n, T, d)."""
    queries = _split(q[part.queries], part, part.asking, 1, like)[0]
    k, v = _split(kv[part.keys], part, part.length, 2, like)
    return queries.mul_(queries.shape[2] ** -0.5), k, v


def _flat(x: Tensor, groups: int) -> Tensor:
    """(groups * n, t, m) -> (groups, n * t, m)."""
    return x.view(groups, len(x) // groups * x.shape[1], x.shape[2])


def _split(rows: Tensor, part: Part, tokens: int, count: int, like: Tensor) -> Tensor:
    """(G * n * tokens, count * W) -> (count, G * H * n, tokens, d) of like's type."""
    view = rows.unflatten(1, (count, like.shape[2], -1))
    view = view.unflatten(0, (part.sets, part.prompts, tokens)).permute(3, 0, 4, 1, 2, 5)
    return like.new_empty(view.shape).copy_(view).flatten(1, 3)


def _put(x: Tensor, rows: Tensor, part: Part) -> None:
    """Write (G * H * n, tokens, d) into (G * n * tokens, W)."""
    tokens, width = x.shape[1:]
    heads = rows.shape[1] // width
    view = rows.view(part.sets, part.prompts, tokens, heads, width)
    view.copy_(x.view(part.sets, heads, part.prompts, tokens, width).permute(0, 2, 3, 1, 4))
