"""Slips of a user in a hurry: one line that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.cli.commands import Command, the_line

LIFT = "plan --methods lift --datasets glyphs100_lt"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{LIFT} --lr 0.1", "'--lr'. A field of a method is set with --set METHOD.lr=VALUE."),
        (f"{LIFT} --learning-rate=0.1", "--set METHOD.lr=VALUE."),
        (f"{LIFT} --num_epochs 5", "--set METHOD.epochs=VALUE."),
        (f"{LIFT} --seed 1", "Did you mean: --seeds"),
        (f"{LIFT} --set lift.learning_rate=0.1", "Did you mean: lr?"),
        (f"{LIFT} --device gpu", "auto, cpu, cuda, mps; --gpus 0,1 chooses GPUs."),
        (f"{LIFT} --device cuda:0", "auto, cpu, cuda, mps; --gpus 0,1 chooses GPUs."),
        (f"{LIFT} --backbone openai/clip-vit-base-patch16", "ViT-B-16-quickgelu/openai"),
        (f"{LIFT} --backbone google/siglip-base-patch16-224", "hf-hub:google/siglip-base"),
        ("tune lift --datasets glyphs100_lt --trials ten", "'ten' is not a whole number"),
        ("tune lift --datasets glyphs100_lt --trials 1.5", "'1.5' is not a whole number"),
        ("tune lift --datasets glyphs100_lt --trials inf", "'inf' is not a whole number"),
        ("run lift --datasets glyphs100_lt", "'lift': methods go behind --methods."),
        ("run --methods lift sage --datasets glyphs100_lt", "'sage': write a list with commas"),
        ("check mine.py", "'mine.py' is a file: name it with --plugin mine.py."),
        ("report runs/records", "runs/records: name the folder around it, runs."),
        ("report --lr 1 runs", "Unknown argument of report '--lr'."),
    ],
)
def test_a_slip_on_the_command_line(command: Command, line: str, says: str) -> None:
    Path("runs/records").mkdir(parents=True)
    assert says in the_line(command(*line.split()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs: 5", "'epochs'. A field goes below `set`: {METHOD: {epochs: VALUE}}."),
        ("learning_rate: 5", "{METHOD: {lr: VALUE}}."),
        ("lift: {lr: 1e-3}", "'lift'. Fields of a method go below `set`: {lift: {FIELD: VALUE}}."),
        ("method: lift", "Did you mean: methods?"),
    ],
)
def test_a_slip_in_a_file(command: Command, work: Path, text: str, says: str) -> None:
    (work / "sweep.yaml").write_text(f"methods: lift\ndatasets: glyphs100_lt\n{text}\n")
    assert says in the_line(command("plan", "--config", "sweep.yaml"))


def test_numbers_may_have_exponents_everywhere(command: Command, work: Path) -> None:
    """YAML 1.1 takes 1e-3 for a text, and argparse takes no 1e1 for a whole number."""
    (work / "sweep.yaml").write_text(
        "methods: [lift: {lr: 1e-3, epochs: 1e1}]\n"
        "datasets: [glyphs100_lt: {imbalance: 5e1}]\n"
        "set: {lift: {weight_decay: 5e-4}}\n"
        "margin: 1e0\ncell_timeout: 1e3\nmax_failures: 1e1\nimage_size: 3.2e1\n"
    )
    ended = command("plan", "--config", "sweep.yaml", "--json")
    assert ended.status == 0, ended.err
    assert '"lr": 0.001' in ended.out
    assert '"epochs": 10,' in ended.out
    line = the_line(command("tune", "lift", "--datasets", "nowhere", "--trials", "1e1"))
    assert "Unknown data set 'nowhere'" in line
