"""Reader of timm's ViTs inside open_clip: SigLIP, PE-Core, EVA, MobileCLIP-B and 2-L, DINOv2 and 3.

See `reader` for what the parts are. The trunk is a `VisionTransformer` or an `Eva` of timm, in
open_clip's `TimmModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.towers.blocks import Layers, Norms, activation, normed, standardised
from benchmarks.towers.folding import Layer, folded, typed
from benchmarks.towers.reader import Embedded, Rotation, attended, patches


def supports(visual: Any) -> bool:
    """True if a tower is a timm ViT whose blocks and pooling `TimmViT` knows."""
    own = _is(visual, "benchmarks", "TimmTower")  # of `backbone.timm_models`, without a projection
    known = own or _is(visual, "open_clip", "TimmModel")
    return known and supports_parts(visual.trunk, visual.head)


def supports_parts(trunk: Any, head: nn.Sequential) -> bool:
    """The same for the trunk and the head of a `TimmModel`."""
    return (
        _is(trunk, "timm", "VisionTransformer", "Eva")
        and all(_is_plain(block, trunk.embed_dim) for block in trunk.blocks)
        and all(map(_is_norm_or_none, (trunk.norm_pre, trunk.norm, trunk.fc_norm)))
        and trunk.global_pool in ("token", "avg", "avgmax", "max", "map")
        and (trunk.global_pool != "map" or _is_plain_pool(trunk.attn_pool))
        and set(head._modules) <= {"drop", "proj"}
        and (isinstance(trunk.head, nn.Identity) or not len(head))
    )


def _is(module: Any, library: str, *names: str) -> bool:
    """True if a module's class, not a subclass of it, is one of a library's with these names."""
    kind = type(module)
    return kind.__module__.split(".")[0] == library and kind.__name__ in names


def _is_norm(norm: Any) -> bool:
    """True if a norm is a layer norm over the last dimension with gain and shift."""
    layer_norm = _is(norm, "timm", "LayerNorm", "LayerNormFp32") or type(norm) is nn.LayerNorm
    return layer_norm and norm.weight is not None and norm.bias is not None


def _is_norm_or_none(norm: Any) -> bool:
    return isinstance(norm, nn.Identity) or _is_norm(norm)


def _is_plain(block: Any, width: int) -> bool:
    """True if `layers` describes a block in full."""
    if not _is(block, "timm", "Block", "EvaBlock", "EvaBlockPostNorm"):
        return False
    attn, mlp = block.attn, block.mlp
    return (
        _is(attn, "timm", "Attention", "AttentionRope", "EvaAttention")
        and _is(mlp, "timm", "Mlp", "GluMlp", "SwiGLU")
        and all(isinstance(norm, nn.Identity) for norm in (attn.q_norm, attn.k_norm))
        and all(map(_is_norm_or_none, (attn.norm, mlp.norm)))
        and _is_norm(block.norm1) and _is_norm(block.norm2)
        and attn.gate is None
        and attn.num_heads * attn.head_dim == width
        and getattr(attn, "num_kv_heads", attn.num_heads) == attn.num_heads
    )  # fmt: skip


def _is_plain_pool(pool: Any) -> bool:
    """True if `TimmViT` pools as this module does."""
    return (
        _is(pool, "timm", "AttentionPoolLatent")
        and pool.pos_embed is None
        and pool.mlp is not None
        and isinstance(pool.q_norm, nn.Identity)
        and pool.pool in ("token", "avg")
    )


class TimmViT:
    """A `TimmModel` whose trunk is a ViT (`supports`)."""

    prefix = "trunk.blocks."
    after: tuple[str, ...] = ("trunk.head.", "head.")

    def __init__(self, visual: Any) -> None:
        self._visual, self._trunk = visual, visual.trunk
        trunk = self._trunk
        self.blocks: Sequence[Any] = trunk.blocks
        self.width: int = trunk.embed_dim
        self.patch: int = trunk.patch_embed.img_size[0] // trunk.patch_embed.grid_size[0]
        self.reads_first: bool = trunk.global_pool == "token"

    def layers(self, block: Any, dtype: torch.dtype) -> Layers:
        return layers(block, dtype)

    def embed(self, images: Tensor) -> Embedded:
        trunk = self._trunk
        x = self._patches(images)
        rotations: Sequence[Rotation | None] = [None] * len(self.blocks)
        if hasattr(trunk, "rope"):
            x, angles = trunk._pos_embed(x)
            if angles is not None:
                angles = angles if trunk.rope_mixed else [angles] * len(self.blocks)
                rotations = [
                    _rotation(trunk.num_prefix_tokens, angle, block.attn.rotate_half)
                    for block, angle in zip(self.blocks, angles, strict=True)
                ]
        else:
            x = trunk.patch_drop(trunk._pos_embed(x))
        x = normed(trunk.norm_pre, x).to(images.dtype)
        return Embedded(x.flatten(0, 1), x.shape[1], rotations)

    def _patches(self, images: Tensor) -> Tensor:
        """Embedded patches as timm's own module returns them."""
        embed = self._trunk.patch_embed
        plain = _is(embed, "timm", "PatchEmbed") and embed.flatten and not embed.dynamic_img_pad
        if not plain or any(side % self.patch for side in images.shape[2:]):
            x: Tensor = embed(images)
            return x
        bias = embed.proj.bias
        bias = None if bias is None else typed(bias, images.dtype)
        x = patches(images, typed(embed.proj.weight, images.dtype), bias)
        return normed(embed.norm, x).to(x.dtype)

    def pool(self, x: Tensor) -> Tensor:
        trunk = self._trunk
        if trunk.global_pool == "map":
            x = self._attention_pooled(x)
        elif trunk.global_pool == "token":  # the norm is per token, so one token suffices
            x = normed(trunk.norm, x[:, 0])
        else:
            x = trunk.pool(normed(trunk.norm, x))
        return normed(trunk.fc_norm, x)

    def _attention_pooled(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, W), in full precision."""
        trunk = self._trunk
        pool = trunk.attn_pool
        if not getattr(trunk, "pool_include_prefix", True):
            x = x[:, trunk.num_prefix_tokens :]
        norm = trunk.norm if isinstance(trunk.norm, nn.LayerNorm) else None
        tokens = x.flatten(0, 1)
        if norm is not None:
            tokens = standardised(tokens, norm.eps)
        kv = folded([pool.kv.weight], [pool.kv.bias], x.dtype, norm=norm)
        with torch.autocast(x.device.type, enabled=False):
            queries = pool.q(pool.latent[0])
        out = attended(tokens, len(x), kv, queries, pool.num_heads)
        with torch.autocast(x.device.type, enabled=False):
            out = pool.proj(out.to(pool.proj.weight.dtype))
            out = out + pool.mlp(pool.norm(out))
            pooled: Tensor = out[:, 0] if pool.pool == "token" else out.mean(1)
            return pooled

    def projection(self) -> Layer | None:
        last = self._visual.head.proj if len(self._visual.head) else self._trunk.head
        return None if isinstance(last, nn.Identity) else Layer(last.weight, last.bias)

    def to_joint(self) -> tuple[nn.Module | None, Tensor]:
        trunk, last = self._trunk, self.projection()
        joint = torch.eye(self.width) if last is None else last.weight.T
        if trunk.global_pool == "map":
            value = trunk.attn_pool.kv.weight[self.width :]
            joint = value.T @ trunk.attn_pool.proj.weight.T @ joint.to(value)
        norms = [norm for norm in (trunk.norm, trunk.fc_norm) if isinstance(norm, nn.LayerNorm)]
        return norms[0] if norms else None, joint


def layers(block: Any, dtype: torch.dtype) -> Layers:
    """The folded layers of a timm `Block`, `EvaBlock` or `EvaBlockPostNorm` (`blocks.layers`)."""
    attn, mlp = block.attn, block.mlp
    scales = [
        getattr(getattr(block, ls, None), "gamma", getattr(block, gamma, None))
        for ls, gamma in (("ls1", "gamma_1"), ("ls2", "gamma_2"))
    ]
    # What a block of EVA02-E normalises is the output of a branch instead of its input.
    late = type(block).__name__ == "EvaBlockPostNorm"
    before, after = [(block.norm1, block.norm2), (None, None)][:: -1 if late else 1]
    inside = [n if isinstance(n, nn.LayerNorm) else None for n in (attn.norm, mlp.norm)]
    ups: list[Any] = [mlp.fc1_g, mlp.fc1_x] if type(mlp).__name__ == "SwiGLU" else [mlp.fc1]
    activate: Callable[[Tensor], Tensor] = partial(activation, mlp.act)
    if type(mlp).__name__ != "Mlp":
        activate = partial(_gated, mlp.act, last=getattr(mlp, "gate_last", False))
    return Layers(
        folded(*_projections(attn), dtype, norm=before[0]),
        folded([attn.proj.weight], [attn.proj.bias], dtype, norm=inside[0], scale=scales[0]),
        folded([up.weight for up in ups], [up.bias for up in ups], dtype, norm=before[1]),
        folded([mlp.fc2.weight], [mlp.fc2.bias], dtype, norm=inside[1], scale=scales[1]),
        attn.num_heads,
        activate,
        Norms(before[0], inside[0], after[0]),
        Norms(before[1], inside[1], after[1]),
    )


def _projections(attn: Any) -> tuple[list[Tensor], list[Tensor | None]]:
    """The weights of queries, keys and values, and their biases."""
    if attn.qkv is None:
        parts = (attn.q_proj, attn.k_proj, attn.v_proj)
        return [part.weight for part in parts], [part.bias for part in parts]
    if getattr(attn, "q_bias", None) is not None:
        return [attn.qkv.weight], [torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])]
    return [attn.qkv.weight], [attn.qkv.bias]


def _gated(act: nn.Module, x: Tensor, *, last: bool) -> Tensor:
    """(n, 2 h) -> (n, h): one half through the activation, times the other."""
    first, second = x.chunk(2, dim=-1)
    return first * activation(act, second) if last else activation(act, first) * second


def _rotation(prefix: int, angles: Tensor, half: bool) -> Rotation:
    """Rotary positions: pairs of channels are complex numbers, multiplied by e^(i angle).

    Args:
        prefix: tokens at the start that have no position.
        angles: (…, T - prefix, 2 d): d sines and d cosines, two of each per pair.
        half: the pairs are channel j and j + d / 2; otherwise they are neighbours.
    """
    sines, cosines = angles.chunk(2, dim=-1)  # (…, T - prefix, d)
    once = slice(0, sines.shape[-1] // 2) if half else slice(0, None, 2)
    turns = torch.complex(cosines[..., once], sines[..., once])
    turns = torch.cat([turns.new_ones(*turns.shape[:-2], prefix, turns.shape[-1]), turns], -2)

    def rotate(x: Tensor) -> Tensor:
        """(B, H, T, d) -> (B, H, T, d)."""
        wide = x.to(turns.real.dtype)
        if half:
            y = torch.complex(*wide.chunk(2, dim=-1)) * turns
            return torch.cat([y.real, y.imag], dim=-1).to(x.dtype)
        y = torch.view_as_complex(wide.unflatten(-1, (-1, 2))) * turns
        return torch.view_as_real(y).flatten(-2).to(x.dtype)

    return rotate
