"""Files that `new-method` writes, from the texts in `new_methods/`."""

from __future__ import annotations

import keyword
import re
from contextlib import suppress
from pathlib import Path
from string import Template

from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError
from benchmarks.packages import missing
from benchmarks.plugins.entries import LONGEST_NAME
from methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[3]
_TEXTS = Path(__file__).parent / "new_methods"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"all", "recipe"}
"""Words that mean something else where a method's name may be typed."""


def write_method(name: str, needs: str, outside: Path | None = None) -> tuple[Path, Path]:
    """Write a method and its test.

    Args:
        name: of the method and of its file.
        needs: "features" or "images".
        outside: folder for both, made if it is missing; None puts them among those of the suite.

    Returns:
        The two files.

    Raises:
        UserError: the name cannot be used, a file exists, or it cannot be written. Nothing is left
            behind then.
    """
    _refuse(name)
    if outside is not None and not missing([name]):
        raise UserError(
            f"'{name}' is a Python package, which {name}.py would hide from the files beside it: "
            "choose another name."
        )
    if outside is None:
        file, test = ROOT / "methods" / f"{name}.py", ROOT / "tests" / "methods" / f"test_{name}.py"
    else:
        file, test = outside / f"{name}.py", outside / f"test_{name}.py"
    for path in (file, test):
        if path.exists() or path.is_symlink():
            raise UserError(f"{path} exists already: choose another name.")
    words = {
        "name": name,
        "cls": _class_name(name, _text(needs)),
        "parent": ".parent" if outside is not None else '.parents[2] / "methods"',
        "words": '"--plugin", str(FILE)' if outside is not None else f'"{name}"',
    }
    written: list[Path] = []
    try:
        for path, text in ((file, needs), (test, "test")):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as out:
                written.append(path)
                out.write(Template(_text(text)).substitute(words))
    except OSError as error:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error
    return file, test


def _text(name: str) -> str:
    return (_TEXTS / f"{name}.py.txt").read_text(encoding="utf-8")


def _class_name(name: str, text: str) -> str:
    """A name for the class that the text does not use for anything else."""
    found = "".join(part.capitalize() for part in name.split("_"))
    return f"{found}Method" if re.search(rf"\b{found}\b", text) else found


def _refuse(name: str) -> None:
    """Refuse a name that no method can have, or that is in use.

    Raises:
        UserError: it is such a name.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST_NAME:
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        good = _NAME.fullmatch(better) and not keyword.iskeyword(better) and better != name
        hint = f": '{better[:LONGEST_NAME]}' would do" if good else ""
        raise UserError(
            f"A method cannot be called '{name}'; small letters, digits and _ can be typed "
            f"anywhere{hint}."
        )
    if name == "conftest" or name.startswith("test_"):
        raise UserError(f"pytest would take {name}.py for a file of tests: choose another name.")
    if name in _RESERVED:
        raise UserError(f"'{name}' means something else on the command line: choose another name.")
    for catalog in (METHODS, DATASETS):
        if name in catalog.entries():
            raise UserError(
                f"A {catalog.kind} is called '{name}' already ({catalog.entry(name).file}): choose "
                "another name."
            )
