"""Records brought in line with the recipes of a sweep."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from benchmarks.sweep.plan import Planned
from results.schema import RecordError
from results.store import Store


def renew_recipe_state(planned: Sequence[Planned], store: Store) -> list[Planned]:
    """Note in finished records whether their recipe is stale now.

    A recipe that is tuned again and has the same winner leaves the cell what it was, so nothing is
    computed again; but its record says that the recipe was stale.

    Args:
        planned: cells with their records.
        store: the store of the records.

    Returns:
        The same cells with the records as they are now.
    """
    found = []
    for p in planned:
        record, tuning = p.record, p.cell.tuning
        if record is None or p.state != "done" or record.tuning is None or tuning is None:
            found.append(p)
            continue
        now = dataclasses.replace(record.tuning, stale=tuning.stale)
        if now != record.tuning:
            record = dataclasses.replace(record, tuning=now)
            with contextlib.suppress(OSError, RecordError):  # the table is right all the same
                store.rename(record.key, record)
            p = dataclasses.replace(p, record=record)
        found.append(p)
    return found
