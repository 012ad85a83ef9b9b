"""Tip-Adapter (Zhang et al. 2022) against the authors' functions."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import normal
from methods.tip_adapter import ALPHAS, BETAS, Cache, best_on_validation, label_sets

CLASSES, WIDTH, SHOTS = 20, 32, 4


@against(
    "gaopengcuhk/Tip-Adapter",
    "d0e2d6f8c5feb8b6ce937b757810761f7155d4d5",
    ["main.py", "utils.py"],
    differs="keys are features of the image itself, there means over ten augmented views; a class "
    "with fewer images has fewer keys; alpha and beta are searched with --select val only",
    stand_ins="their function for the accuracy, which does not run under NumPy 2.4",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits of cache and text classifier, and the alpha and beta that the search finds."""
    seen: list[Tensor] = []
    chosen: list[tuple[float, float]] = []

    def kept(logits: Tensor, labels: Tensor) -> float:
        seen.append(logits)
        return _accuracy(logits, labels)

    search = theirs.definitions("utils.py", "search_hp", cls_acc=_accuracy).search_hp

    def searched(*arguments: Any, **named: Any) -> Any:
        chosen.append(search(*arguments, **named))
        return chosen[-1]

    code = theirs.definitions("main.py", "run_tip_adapter", cls_acc=kept, search_hp=searched)
    text, centres = (F.normalize(normal(n, CLASSES, WIDTH), dim=-1) for n in ("texts", "centres"))
    labels = torch.arange(CLASSES).repeat(SHOTS)
    keys = _near(centres, labels, "keys")
    targets = torch.arange(CLASSES).repeat(10)
    validation, test = (_near(centres + text, targets, n) for n in ("validation", "test"))
    module = Cache(100 * text, keys, label_sets(labels, CLASSES), alpha=1.17, beta=1.0)
    settings = {"init_beta": 1, "init_alpha": 1.17, "search_hp": True,
                "search_scale": [7, 3], "search_step": [len(BETAS), len(ALPHAS)]}  # fmt: skip
    code.run_tip_adapter(
        settings, keys.T, label_sets(labels, CLASSES), validation, targets, test, targets, text.T
    )
    zero_shot, first, *_, last = seen
    yield Pair("zero-shot logits", validation @ module.weight.T, zero_shot)
    yield Pair("logits, alpha 1.17, beta 1", module.of(validation), first)
    held_out: Any = SimpleNamespace(
        validation=SimpleNamespace(features=lambda: validation, labels=targets)
    )
    alpha, beta = best_on_validation(held_out, module)
    yield Pair("beta and alpha of the search", (beta, alpha), chosen[0])
    module.alpha.fill_(alpha)
    module.beta.fill_(beta)
    yield Pair("test logits with these", module.of(test), last)


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    """Accuracy in percent."""
    return float(100 * (logits.argmax(1) == labels).double().mean())


def _near(centres: Tensor, labels: Tensor, purpose: str) -> Tensor:
    """Unit features around the centre of each label."""
    noise = normal(purpose, len(labels), centres.shape[1])
    return F.normalize(centres[labels] + 0.25 * noise, dim=-1)
