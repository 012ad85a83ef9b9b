"""Fields read from a source are those that Python finds in the imported class."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from benchmarks.plugins.fields import Field, Fields, fields_of
from benchmarks.plugins.static_reader import read_fields
from methods.registry import METHODS


@contextmanager
def imported(file: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[file.stem]


def same(found: Fields, expected: Fields) -> None:
    assert found == expected
    assert list(found) == list(expected)  # the order of the constructor's arguments


@pytest.mark.parametrize("name", [n for n, e in METHODS.entries().items() if e.class_name])
def test_every_built_in_method_is_read_without_an_import(name: str) -> None:
    entry = METHODS.entries()[name]
    fields = read_fields(entry.file, entry.class_name)
    assert fields is not None, "write defaults and types as literals, or names of such"
    same(fields, fields_of(METHODS.get(name)))


HEAD = """
    from __future__ import annotations
    from collections.abc import Mapping
    from dataclasses import dataclass, field
    from typing import Annotated, ClassVar, Literal
    from benchmarks.augment import Augmentation as Way
    from benchmarks.plugins.ranges import NonNegative, Range
    from benchmarks.protocol import GroupRule, PROTOCOL_VERSION

    HALF = 1 / 2
    Kind = Literal["a", "b"]
"""


def written(folder: Path, body: str) -> Path:
    file = folder / "of_a_test.py"
    file.write_text(dedent(HEAD) + dedent(body), encoding="utf-8")
    return file


READABLE = {
    "literals and arithmetic": """
        @dataclass(frozen=True)
        class C:
            a: int = -3
            b: float = 1 / 3
            c: tuple[int, ...] = (1, 2)
            d: str | None = None
            e: Literal["x", 2] = "x"
    """,
    "names of this module and of others": """
        @dataclass
        class C:
            a: Kind = "a"
            b: Way = "none"
            c: GroupRule | None = None
            d: float = 2 * HALF**2
            e: int = PROTOCOL_VERSION
    """,
    "ranges": """
        Wide = Range(2, high=9.5, open=True)

        @dataclass
        class C:
            a: Annotated[float, NonNegative] = 0.5
            b: Annotated[int | None, Wide] = 3
            c: Annotated[int, Range(16, 4096)] | None = None
    """,
    "what is not a field": """
        @dataclass(frozen=True)
        class C:
            '''A class.'''
            space: ClassVar[Mapping[str, int]] = dict(a=1)
            a: int = 1
            '''A field.'''
            b = 3
            def method(self): ...
    """,
    "a base class": """
        @dataclass
        class B:
            a: int = 1
            b: int = 2

        @dataclass
        class C(B):
            c: int = 3
            a: float = 4.0
    """,
    "a field without a default": """
        @dataclass
        class C:
            a: int
    """,
}
ONLY_BY_IMPORT = {
    "a computed default": """
        @dataclass
        class C:
            a: float = float("2")
    """,
    "a factory": """
        @dataclass
        class C:
            a: dict[str, int] = field(default_factory=dict)
    """,
    "a name set by a loop": """
        for LATER in (1, 2):
            pass

        @dataclass
        class C:
            a: int = LATER
    """,
    "two bases": """
        class A: ...
        class B: ...

        @dataclass
        class C(A, B):
            a: int = 1
    """,
}


@pytest.mark.parametrize("body", READABLE.values(), ids=READABLE)
def test_readable_classes(tmp_path: Path, body: str) -> None:
    file = written(tmp_path, body)
    fields = read_fields(file, "C")
    assert fields is not None
    with imported(file) as module:
        same(fields, fields_of(module.C))


@pytest.mark.parametrize("body", ONLY_BY_IMPORT.values(), ids=ONLY_BY_IMPORT)
def test_classes_that_must_be_imported(tmp_path: Path, body: str) -> None:
    file = written(tmp_path, body)
    assert read_fields(file, "C") is None
    with imported(file) as module:
        assert "a" in fields_of(module.C)


def test_no_code_of_the_file_is_run(tmp_path: Path) -> None:
    file = written(tmp_path, "raise SystemExit\n\n@dataclass\nclass C:\n    a: int = 1\n")
    assert read_fields(file, "C") == {"a": Field(int, 1)}


def test_a_field_declared_wrongly_is_left_to_the_import(tmp_path: Path) -> None:
    """It says what is wrong."""
    for line in ("Annotated[float, NonNegative] = -1.0", "Annotated[float, Range] = 1.0"):
        file = written(tmp_path, f"@dataclass\nclass C:\n    a: {line}\n")
        assert read_fields(file, "C") is None
