"""The command line as a user meets it: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

import run_benchmarks
from tests.benchmarks.small import DATA, forgetting_plugins, make_clip_folder

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "run_benchmarks.py"


class Ended:
    """How a command ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small backbone."""
    return f"local-dir:{make_clip_folder(tmp_path_factory.mktemp('model') / 'small_clip')}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs a command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> Ended:
        capsys.readouterr()
        with forgetting_plugins():  # as between processes
            status = run_benchmarks.main(list(words))
        return Ended(status, *capsys.readouterr())

    yield call


@pytest.fixture
def small(model: str) -> list[str]:
    """Flags of a data set and a backbone with which everything takes a moment."""
    return [*DATA, "--backbone", model, "--device", "cpu", "--out", "runs"]


@pytest.fixture
def fast(small: list[str]) -> list[str]:
    """A sweep of four cells."""
    return ["--methods", "ncm,linear_probe", "--set", "linear_probe.epochs=1", *small]


def _content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


def _records(folder: Path = Path("runs")) -> dict[tuple[str, int], Path]:
    found = {}
    for file in (folder / "records").glob("*.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        found[record["method"], record["seed"]] = file
    return found


def _line(ended: Ended) -> str:
    """The one line of a command that could not be carried out."""
    assert ended.status == 2
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.out
    return ended.err


# ---- running -------------------------------------------------------------------------------------


def test_a_run_ends_with_a_table_and_says_where_everything_is(
    command: Command, fast: list[str], work: Path
) -> None:
    out = "a[/b] [red]:cat:"  # no markup, but a name
    ended = command(*fast, "--out", out)
    assert ended.status == 0
    assert ended.err == ""
    for word in ("overall", "many", "medium", "few", "ncm", "linear_probe", "1/4", "4/4"):
        assert word in ended.out
    assert "3 run seeds" in ended.out  # what varied under ±
    assert f"Tables and plots: {out}/report/" in ended.out
    assert f"Records: {out}/records/" in ended.out
    endings = {p.suffix for p in (work / out / "report").iterdir()}
    assert endings == {".md", ".tex", ".csv", ".png", ".pdf"}
    assert _records(work / out).keys() == {("ncm", 0), *(("linear_probe", s) for s in range(3))}


def test_finished_cells_are_not_repeated(command: Command, fast: list[str]) -> None:
    command(*fast)
    before = {file: file.stat().st_mtime_ns for file in _records().values()}
    ended = command("run", *fast)
    assert ended.status == 0
    assert "loading" not in ended.out
    assert "linear_probe" in ended.out  # the table is printed all the same
    assert {file: file.stat().st_mtime_ns for file in _records().values()} == before


def test_failed_cells_are_told_and_left_until_asked_for(command: Command, fast: list[str]) -> None:
    broken = [*fast, "--set", "linear_probe.head=linear", "--set", "linear_probe.lr=1e38"]
    broken += ["--set", "linear_probe.epochs=3", "--seeds", "0,1"]
    ended = command(*broken)
    assert ended.status == 1
    assert ended.err == ""
    assert "lower the learning rate" in ended.out
    assert "2 of 3 cells failed; --rerun failed" in ended.out
    assert "overall" in ended.out  # the table of what there is
    assert ended.out.count("failed: ") == 2
    broken += ["--methods", "linear_probe"]
    assert "1 of 1 cell failed; --rerun failed runs it" in command(*broken, "--seeds", "0").out
    again = command(*broken)
    assert again.status == 1
    assert again.out.count("failed: ") == 0
    assert "2 of 2 cells failed" in again.out
    assert command(*broken, "--rerun", "failed").out.count("failed: ") == 2


def test_shards_make_up_one_sweep(command: Command, fast: list[str]) -> None:
    for i in (1, 2):
        assert command(*fast, "--shard", f"{i}/2").status == 0
    assert "0 to run" in command("plan", *fast).out


def test_a_part_without_cells_is_no_error(command: Command, small: list[str]) -> None:
    one = ["--methods", "ncm", *small]
    for verb in ("run", "plan"):
        ended = command(verb, *one, "--shard", "2/5")
        assert (ended.status, ended.out, ended.err) == (0, "Part 2 of 5 holds no cells.\n", "")
    assert "\n1 cell, 1 to run" in command("plan", *one, "--shard", "1/5").out


def test_a_sweep_in_yaml(command: Command, model: str, work: Path) -> None:
    (work / "sweep.yaml").write_text(
        dedent(
            f"""
            methods: [ncm, linear_probe: {{epochs: 1}}]
            datasets: [glyphs100_lt]
            set:
              glyphs100_lt: {{classes: 4, n_max: 35, imbalance: 8, test_per_class: 4}}
            seeds: [0, 1]
            backbone: "{model}"
            out: runs
            """
        )
    )
    ended = command("plan", "--config", "sweep.yaml", "--seeds", "7")
    assert ended.status == 0
    assert "2 cells, 2 to run" in ended.out
    for word in ("ncm", "linear_probe", "glyphs100_lt_ir8", " 7 ", "local-dir:small_clip@"):
        assert word in ended.out


# ---- interruption and edited sources -------------------------------------------------------------

PLUGIN = '''
    import time
    from dataclasses import dataclass
    from pathlib import Path

    from methods.base import Method, Predictor
    from methods.registry import register

    @register("mine", paper="-", needs="features")
    @dataclass(frozen=True)
    class Mine(Method):
        """Mine."""

        def fit(self, task):
            if task.seed == 1 and not Path("go").exists():
                Path("waiting").touch()
                time.sleep(100)
            weight = task.normal_per_class("weight", 16)
            return Predictor(lambda batch: batch.inputs @ weight.T)
'''


@pytest.fixture
def mine(work: Path) -> Path:
    """A plug-in file with the method `mine`, whose seed 1 waits for a file called `go`."""
    file = work / "mine.py"
    file.write_text(dedent(PLUGIN))
    return file


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would everything they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def test_an_interrupted_run_goes_on_where_it_was(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    waiting = mine.read_text()
    mine.write_text(waiting.replace("time.sleep(100)", "raise KeyboardInterrupt"))
    words = ["--methods", "mine", "--plugin", "mine.py", *small]
    ended = command(*words)
    assert ended.status == 130
    assert ended.err == ""
    assert "Interrupted: 1 of 3 cells are done" in ended.out
    assert _records().keys() == {("mine", 0)}
    first = _records()["mine", 0].stat().st_mtime_ns

    (work / "go").touch()
    ended = command(*words)
    assert ended.status == 0
    assert "2/3" in ended.out
    assert "3/3" in ended.out
    assert "1/3" not in ended.out
    assert _records()["mine", 0].stat().st_mtime_ns == first


@pytest.mark.slow
def test_ctrl_c_ends_a_process_tidily(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    words = ["--methods", "mine", "--plugin", "mine.py", *small]
    process = _start(*words)
    end = time.monotonic() + 60
    while not (work / "waiting").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Interrupted: 1 of 3 cells are done" in out
    assert "Traceback" not in out + err
    assert _records().keys() == {("mine", 0)}
    (work / "go").touch()
    assert "1/3" not in command(*words).out
    assert len(_records()) == 3


def test_an_edited_method_is_computed_again_and_nothing_else(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    (work / "go").touch()
    words = ["--methods", "ncm,mine", "--plugin", "mine.py", *small]
    assert command(*words).status == 0
    before = _records()
    times = {file: file.stat().st_mtime_ns for file in before.values()}
    mine.write_text(mine.read_text() + "\n# another version\n")

    planned = command("plan", *words).out
    assert "3 stale" in planned
    assert "1 done" in planned
    assert "4 cells, 3 to run" in planned

    kept = command(*words, "--accept-stale")
    assert kept.status == 0
    assert "4/4" not in kept.out
    assert "†" in kept.out  # the table says which are old
    assert set(_records().values()) == set(before.values())

    again = command(*words)
    assert again.status == 0
    assert all(f"{i}/4 mine" in again.out for i in (2, 3, 4))
    assert "1/4" not in again.out
    assert _records()["ncm", 0] == before["ncm", 0]
    # The old records stay, untouched, and three have joined them.
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    assert len(list(Path("runs/records").glob("*.json"))) == 7
    assert "0 to run" in command("plan", *words).out


def test_a_method_that_failed_is_computed_again_once_it_is_mended(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    (work / "go").touch()
    good = mine.read_text()
    mine.write_text(good.replace("weight = ", "1 / 0; weight = "))
    words = ["--methods", "mine", "--plugin", "mine.py", "--seeds", "0", *small]
    assert command(*words).status == 1
    mine.write_text(good)
    ended = command(*words)
    assert ended.status == 0
    assert "1/1 mine" in ended.out


def test_ctrl_c_before_anything_runs(command: Command, small: list[str], work: Path) -> None:
    (work / "p.py").write_text("raise KeyboardInterrupt")
    ended = command("--methods", "ncm", "--plugin", "p.py", *small)
    assert ended.status == 130
    assert ended.err == "error: interrupted.\n"


# ---- plan, list, show, report, download ----------------------------------------------------------


def test_plan_shows_the_cells_and_runs_nothing(
    command: Command, fast: list[str], work: Path
) -> None:
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "4 cells, 4 to run" in ended.out
    for word in ("ncm", "linear_probe", "glyphs100_lt_ir8", "local-dir:small_clip@", "0,1,2"):
        assert word in ended.out
    assert "1 missing" in ended.out
    assert "3 missing" in ended.out
    assert _content(work) == {}
    command(*fast, "--seeds", "0")
    after = command("plan", *fast).out
    assert "1 done, 2 missing" in after
    assert "4 cells, 2 to run" in after
    assert "3 to run" in command("plan", *fast, "--rerun", "always", "--seeds", "0,1").out


def test_a_ratio_that_is_out_of_reach_is_told_by_plan_and_run(
    command: Command, small: list[str]
) -> None:
    words = ["--methods", "ncm", *small]
    note = "the imbalance ratio is 35, not 90: no class has less than one training image"
    assert "no class has less than one" not in command("plan", *words).out
    words += ["--set", "glyphs100_lt.imbalance=90"]
    assert f"note: glyphs100_lt_ir90 (n_max=35, classes=4, test_per_class=4): {note}" in (
        command("plan", *words).out
    )
    assert command(*words).out.count(note) == 2  # as its cell ends, and under the table
    assert note in json.loads(_records()["ncm", 0].read_text(encoding="utf-8"))["notes"]


def test_plan_takes_every_flag_of_run(command: Command, fast: list[str]) -> None:
    assert command("plan", *fast, "--debug", "--allow-mixed").status == 0


def test_plan_without_arguments_is_the_quick_start(command: Command) -> None:
    ended = command("plan")
    assert ended.status == 0
    for word in ("zero_shot", "ncm", "linear_probe", "logit_adjustment", "lift", "glyphs100_lt"):
        assert word in ended.out


def test_list(command: Command) -> None:
    everything = command("list")
    assert everything.status == 0
    parts = {
        "methods": ("lift", "zero_shot", "images", "features", "Zero-shot CLIP"),
        "datasets": ("cifar100_lt", "glyphs100_lt", "_irR", "single"),
        "backbones": ("glyph", "ARCH/random", "local-dir:PATH", "ViT-B-16-quickgelu/openai"),
    }
    for what, words in parts.items():
        part = command("list", what)
        assert part.status == 0
        for word in words:
            assert word in part.out
            assert word in everything.out
        assert len(part.out) < len(everything.out)


def test_show_a_method(command: Command, mine: Path) -> None:
    ended = command("show", "lift")
    assert ended.status == 0
    for word in ("arXiv 2309.10019", "images", "fingerprint", "epochs", "0.01", "lift.py"):
        assert word in ended.out
    assert "Width of adaptformer" in ended.out  # the documentation of a field
    assert "reconstruction" in command("show", "sage").out
    assert "mine.py" in command("show", "mine", "--plugin", "mine.py").out


def test_show_prints_the_choices_of_a_field(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("show", "linear_probe").out
    assert "cosine | linear" in shown
    folded = " ".join(shown.split())
    assert "auto | ce | balanced_softmax | la | ldam_drw | cb | grw | focal | lade | bce" in folded
    assert max(map(len, shown.splitlines())) <= 80
    assert "logits | softmax" in command("show", "glyphscenes_lt").out


def test_show_a_data_set(command: Command) -> None:
    ended = command("show", "cifar100_lt_ir50")
    assert ended.status == 0
    for word in ("12,608", "41 / 41 / 18", "imbalance 50", "cifar-100-python"):
        assert word in ended.out


def test_report_counts_a_cell_once(command: Command, fast: list[str], work: Path) -> None:
    """Else the seeds of a copied folder would count twice, and ± come out too small."""
    command(*fast)
    shutil.copytree("runs/records", "copy/records")
    ended = command("report", "runs", "copy", "runs", "--out", "there")
    assert ended.status == 0
    assert "linear_probe" in ended.out
    assert "3 run seeds" in ended.out
    assert "Tables and plots: there/" in ended.out
    kinds = {p.suffix for p in (work / "there").iterdir()}
    assert kinds == {".md", ".tex", ".csv", ".png", ".pdf"}
    with (work / "there" / "records.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.reader(stream))) == 1 + 4


def test_a_record_that_cannot_be_read_is_named_and_passed_over(
    command: Command, fast: list[str], work: Path
) -> None:
    (work / "runs" / "records").mkdir(parents=True)
    (work / "runs" / "records" / "a.json").write_text('{"schema_version": 99}')
    (work / "runs" / "records" / "b[red].json").write_text("{")
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "a.json: schema 99, but this version reads 1" in ended.out
    assert "b[red].json: damaged" in ended.out
    assert "No readable records under runs" in _line(command("report", "runs"))


def test_download_where_nothing_is_needed(command: Command) -> None:
    assert "needs no download" in command("download", "glyphs100_lt").out
    assert "in place" in command("download", "glyph").out


@pytest.mark.parametrize("verb", run_benchmarks.VERBS)
def test_help_says_something_of_every_argument(verb: str) -> None:
    parser = run_benchmarks._parser()[1][verb]
    assert [a.dest for a in parser._actions if not a.help] == []


@pytest.mark.parametrize(
    ("verb", "flag", "says"),
    [
        ("run", "--config", "flags override it"),
        ("plan", "--recipe", "may be given several times, and --set wins over it"),
        ("tune", "--datasets", "required"),
    ],
)
def test_help_says_what_goes_before_what(verb: str, flag: str, says: str) -> None:
    action = run_benchmarks._parser()[1][verb]._option_string_actions[flag]
    assert says in (action.help or "")


def test_the_examples_of_the_help_name_every_verb() -> None:
    examples = (run_benchmarks.__doc__ or "").replace("|", " ").split()
    assert set(run_benchmarks.VERBS) <= set(examples)


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["run", "--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["list"], {"torch", "open_clip", "pandas", "matplotlib", "torchvision"}),
    ],
)
def test_help_and_list_are_quick(work: Path, words: list[str], forbidden: set[str]) -> None:
    """Whatever is slow to import stays out; also, any folder is good to start from."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = {[str(SCRIPT), *words]}\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        f"    print('loaded', sorted(set(sys.modules) & {forbidden}), end.code or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded [] 0\n"), run.stdout[-200:]


def test_another_folder_to_start_from(work: Path) -> None:
    process = _start("list", "methods")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "zero_shot" in out


def test_a_pipe_that_is_closed_early(work: Path) -> None:
    process = _start("list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (0, "")


# ---- bad input -----------------------------------------------------------------------------------

WORDS = {
    "an unknown verb": (["runn"], "Unknown verb 'runn'.*run, plan"),
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
}


@pytest.mark.parametrize("case", WORDS)
def test_bad_arguments(command: Command, work: Path, case: str) -> None:
    (work / "empty").mkdir()
    (work / "tabs.yaml").write_text("methods:\n\t- lift\n")
    (work / "key.yaml").write_text("methods: [ncm]\ndatsets: [glyphs100_lt]\n")
    (work / "type.yaml").write_text("methods: [ncm]\nseeds: many\n")
    words, says = WORDS[case]
    before = _content(work)
    line = _line(command(*words))
    assert re.search(says, line), line
    assert _content(work) == before


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
    "knob": (["--set", "glyphs100_lt.clases=3"], "'clases'.*classes"),
    "type of a field": (["--set", "glyphs100_lt.n_max=many"], "n_max: 'many'"),
    "value of a field": (["--set", "glyphs100_lt.classes=1000"], "classes must be 2 to 100"),
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
    before = _content(work)
    for verb in ("run", "plan"):
        if verb == "plan" and "--out" in words and words[1]:
            continue  # planning writes nothing
        line = _line(command(verb, "--methods", "ncm", *small, *words))
        assert re.search(says, line), line
        assert _content(work) == before


def _files(folder: Path) -> set[str]:
    return {name for name, data in _content(folder).items() if data is not None}


@pytest.mark.parametrize("offline", [[], ["--offline"]])
def test_the_line_of_the_papers_without_data_says_what_to_do(
    command: Command, work: Path, offline: list[str]
) -> None:
    words = ["--methods", "sage,lmpt", "--datasets", "cifar100_lt", *offline]
    assert "6 cells, 6 to run" in command("plan", *words).out
    line = _line(command(*words))
    assert "CIFAR-100" in line  # what is missing
    assert "run_benchmarks.py download cifar100_lt" in line  # the command
    assert "by hand" in line  # where to put it
    assert "cifar-100-python.tar.gz" in line
    assert "--backbone glyph" in line  # what works offline
    assert _files(work) == set()


def test_missing_weights_say_what_to_do(command: Command, small: list[str], work: Path) -> None:
    words = [*small, "--backbone", "ViT-B-16-quickgelu/openai"]
    line = _line(command("--methods", "ncm", *words))
    assert "'ViT-B-16-quickgelu/openai'" in line
    assert "run_benchmarks.py download ViT-B-16-quickgelu/openai" in line
    assert "--backbone ViT-B-16-quickgelu/FILE" in line
    assert "--backbone glyph" in line
    assert _files(work) == set()


@pytest.fixture
def pictures(work: Path) -> Path:
    """CIFAR-10 in a tree of class folders, of three images a class."""
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


def test_damaged_pictures_are_named(command: Command, model: str, pictures: Path) -> None:
    words = ["--methods", "ncm", "--datasets", "cifar10_lt_ir1", "--backbone", model]
    file = pictures / "train" / "cat" / "1.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert str(Path("data/cifar10/train/cat/1.png")) in _line(command(*words, "--out", "runs"))
    assert not list(Path("runs").rglob("*.json"))
    file.write_bytes(whole)
    assert command(*words, "--out", "runs").status == 0


def test_a_missing_class_folder_is_named(command: Command, model: str, pictures: Path) -> None:
    for file in (pictures / "train" / "cat").iterdir():
        file.unlink()
    (pictures / "train" / "cat").rmdir()
    line = _line(
        command("--methods", "ncm", "--datasets", "cifar10_lt", "--backbone", model, "--out", "o")
    )
    assert "cat" in line
    assert str(Path("data/cifar10")) in line


def test_weights_that_do_not_fit_say_so(command: Command, small: list[str], work: Path) -> None:
    (work / "junk.pt").write_bytes(b"junk")
    line = _line(command("--methods", "ncm", *small, "--backbone", "RN50/junk.pt"))
    assert "'RN50/junk.pt' does not load" in line


def test_an_error_nobody_thought_of_is_one_line_too(
    command: Command, small: list[str], mine: Path
) -> None:
    text = "from __future__ import annotations\n" + mine.read_text()
    mine.write_text(text.replace('"""Mine."""', "lr: Unheard = 1"))
    words = ["--methods", "mine", "--plugin", "mine.py", *small]
    ended = command(*words)
    assert ended.status == 1
    assert ended.err.startswith("error: unexpected NameError: ")
    assert "--debug" in ended.err
    assert ended.err.count("\n") == 1
    with pytest.raises(NameError):
        command(*words, "--debug")
