"""The prompt-tuning step of coop and lmpt, compared with the matrix products it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row, fastest
from methods.base import Batch, Task
from methods.coop import CoOp
from methods.lmpt import Lmpt
from methods.parts.text.prompts import PromptClassifier
from methods.parts.training.gradients import Gradients
from methods.parts.training.learning import Learner
from methods.parts.training.members import Member
from methods.parts.training.optimisers import optimiser_of
from methods.parts.training.schedules import Training

BACKBONE = "ViT-B-16/random"
SEEDS = 5
METHODS: dict[str, Learner] = {"coop": CoOp(), "lmpt": Lmpt()}
Run = Callable[[], None]


def rows(machine: Machine) -> list[Row]:
    """Measure the step of coop and lmpt with 100 and with 1,000 of ImageNet's class names."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    found = []
    for classes in (100, 1000):
        for name, method in METHODS.items():
            training = _requested(method, backbone, classes)
            products, flops = _products(training, machine.dtype)
            best = fastest(
                {"step": step(training), "products": products},
                machine.device,
                turns=machine.turns if classes == 100 else max(2, machine.turns // 4),
            )
            rate = flops / best["products"] / 1e12
            note = (
                f"{BACKBONE}'s text tower, {machine.precision}; bound: {flops / 1e9:.0f} GFLOP "
                "(linear layers and attention over the tokens that are needed, forward and "
                f"activation gradient) at {rate:.2f} TFLOP/s"
            )
            label = f"{name} step, {classes} classes"
            found.append(Row(label, best["step"], best["products"], note))
    return found


def seeds(machine: Machine) -> list[Row]:
    """Measure a step of five seeds in turns against five steps of one, with 100 classes."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    found = []
    for name, method in METHODS.items():
        several = [_requested(method, backbone, 100, seed) for seed in range(SEEDS)]
        best = fastest(
            {"one": step(several[0]), "all": _together(several)},
            machine.device,
            turns=max(2, machine.turns // 3),
        )
        note = f"100 classes, {machine.precision}; bound: {SEEDS} times the step of one seed"
        found.append(Row(f"{name} step, {SEEDS} seeds", best["all"], SEEDS * best["one"], note))
    return found


def step(training: Training) -> Run:
    """Return a function that runs one optimiser step on a prepared batch."""
    optimiser = optimiser_of([(list[Tensor](training.module.parameters()), training.schedule)])
    batch, labels = _batch(training)
    training.module.train()

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        training.loss(training.module(batch), labels, batch).mean().backward()
        optimiser.step()

    return run


def _together(several: list[Training]) -> Run:
    members = [Member(training) for training in several]
    gradients = [Gradients(member) for member in members]
    optimiser = optimiser_of([(list[Tensor](m.parameters), m.request.schedule) for m in members])
    batch, labels = _batch(several[0])
    for training in several:
        training.module.train()

    def run() -> None:
        for one in gradients:
            one.compute(batch, labels)
        optimiser.step()

    return run


def _requested(method: Learner, backbone: Backbone, classes: int, seed: int = 0) -> Training:
    """Return the first training that the method requests."""
    names = tuple(IMAGENET_CLASSNAMES[:classes])
    described = tuple(f"a photo of {name}" for name in names)
    data = tiny_data()
    texts = dataclasses.replace(data.texts, class_names=names, descriptions=described)
    task = _task(dataclasses.replace(data, texts=texts), backbone, seed)
    return next(method.learn(task))


def _task(data: object, backbone: Backbone, seed: int) -> Task:
    return tiny_task(seed, data=data, backbone=backbone)[0]  # type: ignore[arg-type]


def _batch(training: Training) -> tuple[Batch, Tensor]:
    """Return a batch of the schedule's size with random features."""
    device, size = training.task.device, training.schedule.batch_size
    features = torch.randn(size, training.task.backbone.feature_dim, device=device)
    index = torch.arange(size, device=device) % len(training.task.train)
    unit = torch.nn.functional.normalize(features, dim=-1)
    return Batch(index, unit, None), training.task.train.labels[index]


def _products(training: Training, dtype: torch.dtype) -> tuple[Run, float]:
    """Return a function that computes the products of a step in their shapes, and their FLOPs.

    Padding is left out, and a recomputed part counts once.
    """
    prompts = cast(PromptClassifier, training.module).prompts
    encoder = prompts._encode
    text, device = encoder._text, training.task.device
    width, heads, blocks = text.width, text.heads, len(text.blocks)
    depth = width // heads
    made: dict[tuple[int, ...], Tensor] = {}

    def drawn(*shape: int) -> Tensor:
        if shape not in made:
            made[shape] = torch.randn(shape, device=device).to(dtype)
        return made[shape]

    pairs: list[tuple[Tensor, Tensor]] = []

    def linear(count: int, into: int, out: int, *, gradient_of: int | None = None) -> None:
        pairs.append((drawn(count, into), drawn(out, into).T))
        if of := count if gradient_of is None else gradient_of:
            pairs.append((drawn(of, out), drawn(out, into)))

    def attention(batch: int, queries: int, keys: int) -> None:
        q, k, weights = (
            drawn(batch, queries, depth), drawn(batch, keys, depth), drawn(batch, queries, keys)
        )  # fmt: skip
        once = [(q, k.transpose(1, 2)), (weights, k)]
        pairs.extend([*once, *once, *[(weights.transpose(1, 2), q)] * 2])

    with torch.no_grad():
        encoder(prompts.context[None])
    for part in encoder._plans[1][0]:
        chunk = part.chunk
        lengths = torch.cat([bucket.ends + 1 for bucket in chunk.buckets]).tolist()
        count, ends = chunk.leading + sum(lengths), len(lengths)
        before = 1 if encoder._class_specific else 1 + encoder._contexts
        for block in range(blocks):
            last = block + 1 == blocks
            learned = len(part.learned) if block == 0 else None
            if last:
                linear(count, width, 2 * width)
                linear(ends, width, width)
            else:
                linear(count, width, 3 * width, gradient_of=learned)
            asking = ends if last else count
            linear(asking, width, width)
            linear(asking, width, 4 * width)
            linear(asking, 4 * width, width)
            for length in sorted(set(lengths)):
                attention(heads * lengths.count(length), 1 if last else length, length)
            attention(heads, ends if last else sum(lengths), before)
            if chunk.leading and not last:
                attention(heads, chunk.leading, chunk.leading + 1)
    flops = sum(2 * a.numel() * b.shape[-1] for a, b in pairs)

    def run() -> None:
        for a, b in pairs:
            torch.matmul(a, b)

    return run, float(flops)
