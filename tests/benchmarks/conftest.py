from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.backbones import Backbone
from tests.benchmarks.small import (
    ARCH,
    MODEL,
    forgetting_plugins,
    load_on_cpu,
    make_clip_folder,
)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model; read-only for tests."""
    return make_clip_folder(tmp_path_factory.mktemp("models") / "small_clip")


@pytest.fixture(scope="module")
def small(clip_folder: Path) -> Backbone:
    """The small model, loaded."""
    return load_on_cpu(f"local-dir:{clip_folder}")


@pytest.fixture(scope="session")
def small_arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a small architecture, registered with open_clip, that loads quickly."""
    import open_clip

    folder = tmp_path_factory.mktemp("configs")
    (folder / f"{ARCH}.json").write_text(json.dumps(MODEL), encoding="utf-8")
    open_clip.add_model_config(folder)
    return ARCH


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes a plug-in file; its registrations are removed after the test."""

    def write(text: str, file: str = "mine.py") -> Path:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    with forgetting_plugins():
        yield write
