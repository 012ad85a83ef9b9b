"""The page of building blocks: its examples run, and its table says where the blocks are."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.plugins import sources
from benchmarks.plugins.sources import Counted
from methods.registry import METHODS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "building_blocks.md"


def rows() -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Blocks, modules and methods of each row of the table."""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| ["):
            blocks, modules, users = line.strip("|").split("|")
            yield (
                re.findall(r"`([\w.]+)`", blocks),
                [name for name in re.findall(r"`([\w.]+)`", modules) if name != "Task"],
                users.replace(",", " ").split(),
            )


ROWS = list(rows())


def test_the_examples_give_what_the_page_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.failed == 0
    assert found.attempted > 40


def test_there_are_ten_and_each_has_its_section() -> None:
    text = PAGE.read_text("utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(ROWS) == 10
    assert [", ".join(blocks) for blocks, _, _ in ROWS] == heads[:10]
    links = re.findall(r"^\| \[[^]]+\]\(#([^)]+)\)", text, re.MULTILINE)
    assert links == [re.sub(r"[^\w-]", "", head.lower().replace(" ", "-")) for head in heads[:10]]
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:11]:
        assert ">>> " in section
        assert "* **Source**" in section or "Learner" in section
        assert "* **Raises**" in section or section.startswith("CosineHead")


@pytest.mark.parametrize(("blocks", "modules", "users"), ROWS, ids=lambda part: part[0])
def test_a_block_is_where_the_table_says_and_its_methods_use_it(
    blocks: list[str], modules: list[str], users: list[str]
) -> None:
    found = [importlib.import_module(module) for module in modules]
    for block in blocks:
        name = block.rpartition(".")[2]
        owners = [*found, *(module.Task for module in found if block.startswith("task."))]
        assert any(hasattr(owner, name) for owner in owners), block
    assert users
    files = [Path(module.__file__ or "") for module in found]
    for user in users:
        reached = {one.file for one in sources.closure([Counted(METHODS.entry(user).file)])}
        counted = [file for file in files if file.stem != "base"]
        assert not counted or reached & set(counted), user
        if not counted:
            assert "text_features" in METHODS.entry(user).file.read_text("utf-8")
