"""Each check catches what it is there for: deliberately broken plug-ins, one or more a check."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

import run_benchmarks
from benchmarks.cli.check import check
from benchmarks.conformance import CHECKS, Outcome, run_checks
from benchmarks.conformance.tiny import tiny_data
from benchmarks.conformance.worlds import restricted, thinned
from benchmarks.datasets.base import TaskKind
from methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = '''
    from dataclasses import dataclass
    from typing import ClassVar

    import torch
    from torch.nn import functional as F

    from benchmarks import randomness
    from benchmarks.errors import NotApplicable
    from benchmarks.conformance.tiny import tiny_data
    from methods.base import Method, Predictor
    from methods.registry import register
    from methods.space import LogUniform


    def weight(task, seed=None):
        """(C, D) random class directions."""
        shape, seed = task.train.features().shape[1:], task.seed if seed is None else seed
        return randomness.normal_per_class(task.texts.class_names, shape, seed, "weight")


    def head(w, scale=10.0):
        return Predictor(lambda batch: scale * batch.inputs @ w.T)


    def trained(task, epochs=2, told=None, catch=(), momentum=False, state=True, first=0):
        """A head trained by a loop of its own: class means nudged batch by batch."""
        w = torch.nn.Parameter(weight(task).clone())
        optimiser = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        start = 0
        saved = task.checkpoint.load()
        if saved is not None:
            start = saved["epoch"]
            w.data.copy_(saved["w"])
            if momentum:
                optimiser.load_state_dict(saved["optimiser"])
        for epoch in range(start, epochs):
            order = task.epoch_order(epoch)
            for step in range(2):
                batch = task.train.batch(order[step::2], needs="features")
                labels = task.train.labels[batch.index].float()
                if labels.ndim == 1:
                    labels = F.one_hot(labels.long(), len(w)).float()
                optimiser.zero_grad()
                F.binary_cross_entropy_with_logits(batch.inputs @ w.T, labels).backward()
                optimiser.step()
                try:
                    task.progress(first + epoch, told or epochs, step + 1, 2)
                except catch:
                    pass
            if state:
                saved = {{"epoch": epoch + 1, "w": w.detach(), "optimiser": optimiser.state_dict()}}
                task.checkpoint.save(saved if state is True else {{**saved, "more": state}})
        found = w.detach()
        return Predictor(lambda batch: 10 * batch.inputs @ found.T, found.numel(), epochs, 128)


    class Opaque:
        """Nothing that a checkpoint on disk can hold."""


    {decorator}
    @dataclass(frozen={frozen})
    class Mine(Method):
        """{summary}"""

        lr: float = 0.5
        epochs: int = 10
        {field}

        def fit(self, task):
            {body}

        {more}
'''
REGISTER = (
    '@register("mine", paper="A. Author 2026", needs="features", tasks=("single", "multi"){})'
)
GOOD = "return trained(task, momentum=True)"


@pytest.fixture
def mine(plugin: Callable[[str], Path]) -> Callable[..., None]:
    """Registers the method `mine` with these lines in it."""

    def register(body: str = "return head(weight(task))", **lines: str) -> None:
        options = lines.pop("options", "")
        decorator = lines.pop("decorator", REGISTER.format(options and f", {options}"))
        rest = {"frozen": "True", "summary": "Mine.", "field": "", "more": ""} | lines
        METHODS.load_file(plugin(PLUGIN.format(decorator=decorator, body=body, **rest)))

    return register


def _outcomes(kind: TaskKind = "single", without: Sequence[str] = ()) -> dict[str, Outcome]:
    checks = [c for c in CHECKS if c.name not in without]
    return {outcome.check.name: outcome for outcome in run_checks("mine", kind, checks)}


SOUND = {
    "trained by a loop of its own": GOOD,
    "trained from the start after an interruption": "return trained(task, state=False)",
    "random but untrained": "return head(weight(task))",
    "closed-form": (
        "p = head(F.normalize(task.text_features(), dim=1)); p.trainable_params = 9; return p"
    ),
}


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("case", SOUND)
def test_sound_methods_pass(mine: Callable[..., None], case: str, kind: TaskKind) -> None:
    mine(SOUND[case], options="deterministic=True" if case == "closed-form" else "")
    outcomes = _outcomes(kind)
    assert {o.status for o in outcomes.values()} <= {"passed", "not applicable"}, outcomes
    assert outcomes["fits"].status == "passed"
    trained = case.startswith("trained")
    assert (outcomes["interruption"].status == "passed") == trained


TOGETHER = "def fit_many(self, tasks): return [self.fit(task) for task in tasks]{}"
BROKEN = {
    "no docstring": ("declares", "docstring", {"summary": ""}),
    "no paper": (
        "declares",
        "paper",
        {"decorator": '@register("mine", paper="", needs="features")'},
    ),
    "exempt from what is not there": (
        "declares",
        "'sedes'",
        {"options": "exempt={'sedes': 'why not'}"},
    ),
    "exempt from what knows no exemption": (
        "declares",
        "'repeats', which knows no exemption",
        {"options": "exempt={'repeats': 'too hard'}"},
    ),
    "exempt for no reason": ("declares", "without a reason", {"options": "exempt={'seeds': ''}"}),
    "not frozen": ("frozen", "frozen=True", {"frozen": "False"}),
    "a field of a name that sweeps use": ("frozen", "recipe", {"field": "recipe: str = ''"}),
    "a field JSON cannot hold": (
        "configuration",
        "another",
        {"field": "widths: tuple[int, ...] = (1, 2)"},
    ),
    "a field the command line cannot write": (
        "configuration",
        "does not come back",
        {"field": "depths: dict = __import__('dataclasses').field(default_factory=dict)"},
    ),
    "a space of no field": (
        "space",
        "'rate', which is no field",
        {"field": "space: ClassVar = {'rate': LogUniform(1e-3, 1)}"},
    ),
    "a default out of its range": (
        "space",
        "lies outside",
        {"field": "space: ClassVar = {'lr': LogUniform(1e-3, 1e-2)}"},
    ),
    "raises": ("fits", r"ValueError: no luck \(mine.py, line \d+\)", "raise ValueError('no luck')"),
    "refuses what it declares": (
        "fits",
        "declares single-label data but refuses it: no",
        "raise NotApplicable('no')",
    ),
    "NaN": ("fits", "NaN", "return head(weight(task) * float('nan'))"),
    "a class too few": ("fits", r"\(16, 3\), not \(16, 4\)", "return head(weight(task)[1:])"),
    "whole numbers": (
        "fits",
        "torch.int64",
        "w = weight(task); return Predictor(lambda batch: (99 * batch.inputs @ w.T).long())",
    ),
    "centred on the batch": (
        "batches",
        "in batches of 3",
        "w = weight(task); "
        "return Predictor(lambda b: (b.inputs - b.inputs.mean(0)) @ w.T + b.inputs @ w.T)",
    ),
    "draws from torch": (
        "repeats",
        "task.generator",
        "return head(weight(task), scale=1 + float(torch.rand(())))",
    ),
    "random after all": (
        "seeds",
        "declared deterministic",
        ("return head(weight(task))", "deterministic=True"),
    ),
    "not random after all": (
        "seeds",
        "declare deterministic=True",
        "return head(weight(task, seed=0))",
    ),
    "keyed by place": (
        "permutation",
        "in another order",
        "w = weight(task); return head(torch.randn(w.shape, generator=task.generator('weight')))",
    ),
    "one value for all classes": (
        "permutation",
        "nearly alike",
        "w = weight(task); return head(w.mean(0).expand(len(w), -1))",
    ),
    "fit_many in the wrong order": (
        "together",
        "seed 0 gave other logits than alone",
        {"more": TOGETHER.format("[::-1]")},
    ),
    "fit_many forgets one": (
        "together",
        "returned 1 of",
        {"more": TOGETHER.format("[:1]")},
    ),
    "wants three classes": (
        "two_classes",
        "IndexError",
        "w = weight(task); w[2]; return head(w)",
    ),
    "a spread for each class": (
        "one_image",
        "NaN or infinite",
        "return head(weight(task) / (task.counts - 1)[:, None])",
    ),
    "divides by the counts": (
        "no_image",
        "NaN or infinite",
        "return head(weight(task) / task.counts[:, None])",
    ),
    "refuses without a word": (
        "no_image",
        "without a reason",
        "if task.counts.min() == 0: raise NotApplicable\n" + " " * 12 + GOOD,
    ),
    "silent": ("progress", "no progress", "p = head(weight(task)); p.epochs = 2; return p"),
    "steps for nothing": (
        "progress",
        "1 steps, but its cost says 0",
        "task.progress(0, 1, 1, 1); return head(weight(task))",
    ),
    "another number of epochs": (
        "progress",
        r"reported \[3\] epochs in all, its cost says 2",
        "return trained(task, momentum=True, told=3)",
    ),
    "counts epochs from one": (
        "progress",
        "missing or out of order",
        "return trained(task, momentum=True, first=1)",
    ),
    "free of charge": (
        "progress",
        "nothing was trained",
        "p = trained(task, momentum=True); p.trainable_params = 0; return p",
    ),
    "no validation": (
        "validation",
        "AssertionError",
        "assert task.validation is None\n" + " " * 12 + GOOD,
    ),
    "counts in place": (
        "untouched",
        "class counts changed",
        f"task.counts.clamp_(min=5)\n{' ' * 12}{GOOD}",
    ),
    "the backbone in training mode": (
        "untouched",
        "backbone's mode changed",
        f"task.backbone.model.train()\n{' ' * 12}{GOOD}",
    ),
    "another backbone": (
        "untouched",
        "backbone's weights changed",
        f"torch.nn.init.zeros_(task.backbone.model.logit_scale)\n{' ' * 12}{GOOD}",
    ),
    "a memory": (
        "untouched",
        "method's fields changed",
        f"object.__setattr__(self, 'seen', 1)\n{' ' * 12}{GOOD}",
    ),
    "a cost that is none": (
        "record",
        "trainable_params is nan",
        "p = head(weight(task)); p.trainable_params = float('nan'); return p",
    ),
    "deaf to Ctrl-C": (
        "interruption",
        "did not stop it",
        "return trained(task, momentum=True, catch=KeyboardInterrupt)",
    ),
    "forgets its momentum": ("interruption", "at other logits", "return trained(task)"),
    "a state that does not load": (
        "interruption",
        "UnpicklingError",
        "return trained(task, momentum=True, state=Opaque())",
    ),
    "leaves a file": (
        "interruption",
        "left half.txt",
        "from pathlib import Path\n"
        "            folder = getattr(task.checkpoint, '_file', Path('/nowhere/a/b')).parents[1]\n"
        "            folder.exists() and (folder / 'half.txt').write_text('')\n"
        "            return trained(task, momentum=True)",
    ),
    "test labels by place": (
        "hidden_labels",
        "place or label",
        "w = weight(task); return Predictor(lambda b: b.inputs @ w.T * (1 + b.index[:, None]))",
    ),
    "the test split in the predictor": (
        "hidden_labels",
        "reached from the predictor",
        "w, labels = weight(task), tiny_data().test.labels\n"
        "            return Predictor(lambda b: b.inputs @ w.T + 0 * len(labels))",
    ),
    "reads words without a note": (
        "words",
        "no note",
        "return head(weight(task) + task.backbone.encode_text(list(task.texts.class_names)))",
    ),
    "a note for nothing": (
        "words",
        "none were read",
        "task.note_unknown_words(task.texts.class_names)\n" + " " * 12 + GOOD,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_method_is_caught_by_its_check_alone(mine: Callable[..., None], case: str) -> None:
    expected, says, lines = BROKEN[case]
    if isinstance(lines, tuple):
        mine(lines[0], options=lines[1])
    elif isinstance(lines, dict):
        mine(**lines)
    else:
        mine(lines)
    runs = ("record", "interruption")  # slower, and of no interest to the other cases
    outcomes = _outcomes(without=() if expected in runs else runs)
    failed = {name: o.line for name, o in outcomes.items() if o.status == "failed"}
    assert list(failed) == [expected], failed
    assert re.search(says, failed[expected]), failed
    assert "\n" not in failed[expected]


def test_every_check_has_a_method_that_fails_it() -> None:
    assert {case[0] for case in BROKEN.values()} == {c.name for c in CHECKS}


# ---- exemptions and the verb ---------------------------------------------------------------------


def test_an_exemption_is_shown_with_its_reason_and_its_check_is_not_run(
    mine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine("return head(weight(task, seed=0))", options="exempt={'seeds': 'has one answer'}")
    outcome = _outcomes()["seeds"]
    assert (outcome.status, outcome.line) == ("exempt", "has one answer")
    assert check(["mine"], [], Console(width=100), debug=False) == 0
    assert re.search(r"seeds +exempt +has one answer", capsys.readouterr().out)
    assert run_benchmarks.main(["show", "mine"]) == 0
    assert re.search(r"exempt +seeds \(has one answer\)", capsys.readouterr().out)


def test_what_knows_no_exemption_is_checked_all_the_same(mine: Callable[..., None]) -> None:
    mine(
        "return head(weight(task), scale=1 + float(torch.rand(())))",
        options="exempt={'repeats': 'is random'}",
    )
    outcomes = _outcomes()
    assert outcomes["repeats"].status == outcomes["declares"].status == "failed"


def test_a_method_that_cannot_be_fitted_is_not_run_further(mine: Callable[..., None]) -> None:
    mine("raise ValueError('no luck')")
    outcomes = list(_outcomes().values())
    first = next(i for i, o in enumerate(outcomes) if o.status == "failed")
    assert outcomes[first].check.name == "fits"
    assert {o.status for o in outcomes[first + 1 :]} == {"not run"}
    assert all(o.bad for o in outcomes[first:])


def test_the_verb_prints_a_table_for_each_task_and_its_status_says_whether_all_passed(
    mine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine("return head(weight(task, seed=0))")
    assert check(["mine"], [], Console(width=100), debug=False) == 1
    shown = capsys.readouterr().out
    assert "mine, single-label" in shown
    assert "mine, multi-label" in shown
    assert re.search(r"seeds +FAILED +seeds 0 and 1 gave the same logits", shown)
    assert re.search(r"interruption +not applicable +reports no steps", shown)
    with pytest.raises(AssertionError, match="seeds 0 and 1"):
        check(["mine"], [], Console(), debug=True)


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=str)
def test_the_documented_examples_pass(
    plugin: Callable[[str], Path], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_benchmarks.main(["check", "--plugin", str(file)]) == 0
    assert f"{file.stem}, single-label" in capsys.readouterr().out


def test_what_cannot_be_checked_is_said_in_a_line(
    plugin: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in (
        ([], "name a method"),
        (["lfit"], "Unknown method 'lfit'.*lift"),
        (["--plugin", "nowhere.py"], "No plug-in file"),
        (["--plugin", str(plugin("def f(:"))], "SyntaxError"),
    ):
        assert run_benchmarks.main(["check", *words]) == 2
        line = capsys.readouterr().err
        assert re.search(says, line)
        assert line.count("\n") == 1


# ---- the worlds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_classes_and_images_can_be_left_out(kind: TaskKind) -> None:
    data = tiny_data(kind)
    for images in (0, 1):
        few = thinned(data, 2, images)
        assert few.counts[2] == images
        assert set(few.train.ids) < set(data.train.ids)
        for i, sid in enumerate(few.train.ids):  # what is left is what it was
            was = data.train.ids.index(sid)
            assert (few.train.labels[i] == data.train.labels[was]).all()
            assert (few.train.images.read(i) == data.train.images.read(was)).all()
    pair = restricted(data, [3, 1])
    assert pair.texts.class_names == tuple(data.texts.class_names[c] for c in (3, 1))
    assert (pair.counts == data.counts[[3, 1]]).all()
