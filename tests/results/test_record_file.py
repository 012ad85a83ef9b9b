"""Damage to the file of a record: each kind is refused with a reason, and never raises another."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import record_file
from results.schema import RecordError
from tests.results.factory import change_file, make_record, with_key

RECORD = with_key(make_record())
SUM = "0123456789abcdef" * 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / f"{RECORD.key}.json")


def write(file: Path) -> Path:
    file.write_text(record_file.text_of(RECORD, SUM), encoding="utf-8")
    return file


def test_what_is_written_is_read(file: Path) -> None:
    assert record_file.read(file) == record_file.RecordFile(RECORD, SUM)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))  # as Git checks out on Windows
    assert record_file.read(file).record == RECORD
    change_file(file, lambda data: data.pop("predictions_sha256"))
    assert record_file.read(file) == record_file.RecordFile(RECORD, None)  # of an earlier version


Place = tuple[str | int, ...]
WRONG_VALUES: dict[str, tuple[Place, Any, str]] = {
    "a percentage above 100": (("metrics", "overall"), 180, "record.metrics.overall"),
    "a negative one": (("metrics", "few"), -5, "record.metrics.few"),
    "a huge float": (("metrics", "balanced"), 1e300, "record.metrics.balanced"),
    "a huge integer": (("metrics", "ece"), 10**400, "record.metrics.ece"),
    "a class above 100": (("metrics", "per_class", 0), 100.1, "record.metrics.per_class"),
    "a huge class": (("metrics", "per_class", 5), 10**400, "record.metrics.per_class"),
    "no accuracy": (("metrics", "overall"), None, "metrics.overall is None"),
    "no accuracy of a group": (("metrics", "many"), None, "metrics.many is None"),
    "a negative count": (("groups", "train_counts", 1), -1, "record.groups.train_counts"),
    "groups that do not add up": (("groups", "many"), 3, "groups.many is 3, but 2 classes"),
    "a class in no group": (("groups", "membership", 0), "most", "groups.many is 2, but 1"),
    "an infinite time": (("cost", "fit_s"), 1e308, "record.cost.fit_s"),
    "a negative time": (("cost", "eval_s"), -0.1, "record.cost.eval_s"),
    "nothing fitted together": (("cost", "fitted_together"), 0, "record.cost.fitted_together"),
    "negative parameters": (("cost", "trainable_params"), -1, "record.cost.trainable_params"),
    "a huge memory": (("cost", "peak_memory_mb"), 1e300, "record.cost.peak_memory_mb"),
    "a negative seed": (("seed",), -1, "record.seed"),
    "another seed": (("seed",), 1, "not that of its key"),
    "another method": (("method",), "sage", "not that of its key"),
    "another hyper-parameter": (("config", "lr"), 0.02, "not that of its key"),
    "another data set": (("dataset",), "cifar100_lt", "not that of its key"),
    "other weights": (("provenance", "weights_id"), "glyph-2", "not that of its key"),
    "another source": (("provenance", "fingerprint"), "0" * 64, "key does not follow"),
    "another key": (("key",), "0" * 16, "record of another cell, 0000000000000000: the file was"),
    "a key of a list": (("key",), [], "record.key"),
    "a very long name": (("dataset",), "x" * 5_000, "record.dataset"),
    "a very long note": (("notes",), ["x" * 30_000], "record.notes"),
    "a control character": (("dataset",), "cifar\x1b[2J", "record.dataset"),
    "one in a list": (("class_names", 2), "\x07", "record.class_names"),
    "half a surrogate pair": (("recipe",), "\ud800", "surrogates not allowed"),
    "one in a key": (("config", "\udcff"), 1, "surrogates not allowed"),
    "deep brackets": (("config", "lr"), json.loads("[" * 60 + "]" * 60), "record.config"),
    "a huge hyper-parameter": (("config", "lr"), 10**30, "record.config.lr"),
    "a long one": (("dataset_config", "x"), "x" * 30_000, "record.dataset_config.x"),
    "an unknown task": (("task",), "triple", "record.task"),
    "a list for a status": (("status",), [], "record.status"),
    "no checksum of predictions": (("predictions_sha256",), 5, "'5' is no checksum"),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_a_wrong_value_is_refused_and_named(file: Path, case: str) -> None:
    place, value, says = WRONG_VALUES[case]

    def change(data: dict[str, Any]) -> None:
        inner: Any = data
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value

    change_file(file, change)
    assert says in refused(file)


WRONG_TEXTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda text: b"", "not JSON"),
    "half": (lambda text: text[: len(text) // 2], "not JSON"),
    "zeros": (lambda text: bytes(len(text)), "not JSON"),
    "NaN": (lambda text: text.replace(b'"overall": 50.0', b'"overall": NaN'), "NaN is not a"),
    "infinity": (lambda text: text.replace(b"3.25", b"-Infinity"), "-Infinity is not a number"),
    "overflow": (lambda text: text.replace(b"3.25", b"1e999"), "record.metrics.ece"),
    "digits": (lambda text: text.replace(b"3.25", b"9" * 5000), "not JSON"),
    "a key twice": (lambda text: text.replace(b"{\n", b'{"key": "a",\n', 1), "appears twice"),
    "one twice within": (lambda text: text.replace(b'"ece"', b'"few": 1, "ece"'), "appears twice"),
    "not UTF-8": (lambda text: text.replace(b"glyph", b"gl\xff"), "not JSON ('utf-8' codec"),
    "UTF-16": (lambda text: text.decode().encode("utf-16"), "not JSON ('utf-8' codec"),
    "brackets": (lambda text: b"[" * 200_000, "nested without end"),
    "mappings": (lambda text: b'{"a":' * 200_000, "nested without end"),
    "another digit": (lambda text: text.replace(b"50.0", b"51.0"), "the checksum is not that"),
    "another note": (lambda text: text.replace(b"two cores", b"two_cores"), "the checksum is not"),
    "a longer file": (lambda text: text + b" ", "the checksum is not that"),
    "no checksum": (lambda text: re.sub(b'sum": ".*"', b'sum": "x"', text), "'x' is no checksum"),
    "no mapping": (lambda text: b"[1]", "not a record"),
    "a newer schema": (lambda text: text.replace(b'version": 1', b'version": 2'), "update the"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_TEXTS)
def test_a_damaged_text_is_refused(file: Path, case: str) -> None:
    change, says = WRONG_TEXTS[case]
    before = file.read_bytes()
    file.write_bytes(change(before))
    assert file.read_bytes() != before
    assert says in refused(file)


def test_what_is_no_readable_file_is_refused(file: Path, tmp_path: Path) -> None:
    def instead(make: Callable[[Path], Any]) -> str:
        file.unlink(missing_ok=True)
        make(file)
        return refused(file)

    assert "a folder, a pipe or a device" in instead(os.mkfifo)
    assert "No such file" in instead(lambda path: path.symlink_to(tmp_path / "nowhere"))
    assert "symbolic links" in instead(lambda path: path.symlink_to(path))
    assert "a folder, a pipe or a device" in instead(lambda path: path.symlink_to("/dev/zero"))

    def huge(path: Path) -> None:
        with path.open("wb") as stream:
            stream.truncate(2**30)

    assert "1,073,741,824 bytes, more than any record has" in instead(huge)
    file.unlink()
    file.mkdir()
    assert "a folder, a pipe or a device" in refused(file)


def test_a_flipped_bit_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    draw = random.Random(0)
    for position in draw.sample(range(len(whole)), 60):
        flip(file, whole, position, draw)
        refused(file)


@pytest.mark.slow
def test_a_flipped_bit_in_any_byte_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    draw = random.Random(0)
    for position in range(len(whole)):
        flip(file, whole, position, draw)
        refused(file)


def flip(file: Path, whole: bytes, position: int, draw: random.Random) -> None:
    changed = bytearray(whole)
    changed[position] ^= 1 << draw.randrange(8)
    file.write_bytes(changed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**400, "\ud800", "x" * 2000, -1, 101, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)  # fmt: skip


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A copy of JSON data in which one value at any depth is another one, more, or gone."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 9)):
        if isinstance(value, list):
            place: Any = draw(st.integers(0, len(value) - 1))
            changed: Any = list(value)
        else:
            place = draw(st.sampled_from(sorted(value)))
            changed = dict(value)
        if draw(st.integers(0, 4)):
            changed[place] = mutated(draw, value[place])
        else:
            del changed[place]
        return changed
    return draw(json_values)


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    return mutated(draw, json.loads(record_file.text_of(RECORD, SUM)))


def check_mutation(folder: Path, data: Any) -> None:
    """The file is refused with a reason, or it is a record that can be written and read again."""
    file = folder / f"{RECORD.key}.json"
    if isinstance(data, dict):
        data.pop("checksum", None)
    file.write_text(json.dumps(data), encoding="utf-8")
    try:
        found = record_file.read(file)
    except RecordError as error:
        reason = record_file.reason(error)
        assert reason and "\n" not in reason and len(reason) < 600
        reason.encode()
        return
    file.write_text(record_file.text_of(found.record, found.predictions_sha256), encoding="utf-8")
    assert record_file.read(file) == found


@settings(max_examples=60, derandomize=True)
@given(data=mutations())
def test_a_changed_record_is_refused_or_used(
    data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_mutation(tmp_path_factory.getbasetemp(), data)


@pytest.mark.slow
@settings(max_examples=800)
@given(data=mutations())
def test_many_changed_records_are_refused_or_used(
    data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_mutation(tmp_path_factory.getbasetemp(), data)


def refused(file: Path) -> str:
    with pytest.raises((RecordError, OSError)) as caught:
        record_file.read(file)
    reason = record_file.reason(caught.value)
    assert "\n" not in reason and len(reason) < 600
    return reason


def test_what_could_not_be_read_back_is_not_written() -> None:
    assert RECORD.metrics is not None
    for record in (
        replace(RECORD, metrics=replace(RECORD.metrics, overall=180.0)),
        replace(RECORD, notes=("\x1b[2J",)),
        replace(RECORD, dataset="\ud800"),
        replace(RECORD, seed=5),
        replace(RECORD, config={"lr": 10**30}),
    ):
        with pytest.raises(RecordError):
            record_file.text_of(record, None)
