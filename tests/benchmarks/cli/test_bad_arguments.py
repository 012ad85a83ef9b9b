"""A user's mistakes end in one line each."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.cli.commands import Command, content, the_line

# ---- bad input -----------------------------------------------------------------------------------

WORDS = {
    "a verb like no other": (["xyz"], r"Unknown verb 'xyz'. Known: .*\bexport, .*\blist, "),
    "an unknown verb": (["runn"], r"Unknown verb 'runn'\. Did you mean: run, tune\?"),
    "a method in place of a verb": (["lift"], "Unknown verb 'lift'.*--methods"),
    "an unknown flag": (["--metods", "ncm"], "'--metods'.*--methods"),
    "an unknown flag of show": (["show", "lift", "--ot"], "'--ot'"),
    "a list with spaces": (["--methods", "ncm,", "lift"], "'lift'.*commas and no spaces"),
    "no value": (["--methods"], "--methods"),
    "nothing to show": (["show"], "METHOD|DATASET"),
    "show nothing": (["show", "nothing"], "method or data set 'nothing'"),
    "show a near miss": (["show", "lifd"], "'lifd'.*lift"),
    "show ratio 0": (["show", "cifar100_lt_ir0"], "ratio must be 1 or more"),
    "list nothing": (["list", "things"], "'things'.*methods"),
    "report nothing": (["report"], "DIR"),
    "report a folder that is not there": (["report", "nowhere"], "No records under nowhere"),
    "report an empty folder": (["report", "empty"], "No records under empty"),
    "download nothing": (["download", "nothing"], "data set 'nothing'"),
    "no method": (["--methods", "", "--datasets", "glyphs100_lt"], "--methods: no name"),
    "no data set": (["--methods", "ncm"], "give --methods and --datasets"),
    "an empty data set": (["--methods", "ncm", "--datasets", ","], "--datasets: no name"),
    "a config that is not there": (["--config", "no.yaml"], "Cannot read no.yaml"),
    "a config that is a folder": (["--config", "empty"], "Cannot read empty"),
    "a config with tabs": (["--config", "tabs.yaml"], "tabs.yaml is not valid YAML"),
    "a config with an unknown key": (["--config", "key.yaml"], "'datsets'.*datasets"),
    "a config with a wrong type": (["--config", "type.yaml"], "type.yaml, seeds"),
    "fields of all methods": (["--config", "all.yaml"], "'all' takes no fields"),
    "a config with a bad report": (
        ["--config", "report.yaml"],
        "Unknown column in report.yaml, report, columns 'ovrall'. Did you mean: overall",
    ),
    "a report that is no mapping": (["--config", "rank.yaml"], "rank.yaml, report: a report is"),
}


@pytest.mark.parametrize("case", WORDS)
def test_bad_arguments(command: Command, work: Path, case: str) -> None:
    (work / "empty").mkdir()
    (work / "tabs.yaml").write_text("methods:\n\t- lift\n")
    (work / "key.yaml").write_text("methods: [ncm]\ndatsets: [glyphs100_lt]\n")
    (work / "type.yaml").write_text("methods: [ncm]\nseeds: many\n")
    (work / "all.yaml").write_text("methods: [all: {lr: 1}]\ndatasets: [glyphs100_lt]\n")
    (work / "report.yaml").write_text("methods: [ncm]\nreport: {columns: ovrall}\n")
    (work / "rank.yaml").write_text("methods: [ncm]\nreport: rank\n")
    words, says = WORDS[case]
    before = content(work)
    line = the_line(command(*words))
    assert re.search(says, line), line
    assert content(work) == before


FLAGS = {
    "method": (["--methods", "lfit"], "Unknown method 'lfit'.*lift"),
    "method in capitals": (["--methods", "NCM"], "Unknown method 'NCM'.*ncm"),
    "data set": (["--datasets", "glyph100_lt"], "data set 'glyph100_lt'.*glyphs100_lt"),
    "backbone": (["--backbone", "ViT-B16/openai"], "backbone 'ViT-B16'.*ViT-B-16"),
    "weights": (["--backbone", "ViT-B-16/opanai"], "'opanai'.*openai"),
    "activation": (["--backbone", "ViT-B-16/openai"], "use ViT-B-16-quickgelu/openai"),
    "folder of a backbone": (["--backbone", "local-dir:nowhere"], "no open_clip_config.json"),
    "seeds": (["--seeds", "a"], "--seeds: 'a'"),
    "negative seeds": (["--seeds", "-1"], "--seeds: '-1'"),
    "no seeds": (["--seeds", ""], "--seeds"),
    "split seeds": (["--split-seeds", "0.5"], "--split-seeds: '0.5'"),
    "shard": (["--shard", "3/2"], "--shard: '3/2'"),
    "field": (["--set", "ncm.metrik=x"], "'metrik'.*metric"),
    "field by another name": (["--set", "ncm.distance=x"], "Unknown field"),
    "learning rate": (["--methods", "lift", "--set", "lift.learning_rate=1"], "mean: lr\\?"),
    "knob": (["--set", "glyphs100_lt.clases=3"], "'clases'.*classes"),
    "type of a field": (["--set", "glyphs100_lt.n_max=many"], "n_max: 'many'"),
    "value of a field": (["--set", "glyphs100_lt.classes=1000"], "classes: 1000 is more than 100"),
    "range of a field": (
        ["--methods", "lift", "--set", "lift.epochs=0"],
        "method lift, field epochs: 0 is less than 1",
    ),
    "owner of a field": (["--set", "lift.lr=1"], "'lift' is neither"),
    "form of a field": (["--set", "ncm"], "NAME.FIELD=VALUE"),
    "device": (["--device", "gpu"], "--device: 'gpu'.*cpu"),
    "groups": (["--groups", "third"], "--groups: 'third'.*thirds"),
    "select": (["--select", "test"], "--select: 'test'"),
    "out below a file": (["--out", "file/runs"], "Cannot write to file/runs.*--out"),
    "out a file": (["--out", "file"], "Cannot write to file.*--out"),
    "out empty": (["--out", ""], "--out"),
    "plug-in": (["--plugin", "no.py"], "No plug-in file at no.py"),
    "plug-in syntax": (["--plugin", "syntax.py"], "syntax.py.*SyntaxError"),
    "plug-in without method": (["--plugin", "nothing.py"], "registers no method"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_bad_flags(command: Command, small: list[str], work: Path, case: str) -> None:
    (work / "file").write_text("in the way")
    (work / "syntax.py").write_text("def f(:")
    (work / "nothing.py").write_text("x = 1")
    words, says = FLAGS[case]
    before = content(work)
    for verb in ("run", "plan"):
        if verb == "plan" and "--out" in words and words[1]:
            continue  # planning writes nothing
        line = the_line(command(verb, "--methods", "ncm", *small, *words))
        assert re.search(says, line), line
        assert content(work) == before


def _files(folder: Path) -> set[str]:
    return {name for name, data in content(folder).items() if data is not None}


@pytest.mark.parametrize("offline", [[], ["--offline"]])
def test_missing_data_says_what_to_do(command: Command, work: Path, offline: list[str]) -> None:
    words = ["--methods", "sage,lmpt", "--datasets", "cifar100_lt", *offline]
    assert "6 cells, 6 to run" in command("plan", *words).out
    line = the_line(command(*words))
    assert "CIFAR-100" in line  # what is missing
    assert "run_benchmarks.py download cifar100_lt" in line  # the command
    assert "by hand" in line  # where to put it
    assert "cifar-100-python.tar.gz" in line
    assert "--backbone glyph" in line  # what works offline
    assert _files(work) == set()


def test_missing_weights_say_what_to_do(command: Command, small: list[str], work: Path) -> None:
    words = [*small, "--backbone", "ViT-B-16-quickgelu/openai"]
    line = the_line(command("--methods", "ncm", *words))
    assert "'ViT-B-16-quickgelu/openai'" in line
    assert "run_benchmarks.py download ViT-B-16-quickgelu/openai" in line
    assert "--backbone ViT-B-16-quickgelu/FILE" in line
    assert "--backbone glyph" in line
    assert _files(work) == set()


@pytest.fixture
def pictures(work: Path) -> Path:
    """CIFAR-10 as a tree of class folders, with three images in each class."""
    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]
    generator = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 1)):
        for name in names:
            folder = work / "data" / "cifar10" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return work / "data" / "cifar10"


def test_damaged_images_are_named(command: Command, model: str, pictures: Path) -> None:
    words = ["--methods", "ncm", "--datasets", "cifar10_lt_ir1", "--backbone", model]
    file = pictures / "train" / "cat" / "1.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert str(Path("data/cifar10/train/cat/1.png")) in the_line(command(*words, "--out", "runs"))
    assert not list(Path("runs").rglob("*.json"))
    file.write_bytes(whole)
    assert command(*words, "--out", "runs").status == 0


def test_a_missing_class_folder_is_named(command: Command, model: str, pictures: Path) -> None:
    for file in (pictures / "train" / "cat").iterdir():
        file.unlink()
    (pictures / "train" / "cat").rmdir()
    line = the_line(
        command("--methods", "ncm", "--datasets", "cifar10_lt", "--backbone", model, "--out", "o")
    )
    assert "cat" in line
    assert str(Path("data/cifar10")) in line


def test_unreadable_weights_are_reported(command: Command, small: list[str], work: Path) -> None:
    (work / "junk.pt").write_bytes(b"junk")
    line = the_line(command("--methods", "ncm", *small, "--backbone", "RN50/junk.pt"))
    assert "'RN50/junk.pt' does not load" in line


BROKEN = '''
from dataclasses import dataclass

from benchmarks.datasets.base import Family
from benchmarks.datasets.registry import register


@register("broken_lt", task="single")
@dataclass(frozen=True)
class Broken(Family):
    """A data set with a bug."""

    def card(self):
        raise NameError("name 'lisence' is not defined")

    def load(self, root, split_seed):
        raise NotImplementedError
'''


def test_an_unexpected_error_is_one_line(command: Command, work: Path) -> None:
    (work / "broken.py").write_text(BROKEN)
    words = ["show", "broken_lt", "--plugin", "broken.py"]
    ended = command(*words)
    assert ended.status == 1
    assert ended.err.startswith("error: unexpected NameError: ")
    assert "--debug" in ended.err
    assert ended.err.count("\n") == 1
    with pytest.raises(NameError):
        command(*words, "--debug")


@pytest.mark.parametrize(
    ("module", "status", "says"),
    [
        ("no_such_package.inner", 2, "the Python package 'no_such_package' is not installed"),
        ("benchmarks.no_such_module", 1, "unexpected ModuleNotFoundError: .*no_such_module"),
    ],
)
def test_a_missing_package_is_told_from_a_missing_module_of_the_suite(
    command: Command, work: Path, module: str, status: int, says: str
) -> None:
    (work / "broken.py").write_text(BROKEN.replace("raise NameError", f"import {module} #"))
    ended = command("show", "broken_lt", "--plugin", "broken.py")
    assert ended.status == status
    assert re.fullmatch(f"error: {says}.*\n", ended.err)
