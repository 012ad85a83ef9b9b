"""LT-Soups (Aminbeidokhti et al. 2025) against the authors' trainer."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import normal, task
from methods.lt_soups import LTSoups, Pot
from methods.parts.image.finetune import text_head, unfrozen
from methods.parts.image.vit import AdaptedClassifier
from methods.parts.training.optimisers import anneal
from methods.parts.training.subsets import limited

METHOD = LTSoups(epochs=3, steps=0, batch_size=16)


@against(
    "Masseeh/LT-Soups",
    "6c028fdf249783590c10abe9158975743b56d20b",
    ["trainer.py", "models/task_vector.py"],
    differs="a subset is drawn by seed, ratio and sample; the last state of a training is kept, or "
    "with --select val the best, there the best of five on validation images; whole epochs, where "
    "theirs end at 100 steps; no ratio above the data set's own",
    stand_ins="of the trainer, its function for the counts and the one for the learning rate; the "
    "merge of its loop over the ratios, which is not a function",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Counts of the subsets, learning rates of a training, and the chain of merged weights."""
    parts = theirs.definitions("models/task_vector.py", "lerp", "TaskVector",
                               torch=torch, copy=copy, abc=abc)  # fmt: skip
    code = theirs.definitions("trainer.py", "Trainer", np=np, torch=torch, nn=nn,
                              LogitAdjustedLoss=lambda cls_num_list: None)  # fmt: skip
    ours, _ = task()
    counts = [int(count) for count in ours.counts.tolist()]
    settings = Settings(loss_type="LA", micro_batch_size=16, num_epochs=3, eval_freq=1, ls=0.0,
                        lr=METHOD.lr, scheduler="cosine", warmup=True)  # fmt: skip
    me = SimpleNamespace(cfg=settings, cls_num_list=counts, device="cpu", _print=lambda *_: None)
    for k in range(METHOD._ratios(ours)):
        with theirs.usable():
            _, expected = code.Trainer.sample_balance_factor(me, 2**k)
        chosen = limited(ours, min(counts) << k, "soup", k)
        found = torch.bincount(ours.train.labels[chosen], minlength=len(counts))
        yield Pair(f"counts, ratio {2**k}", found, expected, 0.0)

    steps = 50
    schedule = METHOD._schedule(SimpleNamespace(train=range(16 * steps)))  # type: ignore[arg-type]
    mine, other = (torch.optim.SGD([torch.zeros(1)], lr=METHOD.lr) for _ in range(2))
    mine.param_groups[0] |= {"peak": METHOD.lr, "floor": schedule.floor}
    falling = code.Trainer.build_lr_scheduler(me, 3 * steps, other)
    rates: list[tuple[float, float]] = []
    for step in range(3 * steps):
        anneal(mine, step / steps, 3, warmup=schedule.warmup, steps=steps)
        rates.append((mine.param_groups[0]["lr"], other.param_groups[0]["lr"]))
        with theirs.usable():  # which warns that no step of the optimiser came before
            falling.step()
    yield Pair("learning rates", *np.array(rates).T)

    pot = Pot(AdaptedClassifier(unfrozen(ours), text_head(ours)))
    start = {name: value.clone() for name, value in pot.classifier.state_dict().items()}
    soup, share = parts.TaskVector(start), METHOD.merge
    for k in range(METHOD.ratios):
        trained = []
        for branch in range(METHOD.branches):
            state = {
                name: value + normal(f"{name} {k} {branch}", *value.shape)
                for name, value in start.items()
            }
            pot.restart()
            pot.classifier.load_state_dict(state)
            pot.add(1 / (branch + 1))
            trained.append(parts.TaskVector(state))
        pot.stir(share)
        soup = soup * (1 - share) + parts.lerp(parts.TaskVector(start), trained) * share
    pot.serve()
    for name, value in pot.classifier.state_dict().items():
        if name == "head.weight" or name.endswith(".0"):
            yield Pair(f"merged {name}", value, soup.vector[name])
