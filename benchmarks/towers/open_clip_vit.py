"""Reader of open_clip's own `VisionTransformer`, also with the attentional pooling of CoCa.

See `reader` for what the parts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.towers.blocks import Layers, are_plain, layers, normed, standardised
from benchmarks.towers.folding import Layer, folded, typed
from benchmarks.towers.reader import Embedded, attended, patches


def supports(visual: Any) -> bool:
    """True if a tower is a ViT of plain residual blocks with a pooling that `OpenClipViT` knows."""
    return (
        are_plain(getattr(visual, "transformer", None))
        and getattr(visual, "attn_pool_contrastive", None) is None
        and getattr(visual, "pool_type", "") in ("tok", "avg")
    )


class OpenClipViT:
    """A `VisionTransformer` of open_clip (`supports`)."""

    prefix = "transformer.resblocks."
    after: tuple[str, ...] = ("proj",)

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self.blocks: Sequence[Any] = visual.transformer.resblocks
        self.width: int = visual.conv1.out_channels
        self.patch: int = visual.conv1.kernel_size[0]
        self.reads_first: bool = visual.pool_type == "tok" and visual.attn_pool is None

    def layers(self, block: Any, dtype: torch.dtype) -> Layers:
        return layers(block, dtype)

    def embed(self, images: Tensor) -> Embedded:
        visual = self._visual
        x = patches(images, typed(visual.conv1.weight, images.dtype))
        first = typed(visual.class_embedding, x.dtype).expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + typed(visual.positional_embedding, x.dtype)
        x = visual.patch_dropout(x)
        x, tokens = normed(visual.ln_pre, x).to(x.dtype), x.shape[1]
        return Embedded(x.flatten(0, 1), tokens, [None] * len(self.blocks))

    def pool(self, x: Tensor) -> Tensor:
        visual = self._visual
        average = visual.pool_type == "avg"
        if visual.attn_pool is not None:
            # Query 0 has the place of a class token.
            out = normed(
                visual.ln_post, self._attention_pooled(x, slice(1, None) if average else slice(1))
            )
            return out.mean(1) if average else out[:, 0]
        if not average:  # the norm is per token, so one token suffices
            return normed(visual.ln_post, x[:, 0])
        if visual.final_ln_after_pool:
            return normed(visual.ln_post, x[:, 1:].mean(1))
        return normed(visual.ln_post, x[:, 1:]).mean(1)

    def _attention_pooled(self, x: Tensor, queries: slice) -> Tensor:
        """(B, T, W) -> (B, Q, W'), the outputs of some of CoCa's queries, in full precision."""
        pool = self._visual.attn_pool
        attn, norm = pool.attn, pool.ln_k
        width = attn.embed_dim
        with torch.autocast(x.device.type, enabled=False):
            q = F.linear(
                pool.ln_q(pool.query[queries]), self._weights()[0], attn.in_proj_bias[:width]
            )
        if attn.in_proj_weight is None:
            biases = attn.in_proj_bias.chunk(3)[1:]
            kv = folded(self._weights()[1:], biases, x.dtype, norm=norm)
        else:
            kv = folded([attn.in_proj_weight], [attn.in_proj_bias], x.dtype, norm=norm)[width:]
        out = attended(standardised(x.flatten(0, 1), norm.eps), len(x), kv, q, attn.num_heads)
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = attn.out_proj(out.to(attn.out_proj.weight.dtype))
        return found

    def _weights(self) -> Sequence[Tensor]:
        """The weights of CoCa's queries, keys and values."""
        attn = self._visual.attn_pool.attn
        if attn.in_proj_weight is not None:
            parts: Sequence[Tensor] = attn.in_proj_weight.chunk(3)
            return parts
        return attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight

    def projection(self) -> Layer | None:
        proj = self._visual.proj
        return None if proj is None else Layer(proj.T, None)

    def to_joint(self) -> tuple[nn.Module | None, Tensor]:
        visual, proj = self._visual, self._visual.proj
        if visual.attn_pool is None:
            return visual.ln_post, torch.eye(self.width) if proj is None else proj
        pool = visual.attn_pool
        out = self._weights()[2].T @ pool.attn.out_proj.weight.T * visual.ln_post.weight  # (W, W')
        return pool.ln_k, out if proj is None else out @ proj
