"""Installed packages that cannot be imported, told from faults of this project.

Versions of torch, torchvision and NumPy that do not fit each other, a library of the system that is
missing, or a limit of memory: the import raises an error of nearly any type. The standard library
is all that this module imports.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_OURS = ("benchmarks", "methods", "reports", "results", "tests")


def why_unusable(error: BaseException) -> str:
    """A line on the package whose import raised an error; "" if the error came from elsewhere."""
    missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0]
    if missing in sys.stdlib_module_names:
        return (
            f"this Python ({sys.executable}) was built without its module '{missing}': install "
            "another one, or the library that the module needs, and build it again."
        )
    if missing and missing not in _OURS:
        return (
            f"the Python package '{missing}' is not installed for {sys.executable}: run "
            "`make demo`, which installs everything, or `pip install -e .` with that Python."
        )
    package = _being_imported(error)
    if not package:
        return ""
    reason = " ".join(str(error).split()) or type(error).__name__
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
        f"the Python package '{package}' cannot be imported by {sys.executable} ({reason[:300]}): "
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
