from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins import description
from benchmarks.plugins.entries import Entry
from benchmarks.plugins.fields import Fields, fields_of
from benchmarks.plugins.origins import PluginFile
from benchmarks.plugins.values import apply_fields, choices
from benchmarks.run.batched_fits import batching_of
from methods.registry import METHODS, MethodInfo, info_of
from methods.space import LogUniform, OneOf, Uniform

ORIGIN = PluginFile(Path("mine.py"), Path("/mine.py"))
SUITE = sorted(name for name, entry in METHODS.entries().items() if entry.module is not None)


def sent(name: str) -> Entry:
    """The entry of a method after its way through JSON."""
    assert METHODS._extras is not None
    text = json.dumps([METHODS.description(name)]).encode()
    ((kind, entry),) = description.read(text, ORIGIN, METHODS._extras.read)
    assert kind == "method"
    return entry


@pytest.mark.parametrize("name", SUITE)
def test_a_described_method_is_known_as_an_imported_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, entry = METHODS.get(name), METHODS.entry(name)
    together = batching_of(name)
    read = sent(name)
    assert read.fields == fields_of(cls)
    assert list(read.fields) == list(fields_of(cls))
    assert read.attributes["space"] == cls.space  # type: ignore[attr-defined]
    same = ("name", "file", "summary", "class_name")
    assert [getattr(read, part) for part in same] == [getattr(entry, part) for part in same]
    assert MethodInfo(name, **read.options) == info_of(name)
    monkeypatch.setitem(METHODS.entries(), name, read)
    assert METHODS.described(name)
    assert batching_of(name) == together


@pytest.mark.parametrize(
    ("bases", "body", "together"),
    [
        ("Method", "pass", "alone"),
        ("Method", "def fit_many(self, tasks): ...", "seeds"),
        ("Middle", "pass", "seeds"),
        ("Learner", "pass", "learner"),
        ("Learner", "def fit_many(self, tasks): ...", "learner"),
    ],
)
def test_how_cells_of_a_described_method_are_fitted_together(
    plugin: Callable[[str], Path], bases: str, body: str, together: str
) -> None:
    METHODS.load_file(
        plugin(f"""
            from dataclasses import dataclass
            from methods.base import Method
            from methods.parts.training.learning import Learner
            from methods.registry import register

            class Middle(Method):
                def fit_many(self, tasks): ...

            @register("mine", paper="-", needs="features")
            @dataclass(frozen=True)
            class Mine({bases}):
                {body}
        """)
    )
    assert batching_of("mine") == together
    METHODS.entries()["mine"] = sent("mine")
    del METHODS._classes["mine"]
    assert batching_of("mine") == together
    with pytest.raises(RuntimeError, match=r"'mine'.*this process does not import"):
        METHODS.get("mine")


PLUGIN = '''
    import enum
    from collections.abc import Sequence
    from dataclasses import dataclass, field
    from typing import Annotated, Literal, Optional

    import numpy as np

    from benchmarks.plugins.ranges import NonNegative, Positive, Range
    from methods.base import Method
    from methods.registry import register
    from methods.space import LogUniform, OneOf, Uniform

    @register("described", paper="-", needs="features", tasks=["single"], exempt={"a": "b"})
    @dataclass(frozen=True)
    class Mine(Method):
        """Mine\x1b[2J."""

        needed: int
        rate: Annotated[float, NonNegative] = 0.5
        number: float = np.log(2.0)
        count: Annotated[int | None, Range(1, 9)] = None
        weight: Optional[Annotated[float, Positive]] = 2
        choice: Literal["a", 1, True, None] = "a"
        either: Literal["a", "b"] | None = None
        flag: bool = False
        text: str = "\x1b"
        pair: tuple[int, ...] = (1, (2.5, "x"))
        several: Sequence[int] = field(default_factory=lambda: [1, 2])
        table: dict = field(default_factory=lambda: {1: "x"})
        large: Annotated[float, Range(0, float("inf"))] = 1.0

        space = {
            "rate": LogUniform(0.01, 1), "number": Uniform(-1, 1), "choice": OneOf(("a", 1)),
        }

        def fit(self, task):
            raise NotImplementedError
'''


@pytest.fixture
def pair(plugin: Callable[[str], Path]) -> tuple[Fields, Entry]:
    """Fields of a class, and its entry after its way through JSON."""
    METHODS.load_file(plugin(PLUGIN))
    return fields_of(METHODS.get("described")), sent("described")


def test_every_kind_of_field_survives(pair: tuple[Fields, Entry]) -> None:
    fields, entry = pair
    assert entry.fields is not None
    assert list(entry.fields) == list(fields)
    for name, field in fields.items():
        read = entry.fields[name]
        assert (read.default, read.range) == (field.default, field.range), name
        assert type(read.default) in (type(field.default), float)
        assert read.hint == field.hint or str(read.hint) == str(field.hint)
        assert choices(read.hint) == choices(field.hint)
    assert entry.summary == "Mine\\x1b[2J."
    assert entry.options["tasks"] == ("single",)
    assert entry.options["exempt"] == {"a": "b"}
    assert entry.attributes["space"] == {
        "rate": LogUniform(0.01, 1), "number": Uniform(-1, 1), "choice": OneOf(("a", 1)),
    }  # fmt: skip


GIVEN: list[dict[str, Any]] = [
    {"rate": "0.25", "count": "9", "weight": "none", "choice": "a", "flag": "true", "text": "é"},
    {"rate": -1}, {"count": 10}, {"weight": 0}, {"choice": "b"}, {"either": "c"},
    {"either": "none"}, {"flag": "2"}, {"pair": "1"}, {"several": 5}, {"table": "x"}, {"rat": 1},
    {"rate": "nan"}, {"count": 2.5}, {},
]  # fmt: skip


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_values_are_checked_as_with_the_class(
    given: dict[str, Any], pair: tuple[Fields, Entry]
) -> None:
    def result(fields: Fields | None) -> Any:
        assert fields is not None
        try:
            return json.dumps(apply_fields("method described", fields, needed | given))
        except UserError as error:
            return str(error)

    needed = {"needed": 1} if given else {}
    fields, entry = pair
    assert result(entry.fields) == result(fields)


# ---- what a child may send -----------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "kind": "method",
    "name": "mine",
    "file": __file__,
    "class": "Mine",
    "summary": "Mine.",
    "options": {
        "paper": "-", "needs": "features", "tasks": {"tuple": ["single"]}, "deterministic": False,
        "reconstruction": "", "exempt": {"mapping": []},
    },
    "fields": {"lr": {"type": "float", "default": 0.5, "range": [0, 1, False]}},
    "attributes": {"space": {"lr": ["Uniform", 0, 1]}, "bases": ["a.B"], "fit_many": "a.B"},
}  # fmt: skip

SENT: dict[str, Any] = {
    "nothing": "", "no JSON": "[", "nesting": "[" * 100_000, "null": "null", "number": "5",
    "numbers": "[5]", "text": '["x"]', "empty": "[{}]", "huge number": "[" + "9" * 5000 + "]",
    "kind": {"kind": 5}, "name": {"name": ["mine"]}, "control": {"name": "\x1b[2J"},
    "half": {"name": "\ud800"}, "file": {"file": None}, "no file": {"file": "/no/such/file"},
    "null byte": {"file": "a\0b"}, "long file": {"file": "a" * 5000}, "folder": {"file": "/"},
    "device": {"file": "/dev/zero"}, "no source": {"file": "/bin/sh"},
    "class": {"class": 5}, "summary": {"summary": "\ud800"}, "long": {"summary": "x" * 20_000},
    "fields": {"fields": []}, "field": {"fields": {"lr": 5}}, "field name": {"fields": {"a b": {}}},
    "type": {"fields": {"lr": {"type": "Type"}}},
    "no type": {"fields": {"lr": {}}},
    "types": {"fields": {"lr": {"type": {"union": []}}}},
    "literal": {"fields": {"lr": {"type": {"literal": 5}}}},
    "default": {"fields": {"lr": {"type": "float", "default": float("nan")}}},
    "infinite": {"fields": {"lr": {"type": "float", "default": float("inf")}}},
    "form": {"fields": {"lr": {"type": "float", "default": {"a": 1, "b": 2}}}},
    "mapping": {"fields": {"lr": {"type": "float", "default": {"mapping": [[[], 1]]}}}},
    "range": {"fields": {"lr": {"type": "float", "range": [1, 0, False]}}},
    "range of text": {"fields": {"lr": {"type": "float", "range": ["a", None, False]}}},
    "outside": {"fields": {"lr": {"type": "float", "default": 5, "range": [0, 1, False]}}},
    "options": {"options": {}}, "option": {"options": GOOD["options"] | {"more": {"x": 5}}},
    "paper": {"options": GOOD["options"] | {"paper": 5}},
    "tasks": {"options": GOOD["options"] | {"tasks": "single"[:0] or [5]}},
    "exempt": {"options": GOOD["options"] | {"exempt": 5}},
    "attributes": {"attributes": {}},
    "space": {"attributes": GOOD["attributes"] | {"space": {"lr": ["Normal", 0, 1]}}},
    "space of texts": {"attributes": GOOD["attributes"] | {"space": {"lr": ["Uniform", "a", 1]}}},
    "space of none": {"attributes": GOOD["attributes"] | {"space": {"lr": ["OneOf"]}}},
    "empty space": {"attributes": GOOD["attributes"] | {"space": {"lr": []}}},
    "log of zero": {"attributes": GOOD["attributes"] | {"space": {"lr": ["LogUniform", 0, 1]}}},
    "other field": {"attributes": GOOD["attributes"] | {"space": {"x": ["Uniform", 0, 1]}}},
    "bases": {"attributes": GOOD["attributes"] | {"bases": [5]}},
    "method": {"attributes": GOOD["attributes"] | {"fit_many": None}},
}  # fmt: skip


def read(data: Any) -> list[tuple[str, Entry]]:
    assert METHODS._extras is not None
    text = data if isinstance(data, str) else json.dumps([GOOD | data])
    return description.read(text.encode(), ORIGIN, METHODS._extras.read)


def test_the_description_that_the_others_differ_from_is_good() -> None:
    ((_, entry),) = read({})
    assert (entry.name, entry.origin) == ("mine", ORIGIN)


@pytest.mark.parametrize("case", SENT)
def test_a_wrong_description_is_one_line(case: str) -> None:
    with pytest.raises(UserError) as caught:
        read(SENT[case])
    line = str(caught.value)
    assert "mine.py" in line
    assert len(line) < 3000
    assert line.isprintable()


def test_a_description_has_a_largest_size() -> None:
    with pytest.raises(UserError, match="1,048,577 bytes"):
        read(" " * (2**20 + 1))
