"""Losses: one file each, `single_label/NAME.py` or `multi_label/NAME.py`.

The file's name is the loss's name on the command line; a new file is found without an edit
elsewhere. A method with a `loss` field calls `named_loss` for a loss that the user names, and only
the file of that loss counts in the fingerprint of the cell. A method that picks a loss itself, also
as its default, imports it from its file. Start with `base.py`, the protocol of a loss.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.errors import NotApplicable

if TYPE_CHECKING:
    from methods.base import Task
    from methods.parts.losses.base import LossFunction

FOLDER = Path(__file__).parent
_MULTI_LABEL_FIELDS = (
    "db_neg_scale", "db_mu", "asl_gamma_pos", "asl_detach", "bal_power", "bal_divisor",
)  # fmt: skip


def loss_names(kind: Literal["single", "multi"]) -> list[str]:
    """Names of the losses for a kind of task, sorted."""
    files = (FOLDER / f"{kind}_label").glob("[a-z]*.py")
    return sorted(file.stem for file in files)


def loss_files(name: str) -> list[Path]:
    """Source files of the losses that have a name: none, or one for a kind of task."""
    files = (FOLDER / f"{kind}_label" / f"{name}.py" for kind in ("single", "multi"))
    return [file for file in files if file.is_file()]


def named_loss(name: str, task: Task, **settings: float | str) -> LossFunction:
    """Return the loss called `name` for a task, importing its module only.

    Args:
        name: one of `loss_names(task.kind)`.
        task: classes, counts and kind.
        settings: hyper-parameters of all losses by name; the loss's `make` receives those that it
            has a parameter for.

    Raises:
        NotApplicable: no loss for this kind of task has the name.
    """
    names = loss_names(task.kind)
    if name not in names:
        raise NotApplicable(
            f"{name} is not a loss for {task.kind}-label data: choose {', '.join(names)}"
        )
    make = importlib.import_module(f"{__name__}.{task.kind}_label.{name}").make
    wanted = inspect.signature(make).parameters
    loss: LossFunction = make(task, **{key: settings[key] for key in settings if key in wanted})
    return loss


def multi_label_settings(method: Any) -> dict[str, float | str]:
    """The settings of the multi-label losses, from the fields of a method that has them all.

    Args:
        method: an instance with fields of these names, such as coop, lmpt or linear_probe.
    """
    return {name: getattr(method, name) for name in _MULTI_LABEL_FIELDS}


if TYPE_CHECKING:
    LossName = str
    MultiLabelLossName = str
else:
    # Computed, so that the choices of a `loss` field follow the folders. This module imports no
    # torch: the reader of fields may import it.
    MultiLabelLossName = Literal[tuple(loss_names("multi"))]
    LossName = Literal[tuple(dict.fromkeys(["auto", *loss_names("single"), *loss_names("multi")]))]
