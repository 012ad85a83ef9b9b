"""The notebook docs/results.ipynb: what it shows, and that its cells still run."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from reports import api

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "results.ipynb"
LARGEST = 400_000
"""Bytes."""


def cells() -> list[Any]:
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def trees() -> Iterator[ast.Module]:
    for cell in cells():
        yield ast.parse("\n".join(x for x in cell.source.splitlines() if not x.startswith("%")))


def test_every_cell_was_run_in_its_order_and_shows_its_value() -> None:
    assert FILE.stat().st_size < LARGEST
    found = cells()
    assert [cell.execution_count for cell in found] == list(range(1, len(found) + 1))
    for cell, tree in zip(found, trees(), strict=True):
        kinds = [output.output_type for output in cell.outputs]
        shows = tree.body and isinstance(tree.body[-1], ast.Expr)
        # No errors, and no warnings, which would be streams.
        assert kinds == ["execute_result"] * bool(shows), cell.source


def test_tables_and_figures_are_shown_as_such() -> None:
    kinds = {kind for cell in cells() for output in cell.outputs for kind in output.data}
    assert kinds == {"text/plain", "text/html", "image/png"}
    pages = [o.data["text/html"] for c in cells() for o in c.outputs if "text/html" in o.data]
    assert any("font-weight: bold" in page and "<caption>" in page for page in pages)


def test_nothing_in_it_is_of_the_machine_that_ran_it() -> None:
    text = FILE.read_text("utf-8")
    assert "/tmp/" not in text and "/home/" not in text and str(ROOT) not in text


def test_the_cells_use_the_documented_functions_alone() -> None:
    used = set()
    for tree in trees():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Import)
            if isinstance(node, ast.ImportFrom):
                assert node.module == "reports.api"
                assert {alias.name for alias in node.names} <= set(api.__all__)
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in api.__all__
            ):
                used.add(node.func.id)
                known = inspect.signature(getattr(api, node.func.id)).parameters
                assert {keyword.arg for keyword in node.keywords} <= set(known)
    assert used == set(api.__all__)


@pytest.mark.slow
def test_the_cells_run() -> None:
    from nbclient import NotebookClient

    notebook = nbformat.read(FILE, as_version=4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FILE.parent}}
    )
    client.execute(env=environment)  # raises what a cell raises
