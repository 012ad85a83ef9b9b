"""Source fingerprints of methods: what makes a record stale, and what does not."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins import sources
from benchmarks.plugins.catalog import Catalog
from benchmarks.sweep import fingerprints as fingerprints_of
from methods import registry
from methods.parts import losses
from tests.benchmarks.small import forgetting_plugins

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what methods import, from which fingerprints are made instead."""
    for name in ("methods", "benchmarks/towers", "benchmarks/plugins"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for file in ROOT.glob("benchmarks/*.py"):
        shutil.copy(file, tmp_path / "benchmarks" / file.name)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    catalog = Catalog("method", "methods", tmp_path / "methods", "none")
    for module in (registry, fingerprints_of):
        monkeypatch.setattr(module, "METHODS", catalog)
    monkeypatch.setattr(losses, "FOLDER", tmp_path / "methods" / "parts" / "losses")
    return tmp_path


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with forgetting_plugins():
        yield


def fingerprints() -> dict[str, str]:
    fingerprints_of._fingerprint.cache_clear()
    sources._file.cache_clear()
    return {name: fingerprints_of.fingerprint(name, {}) for name in registry.METHODS.entries()}


def fingerprint(name: str, **config: str) -> str:
    fingerprints_of._fingerprint.cache_clear()
    sources._file.cache_clear()
    return fingerprints_of.fingerprint(name, config)


def append(file: Path, text: str) -> None:
    file.write_text(f"{file.read_text('utf-8')}\n{text}\n", encoding="utf-8")


def changes(name: str, file: Path, text: str = "edited = True") -> bool:
    """True if the fingerprint of one method changes with a line of code at the end of a file."""
    before = fingerprint(name)
    append(file, text)
    return fingerprint(name) != before


def changed_by(file: Path, text: str = "edited = True") -> set[str]:
    """Methods whose fingerprint changes with a line of code at the end of a file."""
    before = fingerprints()
    append(file, text)
    after = fingerprints()
    return {name for name in before if before[name] != after[name]}


# ---- what counts --------------------------------------------------------------------------------


def test_fingerprints_differ_and_are_the_same_each_time(tree: Path) -> None:
    first = fingerprints()
    assert len(set(first.values())) == len(first) and first == fingerprints()
    assert all(len(value) == 16 for value in first.values())


@pytest.mark.parametrize("name", ["lift", "zero_shot", "logit_adjustment"])
def test_an_edit_of_a_method_changes_its_fingerprint_alone(tree: Path, name: str) -> None:
    assert changed_by(tree / "methods" / f"{name}.py") == {name}


def test_an_edit_of_a_part_changes_those_that_import_it(tree: Path) -> None:
    vit = changed_by(tree / "methods" / "parts" / "image" / "vit.py")
    assert {"lift", "sage"} <= vit and not {"linear_probe", "zero_shot", "lmpt", "ncm"} & vit


def test_the_towers_are_a_part_of_what_trains_in_them(tree: Path) -> None:
    towers = tree / "benchmarks" / "towers"
    image = changed_by(towers / "image.py")
    assert {"lift", "sage", "full_finetune"} <= image
    assert not {"linear_probe", "zero_shot", "lmpt", "ncm"} & image
    blocks = changed_by(towers / "blocks.py")
    assert {"lift", "lmpt", "coop"} <= blocks and not {"linear_probe", "ncm"} & blocks


@pytest.mark.parametrize("module", ["randomness", "augment"])
def test_what_methods_compute_with_in_benchmarks_counts(tree: Path, module: str) -> None:
    file = tree / "benchmarks" / f"{module}.py"
    assert changes("lift", file) and not changes("ncm", file)


def test_modules_that_do_not_count_exist_and_are_in_no_fingerprint(tree: Path) -> None:
    files = {module: sources._file(tree, module) for module in sources.NOT_COUNTED}
    assert None not in files.values(), f"some have moved: NOT_COUNTED must follow ({files})"
    before = fingerprints()
    for file in files.values():
        append(file, "edited = True")
    assert fingerprints() == before


def test_a_part_named_like_a_file_of_the_contract_counts(tree: Path) -> None:
    part = tree / "methods" / "parts" / "base.py"
    part.write_text("x = 1\n", encoding="utf-8")
    append(tree / "methods" / "zero_shot.py", "import methods.parts.base")
    assert changed_by(part) == {"zero_shot"}


def test_a_package_counts_with_the_code_of_its_init(tree: Path) -> None:
    package = tree / "methods" / "parts" / "image" / "__init__.py"
    assert not changes("lift", package, '"""More prose."""')
    assert changes("lift", package, "x = 1")


@pytest.mark.parametrize("version", ["PROTOCOL_VERSION", "FEATURES_VERSION"])
def test_a_new_protocol_or_other_features_make_everything_stale(
    tree: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    before = fingerprints()
    monkeypatch.setattr(fingerprints_of, version, getattr(fingerprints_of, version) + 1)
    after = fingerprints()
    assert all(before[name] != after[name] for name in before)


def test_new_training_pixels_make_stale_what_sees_images(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprints()
    monkeypatch.setattr(fingerprints_of, "PIXELS_VERSION", fingerprints_of.PIXELS_VERSION + 1)
    changed = {name for name, value in fingerprints().items() if value != before[name]}
    assert changed == {name for name in before if registry.info_of(name).needs == "images"}
    assert {"lift"} <= changed < set(before)


@pytest.mark.parametrize(
    "line",
    [
        "from methods.parts.image.vit import Tower",
        "from methods.parts.image import adapters, vit",
        "import methods.parts.image.vit",
        "import methods.parts.image.vit as v",
        "import os, methods.parts.image.vit",
        "from .parts.image.vit import Tower",
        "from .parts.image import vit",
        "if True: from .parts.image import vit",
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["top", "in a function"])
def test_every_way_to_import_a_part_counts(tree: Path, line: str, inside: bool) -> None:
    user = tree / "methods" / "zero_shot.py"
    text = user.read_text(encoding="utf-8")
    append(user, f"def later():\n    {line}" if inside else line)
    part = tree / "methods" / "parts" / "image" / "vit.py"
    assert changes("zero_shot", part)
    user.write_text(text, encoding="utf-8")
    assert not changes("zero_shot", part)


def test_an_import_for_types_alone_does_not_count(tree: Path) -> None:
    user = tree / "methods" / "zero_shot.py"
    block = "if TYPE_CHECKING:\n    from methods.parts.image.vit import Tower\n\n"
    assert not changes("zero_shot", user, block)
    assert not changes("zero_shot", tree / "methods" / "parts" / "image" / "vit.py")


def test_a_part_may_import_its_neighbour_relatively(tree: Path) -> None:
    parts = tree / "methods" / "parts"
    append(parts / "heads" / "priors.py", "from ..image import vit")
    assert changes("logit_adjustment", parts / "image" / "vit.py")


def test_another_module_of_the_same_code_counts(tree: Path) -> None:
    """The name that is imported is the same, and so are the modules, but not which one it is of."""
    parts = tree / "methods" / "parts"
    (parts / "one.py").write_text("def f():\n    return 1\n", encoding="utf-8")
    (parts / "two.py").write_text("def f():\n    return 2\n", encoding="utf-8")
    user = tree / "methods" / "zero_shot.py"
    text = user.read_text(encoding="utf-8")
    append(user, "import methods.parts.one, methods.parts.two\nfrom methods.parts.one import f")
    first = fingerprint("zero_shot")
    user.write_text(text, encoding="utf-8")
    append(user, "import methods.parts.one, methods.parts.two\nfrom methods.parts.two import f")
    assert fingerprint("zero_shot") != first


# ---- losses by name ------------------------------------------------------------------------------


def test_only_the_loss_that_a_cell_names_counts(tree: Path) -> None:
    before = {loss: fingerprint("linear_probe", loss=loss) for loss in ("auto", "ldam_drw", "db")}
    append(tree / "methods" / "parts" / "losses" / "single_label" / "ldam_drw.py", "x = 1")
    after = {loss: fingerprint("linear_probe", loss=loss) for loss in before}
    assert {loss for loss in before if before[loss] != after[loss]} == {"ldam_drw"}


def test_a_new_loss_is_in_no_fingerprint(tree: Path) -> None:
    settings = ("auto", "la", "asl")
    before = [fingerprints(), *(fingerprint("linear_probe", loss=loss) for loss in settings)]
    folder = tree / "methods" / "parts" / "losses" / "single_label"
    (folder / "ours.py").write_text((folder / "la.py").read_text("utf-8"), encoding="utf-8")
    assert before == [fingerprints(), *(fingerprint("linear_probe", loss=s) for s in settings)]


@pytest.mark.parametrize(("name", "loss"), [("linear_probe", "ce"), ("lift", "la"), ("coop", "ce")])
def test_the_loss_that_a_method_picks_itself_counts(tree: Path, name: str, loss: str) -> None:
    file = tree / "methods" / "parts" / "losses" / "single_label" / f"{loss}.py"
    assert changes(name, file)


# ---- what does not ------------------------------------------------------------------------------


def _in_other_words(text: str) -> str:
    """The code of a module with its docstrings reworded, and with remarks and blank lines."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.strip().startswith('"""') and not inside:
            line = line.replace('"""', '"""In other words. ', 1)
        inside ^= line.count('"""') == 1
        lines.append(line if inside or not line else f"{line}  # a remark\n")
    return "\n".join(lines) + "\n"


def test_prose_and_blank_lines_are_in_no_fingerprint(tree: Path) -> None:
    before = fingerprints()
    for file in [*tree.glob("methods/**/*.py"), *tree.glob("benchmarks/towers/*.py")]:
        text = file.read_text("utf-8")
        file.write_text(_in_other_words(text), encoding="utf-8")
    assert fingerprints() == before


def test_a_moved_module_is_in_no_fingerprint(tree: Path) -> None:
    before = fingerprints()
    (tree / "benchmarks" / "towers").rename(tree / "benchmarks" / "image_models")
    (tree / "methods" / "parts" / "image").rename(tree / "methods" / "parts" / "pictures")
    for file in [*tree.glob("methods/**/*.py"), *tree.glob("benchmarks/**/*.py")]:
        text = file.read_text("utf-8")
        text = text.replace("benchmarks.towers", "benchmarks.image_models")
        file.write_text(text.replace("methods.parts.image", "methods.parts.pictures"), "utf-8")
    assert fingerprints() == before


def test_the_order_of_imports_is_in_no_fingerprint(tmp_path: Path) -> None:
    first = b"import math\nimport torch\nfrom methods.parts import a, b\n\nx = 1\n"
    other = b"from methods.parts import (\n    b,\n    a,\n)\nimport torch, math\nx = 1\n"
    assert sources.read(first, "") == sources.read(other, "")


@pytest.mark.parametrize(
    ("code", "same"),
    [
        ("def f(x):\n    '''Doc.'''\n    return x\n", "def f(x):\n\n    return x  # all\n"),
        (
            "class A:\n    x: int = 1\n    '''Doc.'''\n    y = 2\n",
            "class A:\n  x: int = 1\n  y = 2\n",
        ),
        ("x = f(1, 2)\n", "x = f(\n    1,  # first\n    2\n)\n"),
        ("if TYPE_CHECKING:\n    import a\nx = 1\n", "x = 1\n"),
    ],
)
def test_the_same_code(code: str, same: str) -> None:
    assert sources.read(code.encode(), "").digest == sources.read(same.encode(), "").digest


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("x = 1\n", "x = 2\n"),
        ("x = 'a'\n", "x = 'b'\n"),
        ("x = f'{a}'\n", "x = f'{b}'\n"),
        ("x = f'{a!r:>{w}} and {b}'\n", "x = f'{a!r:>{v}} and {b}'\n"),
        ("if a:\n    b()\nc()\n", "if a:\n    b()\n    c()\n"),
        ("x = 1\ny = 2\n", "y = 2\nx = 1\n"),
        ("return_('''doc''')\n", "return_()\n"),
    ],
)
def test_other_code(code: str, other: str) -> None:
    assert sources.read(code.encode(), "").digest != sources.read(other.encode(), "").digest


def test_a_string_of_the_code_counts_and_a_docstring_does_not() -> None:
    def digest(text: str) -> str:
        return sources.read(text.encode(), "").digest

    assert digest("'''Doc.'''\nx = 'a'\n") == digest("x = 'a'\n") != digest("x = 'b'\n")


# The hash of known code, so that it cannot drift with the version of Python: `f"…"` is one token
# before Python 3.12 and several since. sha256 of the tokens joined by U+001E, worked out by hand:
# x = f"{a} b" <NEWLINE>.
@pytest.mark.parametrize("string", ['f"{a} b"', "f'''{a}\n  é {b}\n{c}\n d'''"])
def test_the_hash_is_the_same_on_every_python(string: str) -> None:
    tokens = ["x", "=", string, "NEWLINE"]
    expected = hashlib.sha256("\x1e".join(tokens).encode()).hexdigest()
    assert sources.read(f"x = {string}  # why\n".encode(), "").digest == expected


def test_text_between_two_places() -> None:
    lines = ["abcd\n", "efgh\n", "ijkl\n", "mnop\n"]
    assert sources._between(lines, (2, 1), (2, 3)) == "fg"
    assert sources._between(lines, (1, 3), (2, 1)) == "d\ne"
    assert sources._between(lines, (1, 2), (4, 1)) == "cd\nefgh\nijkl\nm"


@pytest.mark.parametrize("text", ["import torch\n", "from methods.parts import heads\n", "x = 1\n"])
def test_a_module_is_empty_without_code_and_imports(text: str) -> None:
    doc = "'''Doc.'''\n"
    assert sources.read(doc.encode(), "").empty
    assert not sources.read(f"{doc}{text}".encode(), "").empty


# ---- plug-ins -----------------------------------------------------------------------------------

PLUGIN = '''
from dataclasses import dataclass
from methods.base import Method, Predictor, Task
from methods.registry import register
{imports}

@register("mine", paper="A. Author 2026", needs="features", deterministic=True)
@dataclass(frozen=True)
class Mine(Method):
    """One line."""

    def fit(self, task: Task) -> Predictor:
        {body}
        return Predictor(lambda batch: batch.inputs[:, : task.num_classes])
'''


def test_the_fingerprint_of_a_plugin_covers_its_file_and_the_parts_it_uses(
    tree: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine_plugin.py"
    imports = "from methods.parts.heads.priors import prior_from_texts"
    file.write_text(PLUGIN.format(imports=imports, body="pass"), encoding="utf-8")
    registry.METHODS.load_file(file)

    def now() -> str:
        return fingerprint("mine")

    before = now()
    append(tree / "methods" / "parts" / "heads" / "priors.py", "x = 1")
    after = now()
    assert before != after
    append(tree / "methods" / "parts" / "image" / "vit.py", "x = 1")
    assert now() == after
    file.write_text(PLUGIN.format(imports=imports, body="x = 1"), encoding="utf-8")
    assert now() != after


def test_the_fingerprint_of_a_plugin_covers_the_modules_beside_it(tmp_path: Path) -> None:
    texts = {
        "one.py": "import two as t\n", "two.py": "def f():\n    from . import four\n",
        "three.py": "x = 1\n", "four.py": "x = 1\n", "unused.py": "x = 1\n",
        "group/__init__.py": "x = 1\n", "group/five.py": "from .six import x\n",
        "group/six.py": "import three\n", "group/unused.py": "x = 1\n", "random.py": "x = 1\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    file = tmp_path / "mine_plugin.py"
    imports = "import random\nfrom one import t\n"
    text = PLUGIN.format(imports=imports, body="import group.five")
    file.write_text(text, encoding="utf-8")
    registry.METHODS.load_file(file)
    changed = {name for name in texts if changes("mine", tmp_path / name)}
    assert changed == texts.keys() - {"unused.py", "group/unused.py", "random.py"}
    before = fingerprint("mine")
    append(tmp_path / "four.py", "# a remark")
    assert fingerprint("mine") == before


def test_the_place_of_a_plugin_and_of_its_neighbours_is_in_no_fingerprint(tmp_path: Path) -> None:
    found = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "beside.py").write_text("x = 1\n", encoding="utf-8")
        file = folder / f"plugin_{name}.py"
        file.write_text(PLUGIN.format(imports="from beside import x", body="pass"), "utf-8")
        with forgetting_plugins():
            registry.METHODS.load_file(file)
            found.append(fingerprint("mine"))
    assert found[0] == found[1]


def test_a_neighbour_that_cannot_be_read_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def f(:\n", encoding="utf-8")
    file = tmp_path / "mine_plugin.py"
    body = "from beside import x"
    file.write_text(PLUGIN.format(imports="", body=body), encoding="utf-8")
    registry.METHODS.load_file(file)
    with pytest.raises(UserError, match=r"beside\.py cannot be read as Python in UTF-8"):
        fingerprint("mine")
