"""Finding methods without importing them, plug-in files, and fingerprints of their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins.catalog import Catalog
from methods import registry
from methods.base import Method
from methods.registry import METHODS, fingerprint

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = '''
from dataclasses import dataclass
from methods.base import Method, Predictor, Task
from methods.registry import register
{imports}

@register("{name}", paper="A. Author 2026", needs="features", deterministic=True)
@dataclass(frozen=True)
class Mine(Method):
    """One line."""

    lr: float = 0.5

    def fit(self, task: Task) -> Predictor:
        {body}
        return Predictor(lambda batch: batch.inputs[:, : task.num_classes])
'''


def plugin(folder: Path, name: str = "mine", imports: str = "", body: str = "pass") -> Path:
    file = folder / f"{name}_plugin.py"
    file.write_text(PLUGIN.format(name=name, imports=imports, body=body), encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """What a test registers is gone after it."""
    entries = dict(METHODS.entries())
    yield
    METHODS._entries = entries
    METHODS._classes = {name: cls for name, cls in METHODS._classes.items() if name in entries}
    fingerprint.cache_clear()
    for name in [m for m in sys.modules if m.startswith("plugin_")]:
        del sys.modules[name]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of methods/ and benchmarks/towers/ that the registry reads instead."""
    folder = tmp_path / "methods"
    for name in ("methods", "benchmarks/towers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    monkeypatch.setattr(registry, "FOLDER", folder)
    rescan(monkeypatch)
    return folder


def rescan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "METHODS", Catalog("method", "methods", registry.FOLDER, "none"))
    fingerprint.cache_clear()


def fingerprints() -> dict[str, str]:
    fingerprint.cache_clear()
    return {name: fingerprint(name) for name in registry.METHODS.entries()}


def changed_by(file: Path) -> set[str]:
    """Methods whose fingerprint an edit of a file changes."""
    before = fingerprints()
    file.write_text(file.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    after = fingerprints()
    return {name for name in before if before[name] != after[name]}


# ---- listing ------------------------------------------------------------------------------------


def test_every_file_in_methods_is_found_with_its_card():
    contract = {"__init__", "base", "registry", "space"}
    files = {f.stem for f in (ROOT / "methods").glob("*.py")} - contract
    builtin = {n: e for n, e in METHODS.entries().items() if e.module is not None}
    assert {entry.file.stem for entry in builtin.values()} == files
    assert {"zero_shot", "lift", "sage", "lmpt"} <= set(builtin)
    assert all(issubclass(METHODS.get(name), Method) for name in builtin)


@pytest.mark.parametrize(
    "code",
    [
        "from methods.registry import METHODS; assert 'lift' in METHODS.entries()",
        "from methods.registry import fingerprint; assert len(fingerprint('lift')) == 16",
        "import runpy; sys.argv = ['run_benchmarks.py', 'list', 'methods']\n"
        "try: runpy.run_path('run_benchmarks.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code",
    ],
    ids=["entries", "fingerprint", "command line"],
)
def test_listing_imports_no_torch(code):
    check = "\nfor name in ('torch', 'open_clip', 'methods.base', 'methods.lift'):\n"
    check += "    assert name not in sys.modules, name"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{check}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(
        UserError, match=r"Unknown method 'linear_prob'\. Did you mean: linear_probe"
    ):
        METHODS.get("linear_prob")
    with pytest.raises(UserError, match=r"Known: .*lift"):
        METHODS.get("qqqq")


# ---- plug-in files ------------------------------------------------------------------------------


def test_a_plugin_file_registers_its_method(tmp_path):
    file = plugin(tmp_path)
    assert METHODS.load_file(file) == ["mine"]
    cls, entry = METHODS.get("mine"), METHODS.entries()["mine"]
    assert cls(lr=0.1).lr == 0.1 and issubclass(cls, Method)
    assert cls.info.name == "mine" and cls.info.deterministic and cls.info.tasks == ("single",)
    assert (
        entry.file == file and entry.summary == "One line." and entry.options["needs"] == "features"
    )


def test_a_plugin_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"No plug-in file at .*nothing\.py"):
        METHODS.load_file(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "registers no method"),
        ("import not_a_module_at_all\n", "ModuleNotFoundError.*not_a_module_at_all"),
        ("def broken(:\n", "SyntaxError"),
        ("raise ValueError('why')\n", "ValueError: why"),
    ],
    ids=["no registration", "import error", "syntax error", "any error"],
)
def test_a_plugin_that_cannot_be_used(tmp_path, source, message):
    file = tmp_path / "bad.py"
    file.write_text(source, encoding="utf-8")
    known = set(METHODS.entries())
    with pytest.raises(UserError, match=message) as caught:
        METHODS.load_file(file)
    assert str(file) in str(caught.value)
    assert set(METHODS.entries()) == known


def test_a_name_that_is_taken_is_refused(tmp_path):
    builtin = METHODS.get("lift")
    with pytest.raises(
        UserError, match=r"Two methods are called 'lift': .*lift\.py and .*plugin\.py"
    ):
        METHODS.load_file(plugin(tmp_path, name="lift"))
    assert METHODS.get("lift") is builtin
    other = tmp_path / "other"
    other.mkdir()
    METHODS.load_file(plugin(tmp_path))
    with pytest.raises(UserError, match="Two methods are called 'mine'"):
        METHODS.load_file(plugin(other))


def test_two_files_of_methods_with_one_name_are_refused(tree, monkeypatch):
    shutil.copy(tree / "lift.py", tree / "lift_copy.py")
    rescan(monkeypatch)
    with pytest.raises(UserError, match=r"'lift' is registered twice: .*lift\.py and .*_copy\.py"):
        registry.METHODS.entries()


# ---- fingerprints -------------------------------------------------------------------------------


def test_fingerprints_differ_and_are_the_same_each_time(tree):
    first = fingerprints()
    assert len(set(first.values())) == len(first) and first == fingerprints()
    assert all(len(value) == 16 for value in first.values())


@pytest.mark.parametrize("name", ["lift", "zero_shot", "logit_adjustment"])
def test_an_edit_of_a_method_changes_its_fingerprint_alone(tree, name):
    assert changed_by(tree / f"{name}.py") == {name}


def test_an_edit_of_a_part_changes_those_that_import_it(tree):
    losses = changed_by(tree / "parts" / "losses.py")
    assert {"lift", "sage", "lmpt", "logit_adjustment", "linear_probe"} <= losses
    assert not {"zero_shot", "ncm"} & losses
    vit = changed_by(tree / "parts" / "vit.py")
    assert {"lift", "sage"} <= vit and not {"linear_probe", "zero_shot", "lmpt", "ncm"} & vit


def test_the_towers_pass_is_a_part_of_what_trains_in_it(tree):
    towers = tree.parent / "benchmarks" / "towers"
    image = changed_by(towers / "image.py")
    assert {"lift", "sage", "full_finetune"} <= image
    assert not {"linear_probe", "zero_shot", "lmpt", "ncm"} & image
    blocks = changed_by(towers / "blocks.py")
    assert {"lift", "lmpt", "coop"} <= blocks and not {"linear_probe", "ncm"} & blocks


def test_parts_that_parts_import_count(tree):
    own = (tree / "ncm.py").read_text(encoding="utf-8")
    assert "parts.recipes" not in own and "parts.heads" in own  # which imports recipes
    assert "ncm" in changed_by(tree / "parts" / "recipes.py")


@pytest.mark.parametrize("file", ["base.py", "registry.py", "__init__.py"])
def test_the_contract_is_in_no_fingerprint(tree, file):
    assert not changed_by(tree / file)


def test_a_part_named_like_a_file_of_the_contract_counts(tree):
    (tree / "parts" / "base.py").write_text("x = 1\n", encoding="utf-8")
    user = tree / "zero_shot.py"
    user.write_text(
        user.read_text(encoding="utf-8") + "\nimport methods.parts.base\n", encoding="utf-8"
    )
    assert changed_by(tree / "parts" / "base.py") == {"zero_shot"}


@pytest.mark.parametrize("version", ["PROTOCOL_VERSION", "FEATURES_VERSION"])
def test_a_new_protocol_or_other_features_make_everything_stale(tree, monkeypatch, version):
    before = fingerprints()
    monkeypatch.setattr(registry, version, getattr(registry, version) + 1)
    after = fingerprints()
    assert all(before[name] != after[name] for name in before)


def test_new_training_pixels_make_stale_what_sees_images(tree, monkeypatch):
    before = fingerprints()
    monkeypatch.setattr(registry, "PIXELS_VERSION", registry.PIXELS_VERSION + 1)
    changed = {name for name, value in fingerprints().items() if value != before[name]}
    assert changed == {name for name in before if registry.info_of(name).needs == "images"}
    assert {"lift"} <= changed < set(before)


@pytest.mark.parametrize(
    "line",
    [
        "from methods.parts.losses.single_label import cross_entropy",
        "from methods.parts import heads, losses",
        "import methods.parts.losses.single_label",
        "import methods.parts.losses.single_label as l",
        "from .parts.losses import cross_entropy",
        "from .parts import losses",
        "from . import logit_adjustment",
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["top", "in a function"])
def test_every_way_to_import_a_part_counts(tree, line, inside):
    user = tree / "zero_shot.py"
    text = user.read_text(encoding="utf-8")
    extra = f"\ndef later():\n    {line}\n" if inside else f"\n{line}\n"
    user.write_text(text + extra, encoding="utf-8")
    assert "zero_shot" in changed_by(tree / "parts" / "losses.py")
    user.write_text(text, encoding="utf-8")
    assert "zero_shot" not in changed_by(tree / "parts" / "losses.py")


def test_a_part_may_import_its_neighbour_relatively(tree):
    heads = tree / "parts" / "heads.py"
    heads.write_text(heads.read_text(encoding="utf-8") + "\nfrom . import vit\n", encoding="utf-8")
    assert "ncm" in changed_by(tree / "parts" / "vit.py")


def test_fingerprint_of_a_plugin_covers_its_file_and_the_parts_it_uses(tmp_path, monkeypatch):
    folder = tmp_path / "methods"
    shutil.copytree(ROOT / "methods", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "FOLDER", folder)
    file = plugin(tmp_path, imports="from methods.parts.losses.single_label import cross_entropy")
    METHODS.load_file(file)

    def now() -> str:
        fingerprint.cache_clear()
        return fingerprint("mine")

    before = now()
    (folder / "parts" / "losses.py").write_text("# other\n", encoding="utf-8")
    after = now()
    assert before != after
    (folder / "parts" / "vit.py").write_text("# other\n", encoding="utf-8")
    assert now() == after
    plugin(
        tmp_path,
        imports="from methods.parts.losses.single_label import cross_entropy",
        body="x = 1",
    )
    assert now() != after
