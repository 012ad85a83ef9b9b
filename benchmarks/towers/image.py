"""The forward pass of ViTs of open_clip and timm, with slots for trainable modules in their blocks.

It reimplements the libraries' passes over the same parameters, because adapters need access to the
inside of the blocks, and for speed:

- Tokens form one contiguous (B * T, W) matrix. On a CPU, the backward pass of a linear layer with a
  frozen weight and a 3-D input takes a path that is several times slower.
- Frozen weights are cached in the dtype of the computation (`folding`).
- Attention uses the kernel that is fastest on the device (`attention`).
- The last block of a tower with class-token pooling computes only that token.

What differs between the libraries is in their readers (`reader`). Towers of any other form (ResNet,
ConvNeXt, …) run in open_clip's own pass, without slots. All towers are in evaluation mode, in
training, too: no dropout, and the statistics of batch norms stay those of the checkpoint, as in
LIFT's code.

B images, T tokens (class token and patches), W width of the tokens, W' width of the pooled output,
H heads, D joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.towers import open_clip_vit, timm_vit
from benchmarks.towers.attention import attend
from benchmarks.towers.blocks import Layers, compute_type, shifted, standardised
from benchmarks.towers.reader import Reader, Rotation


class Trained(Protocol):
    """Trainable modules of one block; see `methods.parts.image.adapters.Slots` for their inputs."""

    attention: Any
    query: Any
    key: Any
    value: Any
    prompts: Any
    up: Any
    down: Any
    after_mlp: Any
    mlp: Any

    @property
    def read_normed(self) -> bool:
        """True if one of the modules reads LN1(x)."""
        ...


class _Empty:
    """The slots of a block without trainable modules."""

    attention = query = key = value = prompts = up = down = after_mlp = mlp = None
    read_normed = False


def supports(visual: Any) -> bool:
    """True if a tower is a ViT of plain blocks, in which slots have their places."""
    return open_clip_vit.supports(visual) or timm_vit.supports(visual)


def reader(visual: Any) -> Reader:
    """The reader of a tower that this module `supports`."""
    if open_clip_vit.supports(visual):
        return open_clip_vit.OpenClipViT(visual)
    return timm_vit.TimmViT(visual)


def pooled(
    visual: Any, images: Tensor, trained: Sequence[Trained] = (), prompts: Tensor | None = None
) -> Tensor:
    """(B, 3, H, W) -> (B, W') pooled output after the last layer norm, before the projection.

    Towers that are not supported return their whole output (B, D).

    Args:
        visual: an image tower of open_clip.
        images: the computation uses autocast's dtype if enabled, otherwise that of the images.
        trained: one per block of a supported tower, or none at all.
        prompts: (P, W) tokens that follow those of a supported tower's images through all blocks.
    """
    if not supports(visual):
        out: Any = visual(images)
        features: Tensor = out[0] if isinstance(out, tuple) else out  # CoCa's: with its tokens
        return features
    tower = reader(visual)
    x, tokens, rotations = tower.embed(images.to(compute_type(images)))
    seen = tokens
    if prompts is not None:
        x = x.view(len(images), tokens, -1)
        x = torch.cat([x, prompts.to(x.dtype).expand(len(images), -1, -1)], dim=1).flatten(0, 1)
        rotations = [None if r is None else partial(_rotated, r, tokens) for r in rotations]
        tokens += len(prompts)
    for i, block in enumerate(tower.blocks):
        # After the last block only the class token is read, and only attention mixes tokens.
        last = tower.reads_first and i + 1 == len(tower.blocks)
        slots = trained[i] if trained else _Empty()
        layers = tower.layers(block, x.dtype)
        x = _block(layers, slots, x, tokens, rotations[i], first_only=last)
    return tower.pool(x.view(len(images), -1, x.shape[-1])[:, :seen])


def _rotated(rotate: Rotation, tokens: int, x: Tensor) -> Tensor:
    """Rotate the first `tokens` of (B, H, T, d); those behind them have no position."""
    return torch.cat([rotate(x[:, :, :tokens]), x[:, :, tokens:]], dim=2)


def projected(visual: Any, x: Tensor) -> Tensor:
    """(B, W') pooled output -> (B, D), in full precision."""
    layer = reader(visual).projection() if supports(visual) else None
    with torch.autocast(x.device.type, enabled=False):
        return x if layer is None else layer(x.to(layer.weight.dtype))


def _block(
    layer: Layers,
    slots: Trained,
    x: Tensor,
    tokens: int,
    rotate: Rotation | None,
    *,
    first_only: bool,
) -> Tensor:
    """One block, (B * T, W) -> (B * T, W), or (B, W) for the first token of each image."""
    plain = layer.attention.read(x)
    # `layer.project` contains the gain and shift of LN1; the slots read LN1(x) itself.
    normed = shifted(layer.attention.before, plain) if slots.read_normed else plain
    q, k, v = _projected(layer, slots, plain, normed, tokens, rotate, first_only)
    mixed = attend(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1)
    attended = layer.attention.write(layer.out, mixed)
    if first_only:
        x, normed = (y.view(-1, tokens, y.shape[-1])[:, 0] for y in (x, normed))
        tokens = 1
    x = x + attended
    if slots.attention is not None:
        x = x + slots.attention(normed, tokens)
    plain = layer.mlp.read(x)
    hidden = layer.up(plain)
    if slots.up is not None:
        hidden = hidden + slots.up(shifted(layer.mlp.before, plain))
    hidden = layer.activate(hidden)
    out = layer.mlp.write(layer.down, hidden)
    if slots.down is not None:
        out = out + slots.down(layer.mlp.normed_inside(hidden))
    if slots.after_mlp is not None:
        out = out + slots.after_mlp(out)
    if slots.mlp is None:
        return x + out
    beside: Tensor = slots.mlp(plain if layer.mlp.before is not None else standardised(x))
    return x + out + beside


def _projected(
    layer: Layers,
    slots: Trained,
    plain: Tensor,
    normed: Tensor,
    tokens: int,
    rotate: Rotation | None,
    first_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, (B, H, T, W / H) each; with `first_only` one query per image.

    Args:
        layer: the layers of the block.
        slots: its trainable modules.
        plain: (B * T, W) standardised tokens.
        normed: (B * T, W) LN1(x), which the slots read.
        tokens: T.
        rotate: rotary positions.
        first_only: compute the query of the first token only.
    """
    project, heads, width = layer.project, layer.heads, plain.shape[-1]
    images = len(plain) // tokens

    def split(y: Tensor, images: int) -> tuple[Tensor, ...]:
        """(B * t, n * W) -> n tensors (B, H, t, W / H)."""
        y = y.view(images, len(y) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    if first_only:
        (q,) = split(project[:width](plain.view(images, tokens, width)[:, 0]), images)
        k, v = split(project[width:](plain), images)
    else:
        q, k, v = split(project(plain), images)
    if slots.query is not None:
        read = normed.view(images, tokens, width)[:, 0] if first_only else normed
        q = q + split(slots.query(read), images)[0]
    if slots.key is not None:
        k = k + split(slots.key(normed), images)[0]
    if slots.value is not None:
        v = v + split(slots.value(normed), images)[0]
    if rotate is not None:  # the first token is the class token, which has no position
        q, k = q if first_only else rotate(q), rotate(k)
    if slots.prompts is not None:
        # The outputs of prompt tokens are not read, so only their keys and values are computed.
        prompts = layer.attention.read(slots.prompts.to(plain.dtype))
        prompt_k, prompt_v = split(project[width:](prompts), 1)  # (1, H, P, W / H)
        read = shifted(layer.attention.before, prompts)
        if slots.key is not None:
            prompt_k = prompt_k + split(slots.key(read), 1)[0]
        if slots.value is not None:
            prompt_v = prompt_v + split(slots.value(read), 1)[0]
        k = torch.cat([k, prompt_k.expand(images, -1, -1, -1)], 2)
        v = torch.cat([v, prompt_v.expand(images, -1, -1, -1)], 2)
    return q, k, v
