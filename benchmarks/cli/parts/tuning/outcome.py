"""The end of a search: its trials on the screen, the best one's values in a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmarks.cli.parts.messages import warn
from benchmarks.cli.parts.narrow import Head, NarrowTable
from benchmarks.cli.parts.tuning.expected import expected_best
from benchmarks.cli.parts.tuning.scores import OBJECTIVES, Score, Scored, scored_by
from benchmarks.cli.parts.tuning.trials import Trial
from benchmarks.errors import counted
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.recipe_files import Recipe, write_recipe
from reports.compare.runs import Read

NEAR = "within 1 SE"


def finish(
    first: Cell, trials: Sequence[Trial], draft: Recipe, read: Read, console: Console
) -> int:
    """Print the trials and write the best one's values as a recipe.

    Args:
        first: the method with its defaults on the data set.
        trials: the trials with their records and scores.
        draft: the recipe, still with the values of trial 0.
        read: reads the predictions of a record.
        console: where to print.

    Returns:
        The exit status: 1 if no trial finished.

    Raises:
        UserError: the recipe cannot be written, or predictions cannot be read.
    """
    scores = {trial.number: trial.score for trial in trials if trial.score is not None}
    objective = OBJECTIVES[first.family.task]
    if not scores:
        console.print(_table(trials, None, (), objective))
        console.print(
            f"No trial of {first.method} on {first.dataset} finished, so no recipe was written: "
            f"{trials[0].error}",
            style="red",
            markup=False,
        )
        return 1
    best = max(scores, key=lambda number: (scores[number].value, -number))
    near = [n for n, score in scores.items() if n != best and score.near(scores[best])]
    scored = scored_by(trials[best].records[0], read)
    expected = expected_best([score.value for n, score in scores.items() if n])
    tuning: dict[str, Any] = {
        "objective": f"{objective} on {_images(draft)} at the last epoch, mean over seeds",
        **draft.tuning,
        "scored": scored.as_texts(),
        "best": best,
        "within_one_se": near,
        "expected_best": {n: round(value, 2) for n, value in expected.items()},
        "trials": [_summary(trial) for trial in trials],
    }
    recipe = dataclasses.replace(draft, fields=trials[best].values, tuning=tuning)
    write_recipe(recipe)
    console.print(_table(trials, best, near, objective))
    _print_scored(scored, draft.folds, len(trials[best].runs), console)
    for line in (
        f"Trial {best} is best: {_shown(scores[best])}. {_near_text(near)}",
        _expected_text(expected),
        f"Recipe: {draft.file}\nTo use it in a sweep: --recipe {draft.file}",
    ):
        if line:
            console.print(line, markup=False, soft_wrap=True)
    return 0


def _images(draft: Recipe) -> str:
    if draft.folds:
        return f"the predictions pooled over {draft.folds} folds of the training images"
    return "validation images"


def _print_scored(scored: Scored, folds: int, runs: int, console: Console) -> None:
    """Say which images and classes the scores are of, and warn of those that they are not of."""
    of = {name: f"{some} of {whole}" for name, (some, whole) in scored.classes.items()}
    groups = ", ".join(f"{name} {text}" for name, text in of.items() if name != "all")
    images = counted(scored.images, "training image" if folds else "validation image")
    once = ", each held out once" if folds else ""
    seeds = f" and {runs} seeds" if runs > 1 else ""
    console.print(
        f"Scored on {images} of {of['all']} classes ({groups}){once}. ±: standard error over these "
        f"images{seeds}, with the classes fixed.",
        markup=False,
        soft_wrap=True,
    )
    if scored.left_out:
        warn(console, _blind_text(scored, folds))


def _blind_text(scored: Scored, folds: int) -> str:
    """A line on the classes that no image scores."""
    low, high = scored.left_out[0], scored.left_out[-1]
    number = len(scored.left_out)
    what = "1 class" if number == 1 else f"{number} classes"
    sizes = f"{low}" if low == high else f"{low} to {high}"
    whole = f", all of the group {' and '.join(scored.blind)} among them" if scored.blind else ""
    more = high > 1 and not folds
    hint = " `--folds 5` scores every class with 2 or more images." if more else ""
    return (
        f"Never scored: {what} with {sizes} training image{'' if high == 1 else 's'}{whole}; the "
        f"choice is blind to them.{hint}"
    )


def _near_text(near: Sequence[int]) -> str:
    """The trials that the images do not tell from the best one."""
    if not near:
        return "No other trial is within one standard error of it, image by image."
    who = f"Trial {near[0]} is" if len(near) == 1 else f"Trials {_listed(near)} are"
    return f"{who} within one standard error of it, image by image."


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _expected_text(expected: dict[int, float]) -> str:
    """The expected best score for some numbers of random trials; empty for fewer than two."""
    if len(expected) < 2:
        return ""
    values = ", ".join(f"{n}: {value:.2f}" for n, value in expected.items())
    return f"Expected best score of n random trials (Dodge et al. 2019): {values}."


def _shown(score: Score) -> str:
    return f"{score.value:.2f} ± {score.error:.2f}"


def _summary(trial: Trial) -> dict[str, Any]:
    """A trial as the recipe file lists it."""
    if trial.score is None:
        return {"trial": trial.number, **trial.values, "failed": trial.error}
    score = {"score": round(trial.score.value, 3), "se": round(trial.score.error, 3)}
    return {"trial": trial.number, **trial.values, **score}


def _table(
    trials: Sequence[Trial], best: int | None, near: Collection[int], objective: str
) -> NarrowTable:
    values = [
        Head(name, drop=99 - place, whole=True, justify="right")
        for place, name in enumerate(trials[0].values)  # the last ones go first
    ]
    score = Head(objective, whole=True, justify="right")
    table = NarrowTable((Head("trial", justify="right"), *values, score, Head("")))
    for trial in trials:
        notes = ["default"] if trial.number == 0 else []
        notes += ["best"] if trial.number == best else []
        notes += [NEAR] if trial.number in near else []
        table.add(
            str(trial.number),
            *(Text(str(value)) for value in trial.values.values()),
            "–" if trial.score is None else _shown(trial.score),
            Text(", ".join([*notes, *([trial.error or ""] if trial.score is None else [])])),
            style="bold" if trial.number == best else "",
        )
    return table
