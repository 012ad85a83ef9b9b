"""A user's own data from the command line to the record."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import run_benchmarks
from benchmarks.datasets.own.places import Places
from benchmarks.datasets.own.spec import read_spec
from results.schema import Record
from results.store import Store
from tests.benchmarks.datasets.own_files import describe, image, table, tree
from tests.benchmarks.small import make_clip_folder

ROOT = Path(__file__).resolve().parents[3]
Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{make_clip_folder(tmp_path_factory.mktemp('models') / 'clip')}"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], cache: Path) -> Command:
    """Run the command line; returns its status and all that it printed, as one line."""

    def run(*words: str) -> tuple[int, str]:
        status = run_benchmarks.main(list(words))
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def sweep(command: Command, small_clip: str, tmp_path: Path) -> Command:
    """Run or plan cells on the small backbone, in the test's own folder."""

    def run(verb: str, typed: str, methods: str, *more: str) -> tuple[int, str]:
        return command(
            verb, "--datasets", typed, "--methods", methods, "--backbone", small_clip,
            "--out", str(tmp_path / "out"), "--protocol", "equal", "--seeds", "0", *more,
        )  # fmt: skip

    return run


def records(folder: Path) -> list[Record]:
    return sorted(Store(folder).all()[0], key=lambda r: (r.dataset, r.method))


def test_a_long_tail_drawn_from_a_tree_and_selection_on_the_images_not_drawn(
    sweep: Command, tmp_path: Path
) -> None:
    tree(tmp_path / "photos", {"crow": 30, "jay": 30, "wren": 30})
    typed = describe(tmp_path, images="photos", imbalance=4, groups="thirds")
    status, said = sweep("run", typed, "zero_shot,linear_probe", "--select", "val", "--check-data")
    assert status == 0, said
    assert "none damaged" in said
    probe, zero_shot = records(tmp_path / "out")
    assert probe.dataset == zero_shot.dataset == "birds_ir4"
    assert probe.recipe == "test drawn, cao2019/name-order"
    assert probe.groups is not None
    assert probe.groups.train_counts == (
        24,
        12,
        6,
    )  # int(24 · 4^(-i/2)) of the 24 left for training
    assert probe.groups.rule == "thirds"
    assert probe.selection is not None
    assert probe.selection.source.startswith("training images that the long-tailed subset did not")
    assert set(probe.notes) >= {
        "test images: 20 % of each class, drawn by the split seed",
        "long tail of ratio 4 (exp) drawn from the training images by the split seed, with the "
        "draw of Cao et al. 2019 over file names",
    }
    assert str(tmp_path) not in repr(probe.dataset_config)
    status, said = sweep("plan", typed, "zero_shot", "--select", "val")
    assert "1 done" in said
    status, said = sweep("plan", typed, "zero_shot", "--set", "birds.imbalance=2")
    assert "birds_ir2" in said
    assert "1 missing" in said


def test_multi_label_with_captions(sweep: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for i in range(40):
        labels = [c for c in ("cat", "dog", "bird") if random.uniform() < 0.5]
        rows.append(f"{i}.png,{'|'.join(labels)},{'test' if i % 4 == 0 else 'train'},a scene {i}")
    table(tmp_path, "\n".join(["path,labels,split,caption", *rows]))
    typed = describe(tmp_path, name="scenes", table="labels.csv", task="multi")
    status, said = sweep("run", typed, "zero_shot,lmpt", "--set", "lmpt.epochs=1")
    assert status == 0, said
    lmpt, zero_shot = records(tmp_path / "out")
    assert (lmpt.status, zero_shot.status) == ("done", "done")
    assert lmpt.task == "multi"
    assert lmpt.metrics is not None
    assert len(lmpt.metrics.per_class) == 3
    assert lmpt.class_names == ("bird", "cat", "dog")


def test_validation_images_of_its_own_and_a_changed_table(sweep: Command, tmp_path: Path) -> None:
    splits = ("train", "train", "train", "test", "val")
    rows = [f"{c}{i}.png,{c},{splits[i % 5]}" for c in "ab" for i in range(15)]
    text = "\n".join(["path,label,split", *rows])
    file = table(tmp_path, text)
    typed = describe(tmp_path, table="labels.csv")
    asked = (typed, "linear_probe", "--select", "val")
    assert "1 missing" in sweep("plan", *asked)[1]
    status, said = sweep("run", *asked)
    assert status == 0, said
    (record,) = records(tmp_path / "out")
    assert record.selection is not None
    assert record.selection.source == "the data's own validation images"
    assert "1 done" in sweep("plan", *asked)[1]
    file.write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert "1 done" in sweep("plan", *asked)[1]
    assert "changed" not in sweep("plan", *asked, "--set", "birds.cache_images=64")[1]
    file.write_text(text.replace("a0.png,a", "a0.png,b"), encoding="utf-8")
    said = sweep("plan", *asked)[1]
    assert "1 missing" in said
    assert f"1 record in {tmp_path / 'out'} made before its files changed; not used" in said
    file.unlink()
    status, said = sweep("plan", *asked)
    assert (status, "1 missing" in said, "changed" in said) == (0, True, False), said
    status, said = sweep("run", *asked, "--offline")
    assert status == 2
    assert f"{file}: no such file" in said


def test_knobs_in_a_sweep_file(command: Command, small_clip: str, tmp_path: Path) -> None:
    tree(tmp_path / "photos", {"crow": 10, "jay": 10})
    typed = describe(tmp_path, images="photos", imbalance=8)
    asked = {
        "methods": ["ncm"],
        "datasets": [{typed: {"imbalance": 2}}, {typed: {"imbalance": 4}}, typed],
        "backbone": small_clip,
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(asked))
    status, said = command("plan", "--config", str(tmp_path / "sweep.yaml"))
    assert status == 0, said
    assert all(f"birds_ir{ratio} / " in said for ratio in (2, 4, 8))
    assert "note: birds_ir2: long tail of ratio 2" in said


def test_tuning_sees_a_changed_table(sweep: Command, command: Command, tmp_path: Path) -> None:
    rows = [f"{c}{i}.png,{c},{('train', 'test', 'val')[i % 3]}" for c in "ab" for i in range(9)]
    file = table(tmp_path, "\n".join(["path,label,split", *rows]))
    typed = describe(tmp_path, table="labels.csv")
    asked = ("tune", "tau_norm", "--datasets", typed, "--backbone", "glyph", "--trials", "2")
    more = ("--out", str(tmp_path / "out"), "--write", str(tmp_path / "recipe.yaml"))
    for _ in range(2):
        status, said = command(*asked, *more)
        assert status == 0, said
    assert len(list((tmp_path / "out").rglob("records/*.json"))) == 2
    image(tmp_path / "c.png")
    file.write_text("\n".join(["path,label,split", *rows, "c.png,a,train"]), encoding="utf-8")
    status, said = command(*asked, *more)
    assert status == 0, said
    assert len(list((tmp_path / "out").rglob("records/*.json"))) == 4


def test_the_card_and_the_list(command: Command, tmp_path: Path) -> None:
    tree(tmp_path / "photos", {"crow": 30, "jay": 10, "gone": 0})
    typed = describe(tmp_path, images="photos", source="my garden", test_share=0.1)
    status, said = command("show", typed)
    assert status == 0, said
    for part in (
        "birds Your own data",
        "my garden",
        "classes 3",
        "36; largest class 'crow' with 27, smallest 'gone' with 0",
        "test images 4; 0 to 3 a class",
        "many / medium / few 0 / 1 / 2 (rule lift)",
        "1 of 3 classes have no training images: gone",
        "--set birds.FIELD=VALUE",
    ):
        assert part in said
    (tmp_path / "photos").rename(tmp_path / "moved")
    status, said = command("show", typed)
    assert (status, "not here:" in said, "no such folder" in said) == (0, True, True)
    status, said = command("plan", "--datasets", typed, "--methods", "ncm,lift", "--seeds", "0")
    assert status == 2
    assert (
        f"birds (test_share=0.1): cannot be loaded: {tmp_path / 'photos'}: no such folder" in said
    )
    assert "2 to run, about 0 s, 2 of them without an estimate" in said
    table(tmp_path, "path,label,split\na.png,a,train\nb.png,b,test\ngone.png,b,train")
    (tmp_path / "gone.png").unlink()
    status, said = command("show", describe(tmp_path, "rows", table="labels.csv"))
    assert status == 0
    assert "cannot be loaded: 1 of 3 images not found under" in said
    assert "training images 2; 1 a class" in said
    assert "your own data (docs/own_data.md)" in command("list", "datasets")[1]
    status, said = command("show", str(tmp_path / "brids.yaml"))
    assert status == 2
    assert "No such file or directory" in said
    assert "your own data" in command("download", typed)[1]


def test_damaged_data_end_in_one_line(sweep: Command, tmp_path: Path) -> None:
    tree(tmp_path / "photos", {"crow": 5, "jay": 5})
    (tmp_path / "photos" / "crow" / "0.png").write_text("no image")
    typed = describe(tmp_path, images="photos")
    status, said = sweep("run", typed, "ncm", "--check-data")
    assert status == 2
    assert "1 of 10 images are damaged" in said
    status, said = sweep("run", typed, "ncm")
    assert status == 2
    assert "crow/0.png: unreadable or truncated image" in said
    assert "Traceback" not in said


def test_all_data_sets_are_looked_up_before_anything_is_computed(
    sweep: Command, tmp_path: Path
) -> None:
    tree(tmp_path / "photos", {"crow": 6, "jay": 6})
    good = describe(tmp_path, images="photos")
    absent = describe(tmp_path, "later", images="gone")
    status, said = sweep("run", f"{good},{absent}", "zero_shot")
    assert status == 2
    assert f"error: {tmp_path / 'gone'}: no such folder." in said
    assert records(tmp_path / "out") == []


def test_two_data_sets_with_one_name_are_refused_at_once(sweep: Command, tmp_path: Path) -> None:
    tree(tmp_path / "photos", {"crow": 6, "jay": 6})
    tree(tmp_path / "others", {"crow": 6, "jay": 6, "wren": 6})
    first = describe(tmp_path, images="photos")
    (tmp_path / "b").mkdir()
    second = describe(tmp_path / "b", images="../others")
    for verb in ("plan", "run"):
        status, said = sweep(verb, f"{first},{second}", "zero_shot")
        assert status == 2
        assert said == (
            f"error: {first} and {second} are two data sets called 'birds': give one of them "
            "another name with `name:`."
        )
    # The same data twice, and the same with another knob, are one data set.
    same = describe(tmp_path / "b", images="../photos", imbalance=2)
    status, said = sweep("plan", f"{first},{first},{same}", "zero_shot")
    assert status == 0, said
    assert "2 cells, 2 to run" in said


# ---- the page ------------------------------------------------------------------------------------


def test_the_first_command_of_the_page_prints_its_table(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    line = re.findall(r"    python run_benchmarks\.py (--datasets .*)", page.replace("\\\n", ""))[0]
    words = shlex.split(line)
    words[words.index("--out") + 1] = str(tmp_path)
    status, said = command(*words)
    assert status == 0, said
    shown = dict(re.findall(r"^\| `(\w+)` \| (?:\*\*|<u>)([\d.]+)", page, re.MULTILINE))
    found: dict[str, list[float]] = {}
    for record in records(tmp_path):
        assert record.metrics is not None
        assert record.metrics.overall is not None
        found.setdefault(record.method, []).append(record.metrics.overall)
    assert found.keys() == shown.keys()
    for method, values in found.items():
        # One test image more or less, since the last bits differ between machines.
        assert np.mean(values) == pytest.approx(float(shown[method]), abs=100 / 24 + 0.1)


def test_the_examples_of_the_page_are_descriptions(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", page, re.MULTILINE)
    read = 0
    for block in blocks:
        text = "\n".join(line.removeprefix("    ") for line in block.splitlines())
        text = re.sub("#.*", "", text)
        if re.match(r"(images|table|shards|huggingface|name): ", text) and "…" not in text:
            placed = re.search(r"^(images|table|shards|huggingface):", text, re.MULTILINE)
            whole = text if placed else f"images: photos\n{text}"
            (tmp_path / "page.yaml").write_text(whole, encoding="utf-8")
            assert read_spec(tmp_path / "page.yaml").places != Places()
            read += 1
    assert read == 6


def test_the_example_is_small() -> None:
    folder = ROOT / "docs" / "examples" / "own_data"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 100_000


def test_the_plan_knows_the_stored_features_of_each_selection(
    sweep: Command, tmp_path: Path
) -> None:
    tree(tmp_path / "photos", {"crow": 16, "jay": 16})
    typed = describe(tmp_path, images="photos")
    chosen = ("--select", "val", "--rerun", "always")
    assert sweep("run", typed, "ncm")[0] == 0
    assert " stored " in sweep("plan", typed, "ncm", "--rerun", "always")[1]
    assert " stored " not in sweep("plan", typed, "ncm", *chosen)[1]
    assert sweep("run", typed, "ncm", *chosen)[0] == 0
    assert " stored " in sweep("plan", typed, "ncm", *chosen)[1]
