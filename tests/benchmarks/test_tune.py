"""`tune`: what it tries, what it looks at, what it writes, and how it goes on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from scipy.stats import kstest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

import run_benchmarks
from benchmarks.conformance.reach import holds_test
from benchmarks.datasets.registry import resolve
from benchmarks.errors import UserError
from benchmarks.recipe_files import read_recipe
from benchmarks.settings import read_sweep
from benchmarks.tuning import OnValidation, Request, draw, tune, tuned_fields
from methods.registry import METHODS
from methods.space import LogUniform, OneOf, Uniform
from results.store import Store
from tests.benchmarks.small import FIELDS

PLUGIN = '''
    import dataclasses
    from dataclasses import dataclass
    from pathlib import Path
    from typing import ClassVar

    import numpy as np
    import torch

    from benchmarks.datasets.base import ArrayImages, Family, Split
    from benchmarks.datasets.carving import part
    from benchmarks.datasets.glyphs import Glyphs
    from benchmarks.datasets.registry import register as register_data
    from methods.base import Method, Predictor
    from methods.registry import register
    from methods.space import LogUniform, OneOf, Uniform


    @register("mine", paper="-", needs="features", tasks=("single", "multi"), deterministic=True)
    @dataclass(frozen=True)
    class Mine(Method):
        """Right where lr is above 0.1, contrary where it is below; fails above `limit`."""

        lr: float = 0.01
        width: int = 3
        mode: str = "a"
        epochs: int = 7
        limit: float = 10.0
        interrupt: float = 10.0

        space: ClassVar = {
            "lr": LogUniform(1e-4, 1.0),
            "width": Uniform(1, 9),
            "mode": OneOf(("a", "b")),
            "epochs": OneOf((7, 8)),
        }

        def fit(self, task):
            assert task.validation is None
            if self.lr > self.limit:
                raise ValueError("diverged")
            if self.lr > self.interrupt and not Path("go").exists():
                raise KeyboardInterrupt
            features, labels = task.train.features(), task.train.labels
            if labels.ndim == 1:
                labels = torch.nn.functional.one_hot(labels, task.num_classes)
            means = (labels.T.float() @ features) / labels.sum(0)[:, None].clamp(min=1)
            sign = 1 if self.lr > 0.1 else -1
            return Predictor(lambda batch: sign * batch.inputs @ (means - means.mean(0)).T)


    @register("fixed", paper="-", needs="features", deterministic=True)
    @dataclass(frozen=True)
    class Fixed(Mine):
        """Nothing to tune."""

        space: ClassVar = {}


    @register("shaky", paper="-", needs="features")
    @dataclass(frozen=True)
    class Shaky(Mine):
        """Fails with seed 1 where it is right."""

        def fit(self, task):
            if task.seed == 1 and self.lr > 0.1:
                raise ValueError("shaken")
            return super().fit(task)


    class Forbidden(ArrayImages):
        """Images nobody may look at."""

        def read(self, index):
            raise AssertionError("a test image was read")

        def digest(self):
            raise AssertionError("a test image was read")


    class World(Family):
        """The small world."""

        default_backbone = "glyph"

        def card(self):
            return {}

        def load(self, root, split_seed):
            world = Glyphs(classes=4, n_max=35, imbalance=8, test_per_class=4)
            return dataclasses.replace(world.load(root, split_seed), name=self.name)


    @register_data("trap_lt", task="single")
    @dataclass(frozen=True)
    class Trap(World):
        """Its test images may not be read; its validation images are of one class mostly."""

        def load(self, root, split_seed):
            data = super().load(root, split_seed)
            test = dataclasses.replace(data.test, images=Forbidden(data.test.images.array))
            whole = data.validation()
            i = [*range(20), *range(20, 23), *range(40, 45), *range(60, 69)]
            ids = tuple(whole.ids[k] for k in i)
            uneven = Split(ArrayImages(whole.images.array[i]), whole.labels[i], ids)
            return dataclasses.replace(data, test=test, validation=lambda: uneven)


    @register_data("plain_lt", task="single")
    @dataclass(frozen=True)
    class Plain(World):
        """It has no validation images, and no class from which any could be taken."""

        largest: int = 9

        def load(self, root, split_seed):
            data = super().load(root, split_seed)
            same = [np.flatnonzero(data.train.labels == c) for c in range(data.num_classes)]
            few = part(data.train, np.concatenate([s[: self.largest] for s in same]))
            return dataclasses.replace(data, train=few, validation=None)
'''
SMALL = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]


@dataclass
class Tuned:
    """How a search ended."""

    status: int
    shown: str
    out: Path

    @property
    def recipe(self) -> dict[str, Any]:
        """The one recipe, as YAML holds it."""
        (file,) = Path("configs/recipes").glob("*.yaml")
        found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        return found

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The trials that the recipe tells of."""
        found: list[dict[str, Any]] = self.recipe["tuning"]["trials"]
        return found

    @property
    def store(self) -> Store:
        """The records of the trials."""
        (folder,) = (self.out / "tune").iterdir()
        return Store(folder)


Tune = Callable[..., Tuned]


@pytest.fixture
def search(
    plugin: Callable[[str], Path],
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Tune:
    """Tunes a method on the small world, in an empty folder."""
    METHODS.load_file(plugin(PLUGIN))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(method: str = "mine", *assignments: str, **options: Any) -> Tuned:
        names = [name for name in ("trials", "fields", "write") if name in options]
        request = {"trials": 6} | {name: options.pop(name) for name in names}
        flags = {
            "methods": method, "datasets": "glyphs100_lt", "seeds": "0", "device": "cpu",
            "backbone": f"local-dir:{clip_folder}", "out": "o",
        } | options  # fmt: skip
        small = SMALL if "glyphs100_lt" in flags["datasets"] else []
        shown = io.StringIO()
        sweep = read_sweep(None, {**flags, "set": [*small, *assignments]})
        status = tune(sweep, Request(**request), Console(file=shown, width=200), debug=False)
        return Tuned(status, shown.getvalue(), Path(flags["out"]))

    return run


# ---- what is tried -------------------------------------------------------------------------------


def test_trial_0_is_the_default_and_the_others_are_draws_from_the_space(search: Tune) -> None:
    trials = search(trials=9, protocol="paper").trials
    assert [t["trial"] for t in trials] == list(range(9))
    first = trials[0]
    assert (first["lr"], first["width"], first["mode"], first["epochs"]) == (0.01, 3, "a", 7)
    for t in trials[1:]:
        assert 1e-4 <= t["lr"] <= 1
        assert isinstance(t["width"], int)
        assert 1 <= t["width"] <= 9
        assert t["mode"] in ("a", "b")
    assert len({t["lr"] for t in trials}) == 9
    assert len({(t["width"], t["mode"]) for t in trials}) > 4  # fields vary apart


def test_draws_follow_the_ranges(search: Tune) -> None:
    ranges = {"lr": LogUniform(1e-4, 1.0), "limit": Uniform(-2, 3), "mode": OneOf(("a", "b"))}
    cls = METHODS.get("mine")
    found = draw(ranges, cls, {"lr": 0.5, "limit": 1.0, "mode": "a"}, 2000)[1:]
    logs = [(np.log10(v["lr"]) + 4) / 4 for v in found]
    shares = [(v["limit"] + 2) / 5 for v in found]
    assert kstest(logs, "uniform").statistic < 0.05
    assert kstest(shares, "uniform").statistic < 0.05
    assert abs(np.corrcoef(logs, shares)[0, 1]) < 0.1
    assert 900 < sum(v["mode"] == "a" for v in found) < 1100


def test_draws_depend_on_trial_and_field_alone(search: Tune) -> None:
    lr, mode = {"lr": LogUniform(1e-4, 1.0)}, {"mode": OneOf(("a", "b"))}
    config = {"lr": 0.5, "mode": "a"}
    mine, other = METHODS.get("mine"), METHODS.get("linear_probe")
    both = draw(lr | mode, mine, config, 8)
    alone = draw(lr, mine, config, 20)
    assert [v["lr"] for v in both] == [v["lr"] for v in alone[:8]]
    assert draw(lr, other, {"lr": 0.5}, 20) == alone  # methods share the draws


def test_what_is_fixed_is_not_tried(search: Tune) -> None:
    ended = search("mine", "mine.width=5")
    assert ended.recipe["protocol"] == "paper"
    assert ended.recipe["tuning"]["fixed"] == {"width": 5}
    assert set(ended.recipe["fields"]) == {"lr", "mode", "epochs"}
    records, _ = ended.store.all()
    assert {r.config["width"] for r in records} == {5}


def test_protocol_equal_fixes_the_budget(search: Tune) -> None:
    ended = search(protocol="equal")
    assert ended.recipe["protocol"] == "equal"
    assert set(ended.recipe["fields"]) == {"lr", "mode", "width"}
    assert {r.config["epochs"] for r in ended.store.all()[0]} == {5}


def test_some_fields_can_be_picked(search: Tune) -> None:
    assert set(search(fields=("mode",)).recipe["fields"]) == {"mode"}
    assert set(tuned_fields("mine", (), {"lr": "x"})) == {"width", "mode", "epochs"}


# ---- what is looked at ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["glyphs100_lt", "glyphscenes_lt"])
def test_nothing_of_the_test_split_can_be_reached(search: Tune, name: str) -> None:
    family, _ = resolve(name)
    inner = family(n_max=12, test_per_class=2) if name == "glyphs100_lt" else family(n_max=12)
    data = inner.load(Path(), 0)
    seen = OnValidation(inner).load(Path(), 0)
    assert holds_test(data, data)
    assert not holds_test(data, seen)
    assert data.validation is not None
    assert seen.test.ids == data.validation().ids
    assert seen.train.ids == data.train.ids
    assert seen.validation is None


def test_no_test_image_is_read(search: Tune, tmp_path: Path) -> None:
    ended = search(datasets="trap_lt")
    assert ended.status == 0
    assert "failed" not in ended.shown
    flags = ["--methods", "mine", "--datasets", "trap_lt", "--device", "cpu", "--out", "r"]
    assert run_benchmarks.main(flags) == 1  # where they are read, it shows


def test_data_without_validation_images_give_some_of_their_training_images(search: Tune) -> None:
    ended = search("mine", "plain_lt.largest=40", datasets="plain_lt")
    assert ended.status == 0
    for record in ended.store.all()[0]:
        assert record.groups is not None
        left = sorted(record.groups.train_counts)
        assert left == [4, 8, 17 - 2, 35 - 4]  # a tenth of those with 10
        arrays = ended.store.predictions(record.key)
        assert sorted(np.unique(arrays["labels"], return_counts=True)[1]) == [2, 4]
        assert all("/train/" in sid for sid in arrays["ids"])


@pytest.mark.parametrize("data", ["glyphs100_lt", "trap_lt"])
def test_a_score_is_the_balanced_accuracy_on_validation_images(search: Tune, data: str) -> None:
    ended = search(datasets=data)
    records, _ = ended.store.all()
    assert len(records) == 6
    by_lr = {t["lr"]: t["score"] for t in ended.trials}
    for record in records:
        arrays = ended.store.predictions(record.key)
        assert all("/validation/" in sid for sid in arrays["ids"])
        expected = 100 * balanced_accuracy_score(arrays["labels"], arrays["top5"][:, 0])
        assert by_lr[record.config["lr"]] == pytest.approx(expected, abs=1e-3)
        assert record.selection is not None
        assert record.selection.rule == "last"
        assert "validation images" in record.dataset


def test_a_score_is_the_map_of_multi_label_data(search: Tune) -> None:
    ended = search("mine", "glyphscenes_lt.n_max=12", datasets="glyphscenes_lt", trials=3)
    assert ended.recipe["tuning"]["objective"].startswith("mAP")
    for record in ended.store.all()[0]:
        arrays = ended.store.predictions(record.key)
        there = arrays["labels"].any(0)
        expected = 100 * average_precision_score(
            arrays["labels"][:, there], arrays["scores"][:, there], average="macro"
        )
        scores = [t["score"] for t in ended.trials if t["lr"] == record.config["lr"]]
        assert scores == [pytest.approx(expected, abs=1e-2)]


def test_seeds_are_averaged(search: Tune) -> None:
    ended = search("linear_probe", "linear_probe.epochs=1", seeds="0,1", trials=2)
    records, _ = ended.store.all()
    assert len(records) == 4
    for trial in ended.trials:
        values = [
            r.metrics.balanced
            for r in records
            if r.metrics is not None and r.config["lr"] == trial["lr"]
        ]
        assert trial["score"] == pytest.approx(np.mean(values), abs=1e-3)


# ---- what comes out ------------------------------------------------------------------------------


def test_the_best_trial_becomes_the_recipe(search: Tune) -> None:
    ended = search(trials=8)
    scores = {t["trial"]: t["score"] for t in ended.trials}
    best = ended.recipe["tuning"]["best"]
    assert scores[best] == max(scores.values())
    chosen = ended.trials[best]
    assert chosen["lr"] > 0.1  # the method is built that way
    assert ended.recipe["fields"] == {n: chosen[n] for n in ("lr", "width", "mode", "epochs")}
    name = "glyphs100_lt_ir8 (n_max=35, classes=4, test_per_class=4)"
    assert ended.recipe["dataset"] == name
    assert ended.recipe["origin"] == f"tuned-on-{name}, 8 trials"
    assert ended.recipe["trials"] == 8
    assert re.search(rf"(?m)^ *{best} .*{scores[best]:.2f} +best", ended.shown)
    (file,) = Path("configs/recipes").iterdir()
    assert re.fullmatch(r"mine__[\w.-]+__local-dir-small_clip-\w+\.yaml", file.name)
    assert read_recipe(file).fields == ended.recipe["fields"]


def test_of_equal_trials_the_first_is_taken(search: Tune) -> None:
    assert search("mine", "mine.lr=1", trials=5).recipe["tuning"]["best"] == 0


def test_the_recipe_goes_where_it_is_wanted(search: Tune) -> None:
    search(write=Path("there/x.yaml"), trials=2)
    assert read_recipe(Path("there/x.yaml")).method == "mine"
    assert not Path("configs").exists()


def test_a_trial_that_fails_is_told_and_not_taken(search: Tune) -> None:
    ended = search("mine", "mine.limit=0.05", trials=8)
    failed = {t["trial"] for t in ended.trials if "failed" in t}
    assert failed == {t["trial"] for t in ended.trials if t["lr"] > 0.05} != set()
    assert ended.recipe["tuning"]["best"] not in failed
    assert "diverged" in ended.shown
    assert ended.status == 0


def test_a_trial_counts_with_all_its_seeds_alone(search: Tune) -> None:
    ended = search("shaky", seeds="0,1", trials=8)
    assert {t["trial"] for t in ended.trials if "failed" in t} == {
        t["trial"] for t in ended.trials if t["lr"] > 0.1
    }
    assert ended.recipe["fields"]["lr"] < 0.1


def test_without_a_finished_trial_there_is_no_recipe(search: Tune) -> None:
    ended = search("mine", "mine.limit=0")
    assert ended.status == 1
    assert "no recipe: ValueError: diverged" in ended.shown
    assert not Path("configs").exists()


def test_an_interrupted_search_goes_on_to_the_same_recipe(search: Tune) -> None:
    whole = search("mine", "mine.interrupt=5", out="whole")
    expected = whole.recipe
    (file,) = Path("configs/recipes").iterdir()
    file.unlink()

    ended = search("mine", "mine.interrupt=0.05")
    assert ended.status == 130
    done = ended.store.all()[0]
    assert 0 < len(done) < 6
    assert f"{len(done)} of 6 runs are done" in ended.shown
    assert not list(Path("configs/recipes").iterdir())

    Path("go").touch()
    again = search("mine", "mine.interrupt=0.05")
    assert again.status == 0
    assert f"{len(done) + 1}/6" in again.shown
    assert f"{len(done)}/6" not in again.shown  # what was done is not done again
    expected["tuning"]["fixed"] = {"interrupt": 0.05}
    assert again.recipe == expected
    more = search("mine", "mine.interrupt=0.05", trials=7)
    assert "7/7" in more.shown
    assert "6/7" not in more.shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "Unknown method 'nothing'"),
        (["mine,lift"], "one method"),
        (["mine", "--datasets", ""], "no name given"),
        (["fixed"], "fixed declares no space"),
        (["mine", "--trials", "0"], "--trials: 0"),
        (["mine", "--trials", "few"], "--trials"),
        (["mine", "--fields", "rate"], "'rate'"),
        (["mine", "--fields", "lr", "--set", "mine.lr=1"], "lr is fixed by --set"),
        (["mine", "--fields", "epochs", "--protocol", "equal"], "epochs is fixed by protocol"),
        (["mine", "--set", "mine.lr=high"], "lr: 'high'"),
        (["mine", "--datasets", "plain_lt"], "plain_lt has no validation images"),
        (["mine", "--datasets", "trap_lt,plain_lt", "--write", "x.yaml"], "--write"),
        (["mine", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["mine", "--out", "file"], "Cannot write to file"),
        (
            ["fixed", "--datasets", "glyphscenes_lt"],
            "serves single-label data, glyphscenes_lt is multi-label data",
        ),
        (["mine", "--select", "val"], "--select"),
    ],
)
def test_what_cannot_be_tuned_is_said_in_a_line(
    search: Tune, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    small = [word for a in SMALL for word in ("--set", a)] if "--datasets" not in words else []
    data = ["--datasets", "glyphs100_lt"] if "--datasets" not in words else []
    assert run_benchmarks.main(["tune", *words, *data, *small, "--device", "cpu"]) == 2
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert not Path("configs").exists()


def test_a_search_may_go_on_and_no_other_file_is_lost(search: Tune) -> None:
    file, say = Path("there.yaml"), {"write": Path("there.yaml")}
    search("mine", "mine.width=5", trials=2, **say)
    search("mine", "mine.width=5", trials=3, **say)
    search("mine", "mine.width=5", trials=3, **say)
    before = file.read_bytes()
    assert read_recipe(file).trials == 3
    for words, options, says in (
        (("mine", "mine.width=5"), {"trials": 2}, "comes from 3 trials, more than the 2 asked for"),
        (("mine", "mine.width=4"), {}, "was tuned with width=5 fixed, not width=4"),
        (("mine",), {}, "was tuned with width=5 fixed, not nothing"),
        (("mine", "mine.width=5"), {"fields": ("lr",)}, "sets lr, mode, epochs, this .* tunes lr"),
        (("mine", "mine.width=5"), {"protocol": "equal"}, "under protocol paper, not for .* equal"),
        (("mine", "mine.width=5"), {"datasets": "trap_lt"}, "not for mine on trap_lt"),
        (("linear_probe",), {}, "is for mine on .*, not for linear_probe on"),
    ):
        with pytest.raises(UserError, match=rf"there.yaml .*{says}.*--write") as caught:
            search(*words, **({"trials": 4} | options), **say)
        assert "\n" not in str(caught.value)
        assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["notes", "methods: [lift]", "", "a: [", "by hand"])
def test_no_file_is_lost_that_no_search_wrote(search: Tune, text: str) -> None:
    file = Path("there.yaml")
    if text == "by hand":
        search(trials=2, write=file)
        text = file.read_text().replace("\ntrials: 2", "\ntrials: 0")
    file.write_text(text)
    with pytest.raises(UserError, match=r"there.yaml is .*no re.*--write"):
        search(trials=2, write=file, out="other")
    assert file.read_text() == text
    assert not Path("other").exists()  # it is said before anything runs


def test_one_trial_is_one_trial(search: Tune) -> None:
    ended = search(trials=1)
    assert "1 trial, measured" in ended.shown
    assert ended.recipe["origin"].endswith(", 1 trial")


def test_show_tells_the_space(search: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main(["show", "mine"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "tunable lr 0.0001 to 1 (log), width 1 to 9, mode a | b, epochs 7 | 8" in shown


def test_tune_wants_data_sets(search: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main(["tune", "mine"]) == 2
    assert "--datasets" in capsys.readouterr().err
