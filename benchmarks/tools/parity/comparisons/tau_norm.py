"""tau-normalised classifiers (Kang et al. 2020) against the authors' script."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import ROUNDING, Pair, against
from benchmarks.tools.parity.worlds import normal
from methods.parts.heads.linear_classifiers import LinearHead
from methods.tau_norm import TauNormalised


@against(
    "facebookresearch/classifier-balancing",
    "f162adef63fdf592d0b8a0f6e52bc481fc08785f",
    ["tau_norm.py"],
    differs="tau is chosen on validation images, or is 1; their script prints a range of tau on "
    "the test set",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits of a linear head after normalisation, tau 0 to 2."""
    script = theirs.definitions("tau_norm.py", "pnorm", "dotproduct_similarity", torch=torch)
    head, x = LinearHead(3 * normal("weight", 20, 16)), normal("features", 64, 16)
    for tau in (0.0, 0.5, 1.0, 2.0):
        weight = script.pnorm(head.weight.detach(), tau)
        # Our heads read features scaled to unit mean square.
        logits = script.dotproduct_similarity(x * 16**0.5, weight)
        yield Pair(f"logits, tau {tau:g}", TauNormalised(head, tau)(x), logits, ROUNDING)
