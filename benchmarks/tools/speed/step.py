"""The adapter training step, evaluation and attention kernels, compared with matrix products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.products import Products
from benchmarks.tools.speed.timing import Row, fastest
from benchmarks.towers.attention import attend
from methods.base import Batch
from methods.parts.heads.linear_classifiers import CosineHead
from methods.parts.image.adapters import AdaptFormer, Slots, Sum, bottleneck_rule
from methods.parts.image.guidance import CrossAttention, pooled
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT, vit
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.optimisers import optimiser_of
from methods.parts.training.schedules import Schedule
from methods.sage import Sage

Kernel = Callable[..., Tensor]
BACKBONE = "ViT-B-16/random"


def rows(machine: Machine) -> list[Row]:
    """Measure the step of lift and sage with 100 and 1,000 classes, and an evaluation pass."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    products = _products(backbone, machine, backward=True)
    forward = _products(backbone, machine, backward=False)
    images = noise(backbone, machine.batch)
    best = fastest(
        {
            "lift 100": step(backbone, machine, lift(backbone, 100)),
            "sage 100": step(backbone, machine, sage(backbone, 100)),
            "lift 1000": step(backbone, machine, lift(backbone, 1000)),
            "sage 1000": step(backbone, machine, sage(backbone, 1000)),
            "evaluation": lambda: backbone.encode_images(images),
            "products": products.runner(machine.dtype, machine.device),
            "forward products": forward.runner(machine.dtype, machine.device),
        },
        machine.device,
        turns=machine.turns,
    )
    bound = products.blocks * best["products"]
    where = f"{BACKBONE}, batch {machine.batch}, {machine.precision}"
    counted = (
        f"{products.flops / machine.batch / 1e9:.0f} GFLOP an image (linear layers and attention "
        f"of all blocks, forward and activation gradient) at {products.flops / bound / 1e12:.2f} "
        "TFLOP/s"
    )
    passing = forward.blocks * best["forward products"]
    return [
        Row("lift step", best["lift 100"], bound, f"{where}, 100 classes; bound: {counted}"),
        Row("sage step, 100 classes", best["sage 100"], best["lift 100"], "bound: lift's step"),
        Row("sage step, 1000 classes", best["sage 1000"], best["lift 1000"], "bound: lift's step"),
        Row("evaluation", best["evaluation"], passing, f"{where}; bound: the forward products"),
    ]


def plain(machine: Machine) -> list[Row]:
    """Measure lift's step and features against the same on open_clip's blocks.

    The features are computed with weights that require gradients: on a CPU, torch is several times
    slower with frozen ones. A training step has to freeze them, or it would compute gradients.
    """
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    images = noise(backbone, machine.batch)
    tower: Any = copy.deepcopy(vit(backbone)).requires_grad_()

    @torch.no_grad()
    def features() -> None:
        with backbone.autocast():
            tower(images)

    best = fastest(
        {
            "ours": step(backbone, machine, lift(backbone, 100)),
            "theirs": step(backbone, machine, OnOpenClip(backbone, 100)),
            "our features": lambda: backbone.encode_images(images),
            "their features": features,
        },
        machine.device,
        turns=max(2, machine.turns // 3),
    )
    note = f"{BACKBONE}, batch {machine.batch}, {machine.precision}; bound: open_clip's own blocks"
    return [
        Row("lift step, plain", best["ours"], best["theirs"], note),
        Row("features, plain", best["our features"], best["their features"], note),
    ]


def lift(backbone: Backbone, classes: int) -> AdaptedClassifier:
    """Return a classifier with AdaptFormer in every block and a cosine head."""
    visual = vit(backbone)
    width, blocks = visual.conv1.out_channels, len(visual.transformer.resblocks)
    bottleneck = bottleneck_rule(classes, blocks)
    slots = [Slots(mlp=AdaptFormer(width, bottleneck, block)) for block in range(blocks)]
    head = CosineHead(torch.randn(classes, width))
    return AdaptedClassifier(AdaptedViT(visual, slots), head).to(backbone.device)


def sage(backbone: Backbone, classes: int) -> AdaptedClassifier:
    """Return `lift` with attention to one text per class in every block."""
    visual, module = vit(backbone), lift(backbone, classes)
    texts = F.normalize(torch.randn(classes, visual.proj.shape[1]), dim=-1).to(backbone.device)
    guiding = pooled(texts, Sage.max_guides)
    for slots in module.tower.slots:
        cross = CrossAttention(visual, guiding, Sage.attention_width).to(backbone.device)
        slots.mlp = Sum(cast(nn.Module, slots.mlp), cross)
    return module


class OnOpenClip(nn.Module):
    """`lift` as in its authors' code: open_clip's modules called in turn, under autocast."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        ours = lift(backbone, classes)
        self.slots, self.head = ours.tower.slots, ours.head
        self._visual: list[Any] = [vit(backbone)]

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        visual = self._visual[0]
        x = visual._embeds(batch.inputs)  # (B, T, W)
        for block, slots in zip(visual.transformer.resblocks, self.slots, strict=True):
            h = x + block.ls_1(block.attention(block.ln_1(x)))
            adapter: Any = slots.mlp
            beside = adapter.scale * adapter.up(F.relu(adapter.down(adapter.norm(h))))
            x = h + block.ls_2(block.mlp(block.ln_2(h))) + beside
        logits: Tensor = self.head(visual.ln_post(x[:, 0]).float())
        return logits


def step(backbone: Backbone, machine: Machine, module: nn.Module) -> Callable[[], None]:
    """Return a function that runs one optimiser step on a prepared batch."""
    classes = len(cast(CosineHead, module.head).weight)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = optimiser_of([(list[Tensor](parameters), Schedule(1, machine.batch, 0.01))])
    loss = LogitAdjusted(torch.zeros(classes, device=machine.device), 1.0)
    labels = torch.arange(machine.batch, device=machine.device) % classes
    batch = Batch(torch.arange(machine.batch), None, noise(backbone, machine.batch))

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        with backbone.autocast():
            logits = module(batch)
        loss(logits.float(), labels, batch).mean().backward()
        optimiser.step()

    return run


def attention(machine: Machine) -> list[Row]:
    """Measure both kernels of `benchmarks.towers.attention` with backward pass, for two lengths."""
    found = []
    for tokens in (17, 197):
        shape = (machine.batch, 12, tokens, 64)
        drawn = torch.randn(4, *shape, device=machine.device).to(machine.dtype)
        inputs = tuple(x.clone().requires_grad_() for x in drawn[:3])

        def with_gradient(kernel: Kernel, inputs: tuple[Tensor, ...], gradient: Tensor) -> None:
            torch.autograd.grad(kernel(*inputs), inputs, gradient)

        best = fastest(
            {
                "ours": partial(with_gradient, attend, inputs, drawn[3]),
                "fused": partial(with_gradient, F.scaled_dot_product_attention, inputs, drawn[3]),
            },
            machine.device,
            turns=2 * machine.turns,
        )
        note = (
            f"{machine.batch} images, 12 heads, {machine.precision}; against torch's fused kernel"
        )
        found.append(Row(f"attention, {tokens} tokens", best["ours"], best["fused"], note))
    return found


def deterministic(machine: Machine) -> list[Row]:
    """Measure the cost of deterministic algorithms, the default."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    run = step(backbone, machine, lift(backbone, 100))

    def under(deterministic: bool) -> None:
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        try:
            run()
        finally:
            torch.use_deterministic_algorithms(before, warn_only=True)

    best = fastest(
        {"on": lambda: under(True), "off": lambda: under(False)},
        machine.device,
        turns=machine.turns,
    )
    note = "lift's step; bound: the same with --no-deterministic"
    return [Row("deterministic", best["on"], best["off"], note)]


def _products(backbone: Backbone, machine: Machine, *, backward: bool) -> Products:
    visual = vit(backbone)
    blocks = visual.transformer.resblocks
    tokens, width = visual.positional_embedding.shape
    heads = blocks[0].attn.num_heads
    return Products(machine.batch, tokens, width, heads, len(blocks), backward)


def noise(backbone: Backbone, count: int) -> Tensor:
    """Return (B, 3, H, W) noise."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.image_size
    return torch.randn(count, 3, side, side, generator=generator).to(backbone.device)
