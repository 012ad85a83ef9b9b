"""Train the embedded backbone from scratch: `python -m benchmarks.tools.pretrain_glyph`.

CLIP's contrastive loss on random captioned glyph scenes. Writes the weights (`glyph.safetensors`,
half precision) and the log of their training (`glyph_training.json`) to the assets. With
`--evaluate` it only prints the accuracies of the shipped weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.glyphs import ASSETS, captions, draw, load_tokenizer, stream, world
from benchmarks.glyphs.tokenizer import GlyphTokenizer
from benchmarks.tools import glyph_evaluation as evaluation
from benchmarks.tools.glyph_evaluation import normalise
from benchmarks.towers import text as text_towers

SEED = 0
STEPS = 3400
BATCH = 128
_DECAY = 0.25  # last part of the training, over which the learning rate falls to zero
_FIRST_RANKS = 6.0  # Zipf–Mandelbrot offset: without it one batch in five would share a caption
_COUNTS = (*(1,) * 15, 2, 2, 2, 3, 4)  # how many glyphs: one of these
_RARE = 0.002  # share of name mentions that go to hardly trained names


@dataclass(frozen=True)
class Batch:
    """Scenes of one step, their captions and the names in them."""

    images: NDArray[np.uint8]
    captions: list[str]
    named: list[int]


def make_batch(seed: int, step: int, size: int) -> Batch:
    """Return the `size` pairs of one training step; they depend only on seed, step and size."""
    source = stream.Source("pretrain", seed, step)
    keys = stream.raw(np.array([stream.key_of("pretrain", seed, step, "scenes")], "u8"), 0, size)[0]
    # Hyperbolic name frequencies: name number k (from 0) is used in proportion to 1 / (k + 6).
    law = np.cumsum(1.0 / (np.arange(len(world.covered())) + _FIRST_RANKS))
    glyphs = np.full((size, 4), -1, dtype=np.int64)
    texts, named = [], []
    for row in range(size):
        scene = [_glyph(source, law / law[-1]) for _ in range(_COUNTS[source.below(20)])]
        glyphs[row, : len(scene)] = [number for number, _ in scene]
        named += [number for number, what in scene if what in (captions.NAME, captions.BOTH)]
        texts.append(captions.caption(source, scene))
    u = source.uniform(5 * size).reshape(size, 5)
    style = 0.2 * u[:, 0]
    difficulty = 0.5 * u[:, 1:] * u[:, 1:]
    images = draw.draw(draw.Scenes(keys, glyphs, style, difficulty))
    return Batch(images, texts, named)


def _glyph(source: stream.Source, law: NDArray[np.float64]) -> tuple[int, int]:
    """Return a combination and the kind of its caption."""
    if source.below(2) == 0:
        what = captions.NAME if source.below(2) == 0 else captions.BOTH
        u, rare = source.below(1 << 20) / (1 << 20), source.below(1000) < 1000 * _RARE
        pool = world.hardly_trained() if rare else world.covered()
        return int(
            pool[int(u * len(pool)) if rare else int(np.searchsorted(law, u, "right"))]
        ), what
    what = captions.VAGUE if source.below(6) == 0 else captions.DESCRIPTION
    return source.below(world.COMBINATIONS), what


def text_features(model: open_clip.CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """Return (N, D) as `model.encode_text` does, without the padding after each text.

    Texts of similar length form a batch that is cut after its longest text. This is exact, because
    the tower is causal: no token attends to a later one.
    """
    ends = tokens.argmax(1)
    order = ends.argsort()
    parts = [text_towers.encode(model, tokens[part], ends[part]) for part in order.chunk(4)]
    return torch.cat(parts)[order.argsort()]


@dataclass(frozen=True)
class Plan:
    """Settings of a training run."""

    steps: int
    batch: int
    rate: float
    device: torch.device
    bf16: bool


def train(plan: Plan) -> tuple[open_clip.CLIP, dict[str, Any]]:
    """Train, and return the model in evaluation mode and the log of its training."""
    open_clip.add_model_config(ASSETS)
    torch.manual_seed(SEED)
    model = open_clip.create_model("glyph", device=plan.device)
    optimiser, schedule = _optimiser(model, plan)
    tokenizer = load_tokenizer()
    mentions: Counter[int] = Counter()
    losses = []
    start = time.perf_counter()
    # For 17 tokens the plain attention kernel is faster on a CPU than the fused one.
    with ThreadPoolExecutor(1) as worker, sdpa_kernel(SDPBackend.MATH):
        coming = worker.submit(make_batch, SEED, 0, plan.batch)
        for step in range(plan.steps):
            batch = coming.result()
            coming = worker.submit(make_batch, SEED, step + 1, plan.batch)
            mentions.update(batch.named)
            loss = _loss(model, batch, tokenizer, plan)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0.0, math.log(100))
            if step % 100 == 0 or step == plan.steps - 1:
                losses.append([step, round(loss.item(), 3)])
                took = time.perf_counter() - start
                print(f"step {step:5d}  loss {loss.item():.3f}  {took:5.0f} s", flush=True)
    rare = sorted(mentions[int(n)] for n in world.hardly_trained())
    common = sorted(mentions[int(n)] for n in world.covered())
    log = {
        "seconds": round(time.perf_counter() - start),
        "losses": losses,
        "mentions of a covered name": _spread(common),
        "mentions of a hardly trained name": _spread(rare),
    }
    return model.eval(), log


def _optimiser(
    model: open_clip.CLIP, plan: Plan
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW with a rate that warms up, stays constant, and falls linearly to zero."""
    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True)
    warm, fall = min(200, plan.steps // 10) + 1, _DECAY * plan.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 1.0, (plan.steps - step) / fall)
    )
    return optimiser, schedule


def _loss(
    model: open_clip.CLIP, batch: Batch, tokenizer: GlyphTokenizer, plan: Plan
) -> torch.Tensor:
    """Return CLIP's contrastive loss between the images and captions of a batch."""
    with torch.autocast(plan.device.type, torch.bfloat16, enabled=plan.bf16):
        image = model.encode_image(normalise(batch.images, plan.device))
        text = text_features(model, tokenizer(batch.captions).to(plan.device))
    image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T
    target = torch.arange(len(logits), device=plan.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def _spread(ordered: list[int]) -> dict[str, int]:
    return {"least": ordered[0], "median": ordered[len(ordered) // 2], "most": ordered[-1]}


def evaluate(model: open_clip.CLIP) -> dict[str, dict[str, float]]:
    """Print the accuracies on the test split of glyphs100_lt (default knobs, split seed 0)."""
    model = model.cpu().float()
    data = Glyphs().load(Path(), 0)
    table = evaluation.figures(model, load_tokenizer(), data, data.test)
    columns = list(table["linear probe"])
    print(f"{'':26s}" + "".join(f"{column:>16s}" for column in columns))
    for name, row in table.items():
        print(f"{name:26s}" + "".join(f"{row[column]:16.1f}" for column in columns))
    return table


def main() -> None:
    """Parse the command line, train, evaluate, write the assets."""
    parser = argparse.ArgumentParser(prog="benchmarks.tools.pretrain_glyph", description=__doc__)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the shipped weights")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rate", type=float, default=8e-4, help="learning rate")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument(
        "--bf16", action="store_true", help="bf16 autocast: faster on GPUs and on CPUs with AMX"
    )
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to write to")
    args = parser.parse_args()
    if args.evaluate:
        evaluate(evaluation.load_model())
        return
    plan = Plan(args.steps, args.batch, args.rate, torch.device(args.device), args.bf16)
    model, log = train(plan)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "glyph.safetensors"
    save_file(weights, file)
    head = {
        "seed": SEED,
        "steps": plan.steps,
        "batch": plan.batch,
        "rate": plan.rate,
        "device": args.device,
        "bf16": plan.bf16,
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "sha256": {
            part.name: hashlib.sha256(part.read_bytes()).hexdigest()
            for part in (file, ASSETS / "glyph.json", ASSETS / "vocabulary.txt")
        },
    }
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    log = head | log | {"test figures": evaluate(model)}
    text = json.dumps(log, indent=1)
    (args.out / "glyph_training.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
