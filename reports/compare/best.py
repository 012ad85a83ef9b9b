"""The rows that may be the best: multiple comparisons with the best (Hsu 1996).

Every row is tested against the row of the best mean. The row that is truly the best is left out
only if its test against some row B, that of the best mean, says that it is worse, which is false
for each of the other K - 1 rows. Each test has the level alpha / (K - 1), so this happens in at
most alpha of the tables (Bonferroni), whichever row has the best mean. Nothing like it holds for
all rows at once: some row that is as good as the best is left out more often.

Hsu, Multiple Comparisons: Theory and Methods, 1996. Hsu's own test needs equal variances and
normal means; the paired intervals here have neither.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from reports.compare.intervals import LEVEL

R = TypeVar("R", bound=Hashable)


def not_shown_worse(scores: Mapping[R, float], p_worse: Callable[[R, R], float]) -> set[R]:
    """The row of the best score and all rows that are not shown to be worse.

    Args:
        scores: mean of each row, one or more; the highest is the best.
        p_worse: one-sided p-value of two rows; a small one shows that the first is worse than the
            second.
    """
    best = max(scores, key=scores.__getitem__)
    level = LEVEL / max(len(scores) - 1, 1)
    return {row for row in scores if row == best or p_worse(row, best) >= level}
