"""YAML and JSON from elsewhere: no code, no endless work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.errors import UserError
from benchmarks.yaml_files import DuplicateKey, Refused, load_json, load_yaml, yaml_mapping

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {p: 1, q: 2, r: 3}\n" + "".join(
    f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 20)}]\n"
    for before, name in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "more than 300,000 values"),
        (MERGES, "more than 300,000 values"),
        ("[" * 1_000 + "]" * 1_000, "inside each other"),
        ("{a: " * 1_000, "inside each other"),
        ("a: &a [1, *a]", r"the alias \*a contains itself"),
        ("a: 1" + ":59" * 50_000, "a number of 150,001 characters"),
        ("a: 0x" + "f" * 50_000, "a number of 50,002 characters"),
        ("a: " + "9" * 50_000, "a number of 50,000 characters"),
        ("a: !!float '" + "1" * 101 + "'", "a number of 101 characters"),
        ("a: !!python/object/apply:os.mkdir [FOLDER]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ('a: "\\ud800"', "a character without a form"),
        ("a: 2024-13-01", "month must be"),
        ("a: !!bool x", "the type that its tag says"),
        ("a: !!timestamp x", "the type that its tag says"),
        ("a: !!int ''", "the type that its tag says|invalid"),
        ("a\0: 1", "not allowed"),
        ("1: a\n'1': b", "both as a text and as a number"),
    ],
)
def test_yaml_that_attacks_its_reader(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text(text.replace("FOLDER", str(tmp_path / "made")), encoding="utf-8")
    with pytest.raises(UserError, match=says) as caught:
        yaml_mapping(file, "a mapping")
    message = str(caught.value)
    assert "\n" not in message and str(file) in message and len(message) < 500
    assert not (tmp_path / "made").exists()


def test_a_large_yaml_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 34)
    with pytest.raises(UserError, match=r"large.yaml: 17,180 MB, more than the 4 MB"):
        yaml_mapping(file, "a mapping")


@pytest.mark.parametrize("length", [0, 300_000])
def test_aliases_and_merges_work(length: int) -> None:
    """A long text is read by another parser."""
    rest = "#" * length
    found = load_yaml("base: &b {x: 1}\nmore: {<<: *b, y: [*b, *b]}\n" + rest)
    assert found == {"base": {"x": 1}, "more": {"x": 1, "y": [{"x": 1}, {"x": 1}]}}
    assert load_yaml("[1_000, -2, 16, 1.5, 1e3, .inf]\n" + rest)[:4] == [1000, -2, 16, 1.5]
    assert load_yaml(rest) is None
    with pytest.raises(DuplicateKey, match=r"'a' appears twice \(line 2\)"):
        load_yaml("a: 1\na: 2\n" + rest)
    for attack in (LAUGHS, "[" * 100, "a: !!python/name:os.system", "a: " + "9" * 200, "&a [*a]"):
        with pytest.raises((ValueError, yaml.YAMLError)):
            load_yaml(attack + "\n" + rest)


def test_what_is_not_a_mapping_is_cut_in_the_message(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("[" + "1, " * 900 + "1]")
    with pytest.raises(UserError) as caught:
        yaml_mapping(file, "a mapping")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, "NaN", "9" * 9_999])
def test_json_that_attacks_its_reader(text: str) -> None:
    with pytest.raises(ValueError):
        load_json(text)


def test_half_a_character_in_json_is_refused() -> None:
    assert load_json('["\\ud83d\\ude00"]') == ["😀"]
    with pytest.raises(ValueError, match="surrogates"):
        load_json('{"a": ["\\ud83d"]}')


@pytest.mark.parametrize(
    ("number", "read"), [("010", 8), ("-012", -10), ("0x10", 16), ("0b11", 3), ("1:30", 90)]
)
@pytest.mark.parametrize("length", [0, 100_000])
def test_numbers_that_are_not_what_they_look_like(number: str, read: int, length: int) -> None:
    text = f"# {'x' * length}\nclasses: [{number}, b]\n"
    with pytest.raises(Refused) as caught:
        load_yaml(text)
    assert f"{number} is {read} in YAML (line 2)" in str(caught.value)
    assert "'" + number + "' in quotes" in str(caught.value)
    quoted = load_yaml(text.replace(number, f"'{number}'"))
    assert quoted == {"classes": [number, "b"]}


def test_numbers_as_they_look() -> None:
    text = "[0, 7, 007, 008, 1_000, -3, 1.10, 0.5, 1e3, 1.0e+3, +4]"
    assert load_yaml(text) == [0, 7, 7, "008", 1000, -3, 1.1, 0.5, "1e3", 1000.0, 4]


def test_a_refused_number_names_its_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("name: 010\n")
    with pytest.raises(UserError) as caught:
        yaml_mapping(file, "a mapping")
    assert str(caught.value).startswith(f"{file}: 010 is 8 in YAML (line 1)")
