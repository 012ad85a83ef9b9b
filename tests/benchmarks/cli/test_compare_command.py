"""The verb `compare`, on real records of a small sweep."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import reports.report  # noqa: F401 - loaded, so that the sweep below leaves its figures out
import run_benchmarks
from benchmarks.tools.keep_bits import keep_bits
from results.identity import cell_key
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import make_clip_folder

SWEEP = """
    methods:
      - ncm
      - linear_probe: {epochs: 1, lr: 0.1}
      - linear_probe: {epochs: 1, lr: 0.5}
    datasets:
      - glyphs100_lt
      - glyphs100_lt: {imbalance: 4, classes: 4, n_max: 35, test_per_class: 4}
    set:
      glyphs100_lt: {classes: 4, n_max: 35, test_per_class: 4}
    seeds: [0, 1]
    compare: [ncm, "linear_probe (epochs=1, lr=0.5)"]
    margin: 99
    backbone: MODEL
    device: cpu
    out: runs
"""
SMALL = "glyphs100_lt (n_max=35, classes=4, test_per_class=4)"
Ended = tuple[int, str, str]
Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished sweep; tests do not change it."""
    folder = tmp_path_factory.mktemp("compare")
    model = make_clip_folder(folder / "small_clip")
    text = dedent(SWEEP).replace("MODEL", f"'local-dir:{model}'")
    (folder / "sweep.yaml").write_text(text.replace("out: runs", f"out: {folder / 'runs'}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_VLM_CACHE", str(folder / "cache"))
        assert run_benchmarks.main(["--config", str(folder / "sweep.yaml")]) == 0
    return folder


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """A function that runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> Ended:
        capsys.readouterr()
        return (run_benchmarks.main(list(words)), *capsys.readouterr())

    return call


def _line(ended: Ended) -> str:
    """The only line that a command with unusable arguments prints."""
    status, out, err = ended
    assert (status, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    return err


def test_two_variants_on_every_data_set_they_share(command: Command, finished: Path) -> None:
    status, out, err = command(
        "compare", str(finished / "runs"), "--a", "ncm", "--b", "linear_probe (lr=0.5)"
    )
    assert (status, err) == (0, "")
    assert out.count("A: ncm\nB: linear_probe (lr=0.5)") == 2
    for word in (SMALL, "glyphs100_lt_ir4", "95 % interval", "16 test images", "2 run seeds (0, 1"):
        assert word in out
    assert len(re.findall("A better|B better|no difference shown", out)) >= 2 * 2


def test_several_variants_on_a_data_set_named_without_its_fields(
    command: Command, finished: Path
) -> None:
    others = "linear_probe (lr=0.5),linear_probe (lr=0.1)"
    found = command(
        "compare", str(finished / "runs"), "--a", "ncm", "--b", others, "--datasets",
        "glyphs100_lt_ir4",
    )  # fmt: skip
    assert found[0] == 0, found
    assert re.findall(r"^B: (.*)$", found[1], re.M) == others.split(",")
    assert SMALL not in found[1]
    by_whole_name = command(
        "compare", str(finished / "runs"), "--a", "ncm", "--b", others, "--datasets", SMALL
    )
    assert by_whole_name[1].count(f"{SMALL} / ") == 2


def test_test_distributions_are_tables_of_their_own(command: Command, finished: Path) -> None:
    words = ["compare", str(finished / "runs"), "--a", "ncm", "--b", "linear_probe (lr=0.5)"]
    priors = ["--datasets", "glyphs100_lt_ir4", "--test-prior", "forward50,uniform"]
    plain = json.loads(command(*words, "--datasets", "glyphs100_lt_ir4", "--json")[1])
    status, out, _ = command(*words, *priors, "--json")
    assert status == 0

    def of(answer: Any, prior: str, metric: str) -> dict[str, Any]:
        (line,) = [
            line for line in answer["comparisons"]
            if line["metric"] == metric and prior in line["dataset"]
        ]  # fmt: skip
        return dict(line)

    weighted = json.loads(out)
    balanced = of(plain, "", "balanced")
    names = ("difference", "low", "high", "p")
    for name in names:  # all classes alike
        assert of(weighted, "uniform", "overall")[name] == pytest.approx(balanced[name], abs=1e-9)
    forward = of(weighted, "forward50", "overall")
    assert forward["difference"] != pytest.approx(balanced["difference"], abs=0.01)
    for ending in (".md", ".tex", ".csv"):
        assert command(*words, *priors, "--out", f"c{ending}")[0] == 0
        text = Path(f"c{ending}").read_text("utf-8")
        assert "forward50" in text and "uniform" in text
    assert "most frequent training class is 50 times" in " ".join(
        command(*words, *priors)[1].split()
    )
    assert "no test distribution" in _line(command(*words, "--test-prior", "sideways2"))


def test_a_margin_shows_equivalence_from_a_flag_and_from_a_sweep(
    command: Command, finished: Path
) -> None:
    runs, file = str(finished / "runs"), finished / "sweep.yaml"
    status, out, _ = command("compare", runs, "--against", "ncm", "--margin", "99.5")
    assert status == 0
    assert out.count("≈ equivalent within 99.5 points") == 2
    assert "A true difference" not in out
    asked = command("compare", runs, "--against", "ncm", "--power", "99.5")[1]
    assert asked.count("A true difference of 99.5 points in overall needs") == 2
    words = ["compare", runs, "--config", str(file), "--against", "ncm"]
    assert command(*words)[1].count("≈ equivalent within 99 points") == 2
    assert command(*words, "--margin", "97")[1].count("≈ equivalent within 97 points") == 2


def test_comparisons_have_printed_names_and_files_the_labels(
    command: Command, finished: Path
) -> None:
    Path("names.yaml").write_text(f"ncm: Mean!\n'{SMALL}': Small\n", encoding="utf-8")
    words = ["compare", str(finished / "runs"), "--against", "ncm", "--names", "names.yaml"]
    status, out, _ = command(*words, "--out", "c.csv")
    assert status == 0
    assert out.count("B = Mean!") == 2 and "B = ncm" not in out
    assert "Small / " in out and SMALL not in out
    assert command(*words, "--columns", "few,overall", "--out", "c.md")[0] == 0
    heads = {x for x in Path("c.md").read_text("utf-8").splitlines() if x.startswith("| A ")}
    assert {re.sub(r" \(\d\)", "", head) for head in heads} == {"| A | few | overall = balanced |"}
    assert "'trainable_params' is not compared; these are: overall" in _line(
        command(*words, "--columns", "few,params")
    )
    with Path("c.csv").open(encoding="utf-8") as stream:
        assert {line["b"] for line in csv.DictReader(stream)} == {"ncm"}
    Path("names.yaml").write_text("ncn: Mean!\n", encoding="utf-8")
    assert "'ncn'. Did you mean: ncm" in _line(command(*words))


def test_comparisons_are_written_to_a_file(command: Command, finished: Path) -> None:
    runs = str(finished / "runs")
    status, out, _ = command("compare", runs, "--against", "ncm", "--out", "new/c.csv")
    assert status == 0
    assert "Written: new/c.csv" in out
    with Path("new/c.csv").open(encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 2 * 2 * 5
    assert {line["b"] for line in lines} == {"ncm"}
    assert command("compare", runs, "--against", "ncm", "--out", "c.md")[0] == 0
    text = Path("c.md").read_text("utf-8")
    assert text.count("differences to `ncm`") == 2
    assert text.count("| `linear_probe") == 4
    tex = ("--out", "paper/c.tex", "--latex-width", "column")
    assert command("compare", runs, "--against", "ncm", *tex)[0] == 0
    text = Path("paper/c.tex").read_text("utf-8")
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:paper:c", "tab:paper:c-2"]
    assert text.count(r"\begin{table}") == 2 and "table*" not in text
    pair = ("--a", "ncm", "--b", "linear_probe (lr=0.5)", "--out", "p.tex")
    assert command("compare", runs, *pair)[0] == 0
    assert Path("p.tex").read_text("utf-8").count("ncm (A) and linear") == 2


def test_a_figure_of_one_pair_on_one_data_set(command: Command, finished: Path) -> None:
    pair = ("compare", str(finished / "runs"), "--a", "ncm", "--b", "linear_probe (lr=0.5)")
    one = (*pair, "--datasets", f"{SMALL}", "--figure-width", "3.3")
    status, out, _ = command(*one, "--out", "new/a.b.svg")
    assert status == 0 and "Written: new/a.b.svg" in out
    text = Path("new/a.b.svg").read_text("utf-8")
    assert 'width="237.6pt"' in text  # 3.3 inches


def test_a_sweep_with_compare_ends_with_its_comparisons(finished: Path) -> None:
    files = sorted((finished / "runs" / "report").glob("*__compare.*"))
    assert [file.suffix for file in files] == [".csv", ".md", ".tex"] * 2
    text = files[1].read_text("utf-8")
    assert "differences to `ncm`" in text
    assert "≈ equivalent within 99 points" in text
    assert "differences to `linear_probe (lr=0.5)`" in text


def test_the_cells_and_baselines_of_a_sweep_file(command: Command, finished: Path) -> None:
    runs, file = str(finished / "runs"), finished / "sweep.yaml"
    status, out, _ = command("compare", runs, "--config", str(file))
    assert status == 0
    assert out.count("B = ncm") == 2
    assert out.count("B = linear_probe (lr=0.5)") == 2
    # A smaller sweep selects only its own cells.
    narrow = Path("narrow.yaml")
    narrow.write_text(re.sub("(?m)^  - glyphs100_lt: .*\n", "", file.read_text()))
    status, out, _ = command("compare", runs, "--config", str(narrow), "--against", "ncm")
    assert out.count("B = ncm") == 1
    narrow.write_text(file.read_text().replace("n_max: 35", "n_max: 36"))
    assert "No records of the cells of narrow.yaml" in _line(
        command("compare", runs, "--config", str(narrow))
    )


def test_a_plan_says_how_many_seeds_a_difference_needs(command: Command, finished: Path) -> None:
    """The baselines of the file, or the best row of each table if it names none."""
    file = finished / "sweep.yaml"
    status, out, err = command("plan", "--config", str(file), "--power", "99.5")
    assert (status, err) == (0, "")
    for baseline in ("ncm", "linear_probe (lr=0.5)"):
        start = f"{SMALL} / .*, against {re.escape(baseline)}: A true difference of 99.5 points in"
        assert re.search(start.replace(SMALL, re.escape(SMALL)), out)
    assert re.search(r"overall needs, with a power of 80 %: .* \d+ seeds\.", out)
    assert "A true difference" not in command("plan", "--config", str(file))[1]
    alone = Path("alone.yaml")
    alone.write_text(re.sub("(?m)^compare: .*\n", "", file.read_text()))
    out = command("plan", "--config", str(alone), "--power", "99.5")[1]
    assert out.count("A true difference of 99.5 points in overall needs") == 2


def test_a_plan_needs_two_seeds_to_say_how_many(command: Command, finished: Path) -> None:
    words = ["plan", "--config", str(finished / "sweep.yaml"), "--power"]
    for narrower in (["--seeds", "0"], ["--seeds", "7,8"]):  # one run each, and none
        out = command(*words, "2", *narrower)[1]
        assert "Run two seeds first." in out, out
    assert "--power: 'two' is not a number" in _line(command(*words, "two"))


BAD = {
    "nothing": ([], "Name two variants with --a and --b, or with --against"),
    "a alone": (["--a", "ncm"], "Name two variants"),
    "both": (["--a", "ncm", "--b", "ncm", "--against", "ncm"], "Name two variants"),
    "an empty b": (["--a", "ncm", "--b", ","], "Name two variants"),
    "a near miss": (["--a", "nmc", "--b", "ncm"], "Unknown variant 'nmc'.*ncm"),
    "a near miss behind --against": (["--against", "nmc"], "Unknown variant 'nmc'.*ncm"),
    "several variants": (
        ["--a", "ncm", "--b", "linear_probe"],
        r"'linear_probe' has several variants .*'linear_probe \(lr=0.5\)'",
    ),
    "one row twice": (["--a", "ncm", "--b", "ncm"], "'ncm' and 'ncm' are one row on glyphs100_lt"),
    "one row by two names": (
        ["--a", "linear_probe (lr=0.5)", "--b", "ncm,linear_probe (epochs=1, lr=0.5)"],
        r"'linear_probe \(lr=0.5\)' and 'linear_probe \(epochs=1, lr=0.5\)' are one row",
    ),
    "an unknown data set": (
        ["--a", "ncm", "--b", "ncm", "--datasets", "glyphs100_lt_ir5"],
        "data set of these records 'glyphs100_lt_ir5'.*glyphs100_lt_ir4",
    ),
    "a margin of words": (["--against", "ncm", "--margin", "one"], "--margin: 'one' is not a numb"),
    "no margin at all": (["--against", "ncm", "--margin", "0"], "'0' is not a number of points"),
    "few seeds and trimmed means": (
        ["--a", "ncm", "--b", "linear_probe (lr=0.1)", "--robust"],
        "2 runs on .* --robust needs 5",
    ),
    "seeds of trimmed means": (
        ["--against", "ncm", "--robust", "--power", "1"],
        "--power counts the runs of plain means",
    ),
    "a figure of several pairs": (
        ["--against", "ncm", "--out", "c.pdf"],
        "a figure shows one pair of variants on one data",
    ),
    "a figure's width without a figure": (
        ["--against", "ncm", "--figure-width", "3.3"],
        "--figure-width is for figures: name one",
    ),
    "another ending": (["--against", "ncm", "--out", "c.txt"], "ends in .md, .tex, .csv, .png"),
    "a width": (["--against", "ncm", "--latex-width", "wide"], "--latex-width wide: give column"),
    "a file in the way": (["--against", "ncm", "--out", "file/c.md"], "Cannot write file/c.md"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_comparisons(command: Command, finished: Path, case: str) -> None:
    words, says = BAD[case]
    Path("file").write_text("in the way")
    status, _, err = command("compare", str(finished / "runs"), *words)
    assert status == 2
    assert re.fullmatch(rf"error: .*{says}.*\n", err), err


def test_a_folder_without_records(command: Command, finished: Path) -> None:
    assert "No records under nowhere" in _line(command("compare", "nowhere", "--against", "ncm"))


def _copy(finished: Path, change: Callable[[Record], Record], name: str) -> None:
    """Copy the records to the folder `name` and change those of ncm."""
    shutil.copytree(finished / "runs" / "records", f"{name}/records")
    store = Store(Path(name))
    for record in store.all()[0]:
        if record.method == "ncm":
            store.rename(record.key, change(record))


def test_incomparable_records_are_refused_unless_other_methods_made_them(
    command: Command, finished: Path
) -> None:
    def another_split(record: Record) -> Record:
        return replace(record, provenance=replace(record.provenance, split_hash="0" * 16))

    _copy(finished, another_split, "mixed")
    line = _line(command("compare", "mixed", "--against", "ncm"))
    assert "cannot share a table" in line
    assert "split" in line
    assert "--allow-mixed" not in line  # `compare` has no such flag
    others = ["--a", "linear_probe (lr=0.1)", "--b", "linear_probe (lr=0.5)"]
    assert command("compare", "mixed", *others)[0] == 0


def test_stale_records_are_compared_with_a_note(command: Command, finished: Path) -> None:
    def older(record: Record) -> Record:
        provenance = replace(record.provenance, fingerprint="0" * 16)
        return replace(record, key=cell_key(record.identity, "0" * 16), provenance=provenance)

    _copy(finished, older, "stale")
    status, out, _ = command("compare", "stale", "--against", "ncm")
    assert status == 0
    assert out.count("ncm: made with another version of the method's source.") == 2


def test_records_without_predictions_cannot_be_paired(command: Command, finished: Path) -> None:
    _copy(finished, lambda record: record, "small")
    for file in Path("small/records").glob("*.npz"):
        file.unlink()
    line = _line(command("compare", "small", "--a", "ncm", "--b", "linear_probe (lr=0.1)"))
    assert "No predictions at" in line
    assert "run the cell again" in line


def test_correctness_bits_give_the_same_intervals(command: Command, finished: Path) -> None:
    """A clone of the repository has records and bits, and no predictions."""
    runs, names = finished / "runs", ("with", "bits")
    _copy(finished, lambda record: record, "clone")
    for file in Path("clone/records").glob("*.npz"):
        file.unlink()
    assert keep_bits([runs], Path("clone"))[1] == []
    for folder, name in zip((runs, "clone"), names, strict=True):
        assert command("compare", str(folder), "--against", "ncm", "--out", f"{name}.csv")[0] == 0
    assert Path("with.csv").read_text("utf-8") == Path("bits.csv").read_text("utf-8")
