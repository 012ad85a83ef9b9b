"""Installed packages that cannot be imported, told from faults of this project.

Versions of torch, torchvision and NumPy that do not fit each other, a library of the system that is
missing, or a limit of memory: the import raises an error of nearly any type. This module needs the
standard library alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.errors import one_line

_ROOT = Path(__file__).resolve().parents[1]
_OURS = ("benchmarks", "methods", "reports", "results", "tests")


def missing(names: Sequence[str]) -> list[str]:
    """Packages among some that are not installed, by the names that they are imported by.

    A folder of that name in the working directory, such as `wandb/`, is not the package.
    """
    found = {name: find_spec(name) for name in names}
    return [name for name, spec in found.items() if spec is None or spec.origin is None]


def why_unusable(error: BaseException) -> str:
    """A line on the package whose import raised an error; "" if the error came from elsewhere."""
    absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0]
    if absent in sys.stdlib_module_names:
        return (
            f"this Python ({sys.executable}) was built without its module '{absent}': install "
            "another one, or the library that the module needs, and build it again."
        )
    if absent and absent not in _OURS:
        return (
            f"the Python package '{absent}' is not installed for {sys.executable}: run "
            "`make demo`, which installs everything, or `pip install -e .` with that Python."
        )
    package = _being_imported(error)
    if not package:
        return ""
    reason = one_line(error)
    if "failed to map segment" in reason or isinstance(error, MemoryError):
        remedy = (
            "raise the limit of memory (`ulimit -v`), or install to a folder that programs may run "
            "from"
        )
    else:
        remedy = (
            "a library of the system is missing, or the versions of packages do not fit each "
            "other; `make demo` installs those of constraints.txt"
        )
    return (
        f"the Python package '{package}' cannot be imported by {sys.executable} ({reason}): "
        f"{remedy}."
    )


def _being_imported(error: BaseException) -> str:
    """The innermost package, not of this project, that was being imported when an error arose."""
    found, trace = "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code.co_name == "<module>" and name != "__main__":
            place = Path(frame.f_code.co_filename)
            foreign = name not in _OURS and (
                not place.is_relative_to(_ROOT) or "site-packages" in place.parts
            )
            if foreign and _installed(name):
                found = name
        trace = trace.tb_next
    return found


def _installed(name: str) -> bool:
    """False for a plug-in, which is imported by its path."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: a module in mid-import
        return name in sys.modules
