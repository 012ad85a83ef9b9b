"""The checks. To add one, write a function with the decorator `@check()`.

It raises `Violation` with one clear line. The first line of its docstring states the demand, and
the paragraph below it says what to do if a method fails: `check` prints both.
Two limits: a method is a Python program, so no check stops one that deliberately looks for test
labels (it could read the files itself); and only the defaults of its fields are tried.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor

from benchmarks import randomness
from benchmarks.conformance.demands import (
    ROUNDING,
    TOLERANCE,
    DoesNotApply,
    Violation,
    demand,
    demand_close,
    demand_finite,
)
from benchmarks.conformance.outcomes import Check
from benchmarks.conformance.pretended_gpu import DeviceMix, on_pretended_gpu, pretended_gpu
from benchmarks.conformance.reach import holds_test
from benchmarks.conformance.subject import (
    LARGE_BATCH,
    WHOLE_BATCH,
    Display,
    Interrupt,
    Interrupting,
    Subject,
    stored,
)
from benchmarks.conformance.tiny import permuted
from benchmarks.conformance.worlds import disguised, ignorant, restricted, thinned
from benchmarks.datasets.base import DataSet
from benchmarks.errors import NotApplicable, UserError, first_few
from benchmarks.plugins.values import apply_fields
from benchmarks.run.checkpoints import RESTARTED
from methods.base import Method, Predictor
from methods.parts.image.two_stage import FeaturesOf
from methods.parts.training.learning import Learner, fit_learners
from methods.registry import METHODS
from methods.space import drawn

CHECKS: list[Check] = []


def check(*, fits: bool = True, exemptible: bool = True) -> Callable[[Any], Any]:
    """Decorator that adds a check to the list.

    Args:
        fits: the check needs a method that can be fitted.
        exemptible: a method may declare itself exempt.
    """

    def add(run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS.append(Check(run, fits, exemptible))
        return run

    return add


# ---- what a method declares ----------------------------------------------------------------------


@check(fits=False, exemptible=False)
def declares(s: Subject) -> None:
    """The class has a docstring, and its registration a paper and valid options.

    Write one line under `class`, name the paper (or `unpublished`), and see `register` in
    methods/registry.py for the options.
    """
    entry, info = METHODS.entries()[s.name], s.info
    # Without a docstring, @dataclass writes the signature.
    written = bool(entry.summary) and not entry.summary.startswith(f"{s.cls.__name__}(")
    demand(written, "the class has no docstring: `list` prints its first line")
    demand(bool(info.paper), "@register(paper=…) is empty")
    demand(info.needs in ("features", "images"), f"needs={info.needs!r}: features or images")
    tasks = set(info.tasks)
    demand(bool(tasks) and tasks <= {"single", "multi"}, f"tasks={info.tasks!r}: single or multi")
    for name, reason in info.exempt.items():
        known = {c.name: c for c in CHECKS}
        demand(name in known, f"exempt from '{name}', but no check has this name")
        demand(known[name].exemptible, f"exempt from '{name}', which allows no exemption")
        demand(isinstance(reason, str) and bool(reason), f"exempt from '{name}' without a reason")


@check(fits=False, exemptible=False)
def frozen(s: Subject) -> None:
    """The method is a frozen dataclass: fields are hyper-parameters, and it keeps no state.

    `fit` keeps what it learns in the predictor, not on `self`.
    """
    demand(s.cls.__dataclass_params__.frozen, "write @dataclass(frozen=True)")
    demand("recipe" not in s.cls.__dataclass_fields__, "a field cannot be called 'recipe'")


@check(fits=False, exemptible=False)
def configuration(s: Subject) -> None:
    """Fields can be written as JSON and on the command line, and read back.

    Use numbers, text, true/false, `Literal[…]`, or one of these or None.
    """
    values = dataclasses.asdict(s.cls())
    try:
        read = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Violation(f"a field cannot be written as JSON: {error}") from error
    demand(s.cls(**read) == s.cls(), "the method built from its fields in JSON is a different one")
    typed = {name: str(value) for name, value in values.items() if value is not None}
    for form, fields in (("JSON", read), ("the command line", typed)):
        try:
            back = apply_fields(s.name, s.cls, fields)
        except UserError as error:
            raise Violation(f"a field does not come back from {form}: {error}") from error
        differ = [name for name, value in back.items() if value != values[name]]
        demand(not differ, f"{', '.join(differ)} come back from {form} as something else")


@check(fits=False)
def space(s: Subject) -> None:
    """The search space of `tune` names fields, in ranges that contain their defaults.

    Write `{"lr": LogUniform(low, high)}` with a field's name and low <= default <= high.
    """
    if not s.cls.space:
        raise DoesNotApply("declares no search space")
    fields, hints = {f.name: f.default for f in dataclasses.fields(s.cls)}, get_type_hints(s.cls)
    for name, reach in s.cls.space.items():
        demand(name in fields, f"space names '{name}', which is not a field")
        demand(
            fields[name] in reach, f"the default of {name}, {fields[name]}, is outside its range"
        )
        for share in (0.0, 0.5, 0.999):
            apply_fields(s.name, s.cls, {name: drawn(reach, share, whole=hints[name] is int)})


# ---- logits --------------------------------------------------------------------------------------


@check(exemptible=False)
def fits(s: Subject) -> None:
    """Fit and predict return finite logits (N, C), also the uncalibrated ones if there are any.

    Start with `check NAME --debug`, which stops at the first error with its traceback.
    """
    try:
        logits = s.default.logits
    except NotApplicable as reason:
        raise Violation(f"declares {s.kind}-label data but refuses it: {reason}") from reason
    shape = (len(s.data.test), s.data.num_classes)
    demand_finite(logits, shape)
    predictor = s.default.predictor
    if predictor.uncalibrated is not None:
        plain = dataclasses.replace(predictor, logits=predictor.uncalibrated)
        try:
            demand_finite(s.evaluated(plain, s.default.test), shape)
        except Violation as error:
            raise Violation(f"uncalibrated {error}") from error


@check()
def batches(s: Subject) -> None:
    """Logits of a sample do not depend on its batch.

    Take statistics (means, ranks, batch norm) over the training images in `fit`, not over the
    batch that is predicted.
    """
    parts = s.evaluated(s.default.predictor, s.default.test, size=3)
    demand_close(parts, s.default.logits, "logits in batches of 3 and of 16 differ")


@check(exemptible=False)
def repeats(s: Subject) -> None:
    """A seed gives the same logits bit for bit, whatever the state of torch's generator.

    Draw from `task.generator("purpose")` or `task.normal_per_class("purpose", …)`, and keep sets
    and dictionaries of objects out of the order of sums.
    """
    with randomness.seeded("something else"):
        task, test = s.task()
        again = s.evaluated(s.built().fit(task), test)
    demand(
        torch.equal(again, s.default.logits),
        "a second fit of the same seed gave different logits: draw from task.generator",
    )


@check()
def seeds(s: Subject) -> None:
    """Another seed gives different logits, unless the method is declared deterministic.

    If nothing is random, write `@register(…, deterministic=True)`; otherwise draw from the task.
    """
    same = torch.equal(s.fitted(seed=1).logits, s.default.logits)
    if s.info.deterministic:
        demand(same, "declared deterministic, but seeds 0 and 1 gave different logits")
    else:
        demand(not same, "seeds 0 and 1 gave the same logits: declare deterministic=True")


@check()
def permutation(s: Subject) -> None:
    """Permuting the classes permutes the logits; up to rounding if nothing is random.

    Draw one value per class with `task.normal_per_class`, and the order of the samples from
    `task.epoch_order`: both follow the class and not its index.
    """
    order = [2, 0, 3, 1]
    logits, expected = s.default.logits, s.default.logits[:, order]
    spread = float((logits - expected).abs().max())
    demand(spread > 100 * TOLERANCE, "logits of all classes are nearly equal, which shows nothing")
    moved = s.fitted(data=permuted(s.data, order)).logits
    off = float((moved - expected).abs().max())
    allowed = ROUNDING if s.info.deterministic else TOLERANCE
    demand(off <= allowed, f"logits are off by {off:.2g} when the classes are in another order")


@check()
def together(s: Subject) -> None:
    """Seeds fitted together give the logits of single fits; a Learner's do so bit for bit.

    Derive from `Learner` and write `learn`, whose trainings run together by themselves.
    """
    if s.cls.fit_many is Method.fit_many:
        raise DoesNotApply("fits each seed alone")
    tasks, tests = zip(*(s.task(seed) for seed in (0, 1)), strict=True)
    with randomness.seeded("fit", 0, 1):
        predictors = s.built().fit_many(list(tasks))
    demand(len(predictors) == 2, f"fit_many returned {len(predictors)} of 2 predictors")
    alone = (s.default.logits, s.fitted(seed=1).logits)
    for seed in (0, 1):
        predictor = predictors[seed]
        demand(isinstance(predictor, Predictor), f"seed {seed} failed: {predictor}")
        assert isinstance(predictor, Predictor)
        logits = s.evaluated(predictor, tests[seed])
        demand_as_alone(s, logits, alone[seed], f"seed {seed} gave other logits than alone")
    method = s.built()
    if isinstance(method, Learner) and s.cls.space:
        hints = get_type_hints(s.cls)
        values = {n: drawn(reach, 0.5, whole=hints[n] is int) for n, reach in s.cls.space.items()}
        other = dataclasses.replace(method, **values)  # type: ignore[type-var]
        found = fit_learners([(method, s.task()[0]), (other, s.task()[0])])[1]
        demand(isinstance(found, Predictor), f"another configuration failed: {found}")
        assert isinstance(found, Predictor)
        _, test = s.task()
        expected = s.evaluated(other.fit(s.task()[0]), test)
        line = "another configuration gave other logits than alone"
        demand_as_alone(s, s.evaluated(found, test), expected, line)


# ---- few classes, few images ---------------------------------------------------------------------


@check()
def two_classes(s: Subject) -> None:
    """Two classes are enough.

    Look for a top-k, a rank or a group that needs more classes.
    """
    fits_finitely(s, restricted(s.data, [0, s.rarest or 1]))


@check()
def one_image(s: Subject) -> None:
    """A class may have one training image.

    Look for a variance or a split within a class: one image has none.
    """
    fits_finitely(s, thinned(s.data, s.rarest, 1))


@check()
def no_image(s: Subject) -> None:
    """A class may have no training images, or the method refuses with NotApplicable.

    `class_means` takes the class's text, `task.log_prior` counts half an image. Otherwise raise
    `NotApplicable("why")`.
    """
    try:
        fits_finitely(s, thinned(s.data, s.rarest, 0))
    except (NotApplicable, UserError) as refusal:
        demand(bool(str(refusal)), "refuses without a reason")


# ---- training ------------------------------------------------------------------------------------


@check()
def progress(s: Subject) -> None:
    """Every step of every epoch is reported, and the cost has the number of epochs.

    Train through `train` or `Training`; a loop of your own calls
    `task.progress(epoch, epochs, step, steps)` and fills `Predictor(…, trainable_params, epochs,
    images_seen)`.
    """
    predictor, steps = s.default.predictor, s.default.steps
    epochs = predictor.epochs
    if epochs == 0:
        demand(not steps, f"reported {len(steps)} steps, but its cost says 0 epochs")
        demand(predictor.images_seen == 0, "its cost says images were seen, but in 0 epochs")
        return
    demand(bool(steps), f"its cost says {epochs} epochs, but no progress was reported")
    totals = sorted({step[1] for step in steps})
    demand(totals == [epochs], f"reported {totals} epochs in all, its cost says {epochs}")
    expected = [
        (epoch, number + 1)
        for epoch in range(epochs)
        for number in range(max((step[3] for step in steps if step[0] == epoch), default=1))
    ]
    demand([(step[0], step[2]) for step in steps] == expected, "steps are missing or out of order")
    demand(predictor.images_seen > 0, "its cost says that no images were seen")
    demand(predictor.trainable_params > 0, "its cost says that nothing was trained")


@check()
def validation(s: Subject) -> None:
    """Validation images, as with `--select val`, are accepted.

    `task.validation` may be there without being used; it is None by default.
    """
    demand_finite(s.fitted(validation=True).logits, s.default.logits.shape)


@check(exemptible=False)
def untouched(s: Subject) -> None:
    """Fit and prediction change neither the method nor shared data.

    Clone features, labels and weights before you write to them: `task.train.features().clone()`.
    """
    found = first_few(s.default.touched)
    demand(not found, f"{found} changed: work on a copy")


@check(exemptible=False)
def process(s: Subject) -> None:
    """Fit and prediction leave the process as it was: threads, types, hooks, environment.

    Use the forms that put things back, such as `with torch.autocast(…)` and `with torch.no_grad()`.
    """
    found = first_few(s.default.disturbed, "; ")
    demand(not found, f"the process was changed for other methods: {found}")


@check(exemptible=False)
def record(s: Subject) -> None:
    """A run leaves a valid record, from which the method can be built again.

    `check NAME --debug` shows the traceback; every field must come back from JSON unchanged.
    """
    found, logits, _ = s.recorded
    demand(logits is not None, f"the runner recorded '{found.status}': {found.error}")
    demand(s.cls(**found.config) == s.built(), "the method built from its record differs")


@check()
def interruption(s: Subject) -> None:
    """An interrupted run leaves no partial files and resumes to the same logits.

    Train through `train` or `Training`, which save and load their state; a loop of your own
    starts over, or uses `task.checkpoint`.
    """
    try:
        _, expected, steps = s.recorded
    except Exception as error:
        raise DoesNotApply("there is no run to interrupt, see `record`") from error
    if not steps:
        raise DoesNotApply("reports no steps at which to interrupt it")
    assert expected is not None  # or there were no steps
    last = steps[-1][0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for epoch in sorted({min(1, last), (last + 1) // 2, last}):
            try:
                s.run_cell(out, Interrupting(epoch))
            except Interrupt:
                pass
            else:
                raise Violation(f"an interruption in epoch {epoch + 1} did not stop it")
            files = [f for f in out.rglob("*") if f.is_file() and f.parent.name != "checkpoints"]
            left = files + [f for f in out.rglob("*.partial") if f not in files]
            demand(not left, f"an interruption left {', '.join(f.name for f in left)}")
        s.run_cell(out, Display())
        record, logits = stored(out)
    demand(
        RESTARTED not in record.details,
        "the state that it saved cannot be read: save tensors, numbers, texts, lists and dicts",
    )
    same = logits is not None and torch.equal(logits, expected)
    demand(same, "an interrupted run ended with different logits")


# ---- on a GPU ------------------------------------------------------------------------------------


@check(exemptible=False)
def gpu(s: Subject) -> None:
    """Fit, fit_many and predict keep all tensors on the device: tried on a pretended GPU.

    Create tensors with `device=task.device`, and register constants of a module as buffers.
    """
    try:
        fit = s.on_gpu
        with pretended_gpu():
            predictors: list[Any] = [fit.predictor]
            if s.cls.fit_many is not Method.fit_many:
                tasks = [s.task(seed, backbone=fit.task.backbone)[0] for seed in (0, 1)]
                predictors += s.built(WHOLE_BATCH).fit_many(tasks)
            for predictor in predictors:
                if isinstance(predictor, Exception):
                    raise predictor
                with fit.task.backbone.precision_for(s.info.needs):
                    logits = s.evaluated(predictor, fit.test)
                where = logits.device.type
                demand(where == "cuda", f"logits are on the device '{where}'")
    except DeviceMix as error:
        raise Violation(f"{error} ({error.place})") from error


@check()
def host_waits(s: Subject) -> None:
    """The host does not wait for the (pretended) GPU at every training step.

    Keep `.item()`, `.cpu()`, `float(x)`, `if x > 0` and printing out of the training step.
    """
    if "batch_size" not in s.cls.__dataclass_fields__:
        raise DoesNotApply("has no batch_size: nothing is trained in steps")
    with pretended_gpu() as waits:
        task, _ = s.task(backbone=on_pretended_gpu(s.backbone, "bf16"))
        waits.clear()
        s.built(LARGE_BATCH).fit(task)
    for place, times in waits.items():  # twice as many steps
        seldom = times <= s.on_gpu.waits[place]
        demand(seldom, f"the host waits for the device at every step: {place}")


# ---- what a method can see -----------------------------------------------------------------------


@check(exemptible=False)
def hidden_labels(s: Subject) -> None:
    """No test label is reachable, and logits depend only on a test image's pixels.

    Everything that a method may use is in `task`; do not open data sets or files in `fit`.
    """
    fit, data = s.default, s.data
    for what, root in (("task", fit.task), ("predictor", fit.predictor)):
        demand(not holds_test(data, root), f"test samples can be reached from the {what}")
    order = np.random.default_rng(0).permutation(len(data.test))
    other = dataclasses.replace(data, test=disguised(data.test, order))
    _, test = s.task(data=other)
    places = torch.from_numpy(order)
    # The same features in another order: computed again, they could differ in their last bits.
    samples = FeaturesOf(test, fit.test.features()[places])
    logits = s.evaluated(fit.predictor, samples)
    expected = fit.logits[places]
    demand_close(logits, expected, "logits depend on a test image's position or label")


@check()
def words(s: Subject) -> None:
    """A method that encodes words the text tower never saw adds a note.

    Call `task.note_unknown_words(texts)` before you encode texts; `task.text_features` does so.
    """
    backbone, tokenizer = ignorant(s.backbone)
    try:
        fit = s.fitted(backbone=backbone)
    except (NotApplicable, UserError):
        return
    notes = [note for note in (*fit.task.notes, *fit.predictor.notes) if "untrained" in note]
    demand(
        bool(notes) or not tokenizer.used,
        "no note on words the text tower was not trained on: see Task.note_unknown_words",
    )
    demand(tokenizer.used or not notes, "a note on words, but none were read")
    known = (*s.default.task.notes, *s.default.predictor.notes)
    demand(not any("untrained" in n for n in known), "notes untrained words that are known")


# ---- helpers -------------------------------------------------------------------------------------


def demand_as_alone(s: Subject, logits: Tensor, expected: Tensor, line: str) -> None:
    """Raise `line` unless logits are those of a fit alone: of a Learner bit for bit."""
    if issubclass(s.cls, Learner):
        off = float((logits - expected).abs().max())
        demand(torch.equal(logits, expected), f"{line}, by {off:.2g}")
    else:
        demand_close(logits, expected, line)


def fits_finitely(s: Subject, data: DataSet) -> None:
    """Fit on other data and demand finite logits."""
    demand_finite(s.fitted(data=data).logits, (len(data.test), data.num_classes))
