"""Errors that a user can cause; each message is one line: what is wrong and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """An error that only the user can correct: the command line prints it and exits with 2."""


class DataError(UserError):
    """Unusable data, or a disk that takes none: ends the run, not only a cell as a method's."""


class DataMissing(DataError):
    """Missing data or weights: not on this machine, and could not be fetched."""


class NotApplicable(Exception):
    """The method does not apply to this data set or backbone; recorded, not a failure."""


_COMPARED, _NAMES = 200, 10_000
"""Longest name in characters, and most names, among which similar ones are looked for."""


OTHER_NAMES = {
    "learning_rate": "lr", "learningrate": "lr", "base_lr": "lr", "eta": "lr",
    "wd": "weight_decay", "decay": "weight_decay", "l2": "weight_decay",
    "bs": "batch_size", "batch": "batch_size", "train_batch_size": "batch_size",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "epoch": "epochs",
    "num_ctx": "contexts", "n_ctx": "contexts", "ctx": "contexts", "csc": "class_specific",
    "adapter_dim": "bottleneck", "loss_type": "loss", "criterion": "loss",
    "ir": "imbalance", "imb_factor": "imbalance",
    "imbalance_ratio": "imbalance", "imb_type": "profile", "augmentation": "augment",
    "zeroshot": "zero_shot", "clip": "zero_shot", "linear_probing": "linear_probe",
    "lp": "linear_probe", "la": "logit_adjustment", "logit_adjusted": "logit_adjustment",
    "task_residual": "taskres", "zs_lp": "clap", "zslp": "clap", "lp++": "lp_plus_plus",
    "lpp": "lp_plus_plus", "ss_text+": "ss_text", "sstext": "ss_text", "sstext+": "ss_text",
    "fft": "full_finetune", "fine_tuning": "full_finetune",
    "cifar100": "cifar100_lt", "cifar10": "cifar10_lt", "imagenet": "imagenet_lt",
    "places": "places_lt", "inaturalist": "inat2018", "inat": "inat2018", "voc": "voc_lt",
    "coco": "coco_lt",
    "tb": "tensorboard", "w&b": "wandb", "weights_and_biases": "wandb", "ml_flow": "mlflow",
}  # fmt: skip
"""Names that other code and papers use, and ours."""


def did_you_mean(kind: str, name: str, known: Iterable[str], most: int = 12) -> UserError:
    """The error for an unknown `name`: similar names, or the known ones if none is similar.

    Of more than `most` known names the message has the first three.
    """
    names = sorted(name for name in known if len(name) <= _COMPARED)
    if len(name) > _COMPARED:  # the comparison takes a time that grows with the square
        return UserError(f"Unknown {kind} '{name[:_COMPARED]}…'.")
    lower = {n.lower(): n for n in names}
    ours = OTHER_NAMES.get(name.lower().replace("-", "_"), "")
    near = (
        [ours]
        if ours in names
        else [
            lower[n]
            for n in difflib.get_close_matches(name.lower(), list(lower)[:_NAMES], n=3, cutoff=0.5)
        ]
    )
    if near:
        hint = f"Did you mean: {', '.join(near)}?"
    else:
        hint = f"Known: {', '.join(names if len(names) <= most else [*names[:3], '…'])}."
    return UserError(f"Unknown {kind} '{name}'. {hint}")


def counted(number: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of an error on one line, without a full stop; its type if there is no message.

    Args:
        error: any error.
        limit: largest number of characters.
    """
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_few(items: Sequence[str], between: str = ", ", limit: int = 3) -> str:
    """The first `limit` items as text, and the number of further ones."""
    more = f"{between}and {len(items) - limit} more" if len(items) > limit else ""
    return between.join(items[:limit]) + more


def of_the_system(error: OSError) -> str:
    """A line on a file, disk or limit of the machine that an operation failed on.

    Empty if the error names no file and has no known remedy: then it may be a fault of the suite.
    """
    remedy = _REMEDIES.get(error.errno or 0, "")
    if not remedy and error.filename is None:
        return ""
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    what = f"Cannot use {' and '.join(files)}" if files else "The system refuses"
    line = f"{what}: {error.strerror or error}"
    return f"{line}; {remedy}." if remedy else f"{line}."


_REMEDIES = {
    errno.ENOSPC: "free some space and give the same command again, finished cells are kept",
    errno.EDQUOT: "free some space and give the same command again, finished cells are kept",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EACCES: "change its permissions or name another place",
    errno.EPERM: "change its permissions or name another place",
    errno.EROFS: "name a place that can be written",
    errno.EMFILE: "allow more open files with `ulimit -n`",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "close other programs, or use a machine with more memory",
}
