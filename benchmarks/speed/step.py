"""The adapter training step, evaluation and the attention kernels, against matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.speed.machine import Machine
from benchmarks.speed.products import Products
from benchmarks.speed.timing import Row, fastest
from benchmarks.towers.attention import attend
from methods.base import Batch
from methods.parts.adapters import AdaptFormer, Slots, Sum, bottleneck_rule
from methods.parts.guidance import CrossAttention, pooled
from methods.parts.heads import CosineHead
from methods.parts.losses import LogitAdjusted
from methods.parts.vit import AdaptedClassifier, AdaptedViT, vit
from methods.sage import Sage

Kernel = Callable[..., Tensor]
BACKBONE = "ViT-B-16/random"


def rows(machine: Machine) -> list[Row]:
    """The step of lift and of sage with 100 and with 1,000 classes, and an evaluation pass."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    products = _products(backbone, machine, backward=True)
    forward = _products(backbone, machine, backward=False)
    steps = {
        f"{method} step, {classes} classes": step(backbone, machine, classes, method)
        for classes in (100, 1000)
        for method in ("lift", "sage")
    }
    images = _images(backbone, machine.batch)
    best = fastest(
        {
            **steps,
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
    found = [
        Row("lift step, 100 classes", best["lift step, 100 classes"], bound, f"{where}; {counted}")
    ]
    for classes in (100, 1000):
        lift, sage = (best[f"{m} step, {classes} classes"] for m in ("lift", "sage"))
        found.append(
            Row(f"sage step, {classes} classes", sage, lift, f"{where}; against lift's step")
        )
    found.append(
        Row(
            "evaluation",
            best["evaluation"],
            forward.blocks * best["forward products"],
            f"{where}; open_clip's encode_image against the forward products",
        )
    )
    return found


def step(backbone: Backbone, machine: Machine, classes: int, method: str) -> Callable[[], None]:
    """One optimiser step of lift or sage on a batch that is there already."""
    visual, device = vit(backbone), machine.device
    width, blocks = visual.conv1.out_channels, len(visual.transformer.resblocks)
    bottleneck = bottleneck_rule(classes, blocks)
    generator = torch.Generator().manual_seed(0)
    texts = torch.randn(classes, visual.proj.shape[1], generator=generator).to(device)
    guiding = pooled(F.normalize(texts, dim=-1), Sage.max_guides)
    slots = []
    for block in range(blocks):
        mlp: torch.nn.Module = AdaptFormer(width, bottleneck, block)
        if method == "sage":
            mlp = Sum(mlp, CrossAttention(visual, guiding, Sage.attention_width))
        slots.append(Slots(mlp=mlp))
    head = CosineHead(torch.randn(classes, width, generator=generator))
    module = AdaptedClassifier(AdaptedViT(visual, slots), head).to(device)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    loss = LogitAdjusted(torch.zeros(classes, device=device), 1.0)
    labels = torch.randint(classes, (machine.batch,), generator=generator).to(device)
    batch = Batch(torch.arange(machine.batch), None, _images(backbone, machine.batch))

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        with backbone.autocast():
            logits = module(batch)
        loss(logits.float(), labels, batch).mean().backward()
        optimiser.step()

    return run


def attention(machine: Machine) -> list[Row]:
    """The two kernels of `benchmarks.towers.attention`, forward and backward, for two lengths."""
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
    """What the default, deterministic algorithms, costs."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    run = step(backbone, machine, 100, "lift")

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
    note = "lift's step with deterministic algorithms, the default, against --no-deterministic"
    return [Row("deterministic", best["on"], best["off"], note)]


def _products(backbone: Backbone, machine: Machine, *, backward: bool) -> Products:
    visual = vit(backbone)
    blocks = visual.transformer.resblocks
    tokens, width = visual.positional_embedding.shape
    heads = blocks[0].attn.num_heads
    return Products(machine.batch, tokens, width, heads, len(blocks), backward)


def _images(backbone: Backbone, count: int) -> Tensor:
    """(B, 3, H, W) noise."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.image_size
    return torch.randn(count, 3, side, side, generator=generator).to(backbone.device)
