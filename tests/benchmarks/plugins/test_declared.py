"""Fields read from a source are those that Python finds in the imported class."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from benchmarks.plugins.declared import MISSING, Declared, Field, read_fields
from methods.registry import METHODS


def by_python(cls: Any) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(cls)
    return {f.name: (hints[f.name], f.default) for f in dataclasses.fields(cls)}


def plain(fields: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (field.hint, field.default) for name, field in fields.items()}


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


@pytest.mark.parametrize("name", [n for n, e in METHODS.entries().items() if e.class_name])
def test_every_built_in_method_is_read_without_an_import(name: str) -> None:
    entry = METHODS.entries()[name]
    fields = read_fields(entry.file, entry.class_name)
    assert fields is not None, "write defaults and types as literals, or names of such"
    expected = by_python(METHODS.get(name))
    assert plain(fields) == expected
    assert list(fields) == list(expected)  # the order of the constructor's arguments


HEAD = """
    from __future__ import annotations
    from collections.abc import Mapping
    from dataclasses import dataclass, field
    from typing import ClassVar, Literal
    from benchmarks.augment import Augmentation as Way
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
    "what is no field": """
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
    "a default that is made": """
        @dataclass
        class C:
            a: float = float("2")
    """,
    "a factory": """
        @dataclass
        class C:
            a: dict[str, int] = field(default_factory=dict)
    """,
    "a name that a loop gave": """
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
def test_what_can_be_read(tmp_path: Path, body: str) -> None:
    file = written(tmp_path, body)
    fields = read_fields(file, "C")
    assert fields is not None
    with imported(file) as module:
        expected = by_python(module.C)
    assert plain(fields) == expected
    assert list(fields) == list(expected)


@pytest.mark.parametrize("body", ONLY_BY_IMPORT.values(), ids=ONLY_BY_IMPORT)
def test_what_only_an_import_can_tell(tmp_path: Path, body: str) -> None:
    file = written(tmp_path, body)
    assert read_fields(file, "C") is None
    with imported(file) as module:
        assert "a" in by_python(module.C)


def test_no_code_of_the_file_is_run(tmp_path: Path) -> None:
    file = written(tmp_path, "raise SystemExit\n\n@dataclass\nclass C:\n    a: int = 1\n")
    assert read_fields(file, "C") == {"a": Field(int, 1)}


def test_a_class_at_hand_says_the_same() -> None:
    @dataclasses.dataclass
    class Knobs:
        a: int
        b: tuple[int, ...] = dataclasses.field(default_factory=tuple)

    found = Declared.of(Knobs)
    assert found.fields == {"a": Field(int, MISSING), "b": Field(tuple[int, ...], ())}
    assert not found.is_method
    assert Declared.of(METHODS.get("lift")).is_method
