"""Hints from a wrong name to the right one."""

from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import OTHER_NAMES, did_you_mean, one_line
from benchmarks.sweep.tracks import KINDS
from methods.registry import METHODS


def test_other_names_lead_to_names_that_exist() -> None:
    known = {*METHODS.entries(), *DATASETS.entries(), *KINDS}
    known |= {field for name in METHODS.entries() for field in METHODS.fields(name)}
    known |= {field for name in DATASETS.entries() for field in DATASETS.fields(name)}
    assert set(OTHER_NAMES.values()) <= known
    assert not OTHER_NAMES.keys() & known


def test_another_name_is_a_hint_only_where_ours_is_known() -> None:
    assert str(did_you_mean("field", "Weight-Decay", ["lr", "weight_decay"])).endswith(
        "weight_decay?"
    )
    assert "Did you mean: lr?" in str(did_you_mean("field", "learning_rate", ["lr", "tau"]))
    assert "Known: tau." in str(did_you_mean("field", "learning_rate", ["tau"]))


def test_of_many_known_names_the_first_three_are_shown() -> None:
    names = [f"n{i:02}" for i in range(13)]
    assert str(did_you_mean("field", "xyz", names)).endswith("Known: n00, n01, n02, ….")
    assert str(did_you_mean("field", "xyz", names[:5])).endswith("Known: n00, n01, n02, n03, n04.")
    assert "n12." in str(did_you_mean("field", "xyz", names, most=13))


def test_the_message_of_an_error_fits_into_a_sentence() -> None:
    assert one_line(ValueError("a\n  b.\n")) == "a b"
    assert one_line(ValueError("")) == one_line(ValueError(" . ")) == "ValueError"
    assert one_line(ValueError("x" * 9), limit=5) == "xxxx…"
