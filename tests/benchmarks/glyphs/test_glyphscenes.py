"""glyphscenes_lt: exact counts, non-empty groups, balanced test sets, disjoint draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.average_precision import average_precisions
from benchmarks.datasets import registry
from benchmarks.datasets.base import DataSet, Split
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.glyphscenes import GlyphScenes
from benchmarks.errors import UserError
from benchmarks.glyphs import draw, load_tokenizer, world
from benchmarks.glyphs.stream import key_of
from benchmarks.protocol import group_of
from benchmarks.tools import glyph_evaluation as evaluation

NOWHERE = Path("nowhere")


def load(split_seed: int = 0, **knobs: Any) -> DataSet:
    """Load a data set that is small by default."""
    return GlyphScenes(**({"n_max": 20, "test_per_class": 3} | knobs)).load(NOWHERE, split_seed)


def images(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images.array}


@pytest.fixture(scope="module")
def default() -> DataSet:
    return GlyphScenes().load(NOWHERE, 0)


def test_it_is_registered() -> None:
    assert registry.resolve("glyphscenes_lt") == (GlyphScenes, {})
    assert registry.resolve("glyphscenes_lt_ir50") == (GlyphScenes, {"imbalance": 50.0})
    assert GlyphScenes.task == "multi"
    assert GlyphScenes.default_backbone == "glyph"


def test_default_counts_are_exact_and_fill_every_group(default: DataSet) -> None:
    n = default.counts
    by_rank = n[np.argsort(default.facts["rank"])]
    assert by_rank.tolist() == [int(500 * 0.01 ** (i / 59)) for i in range(60)]
    assert np.unique(group_of(n, "lmpt"), return_counts=True)[1].tolist() == [18, 21, 21]
    train, test = GlyphScenes().sizes()
    assert 3000 < len(default.train) < 4000
    assert 1500 < len(default.test) < 2500
    assert len(default.train) == pytest.approx(train, rel=0.03)
    assert len(default.test) == pytest.approx(test, rel=0.03)


def test_every_class_is_in_equally_many_test_images(default: DataSet) -> None:
    assert default.test.labels.sum(0).tolist() == [60] * 60
    assert default.validation().labels.sum(0).tolist() == [20] * 60


def test_labels_captions_and_texts(default: DataSet) -> None:
    for split in (default.train, default.test):
        assert split.labels.shape == (len(split), 60)
        assert set(np.unique(split.labels)) == {0, 1}
        assert set(split.labels.sum(1)) == {1, 2, 3, 4}
        assert split.images.array.shape == (len(split), 32, 32, 3)
    assert default.test.captions is None
    assert default.validation().captions is None
    assert default.num_classes == 60 == len(set(default.texts.class_names))
    assert default.facts["covered"].mean() == pytest.approx(0.6)
    tokenizer = load_tokenizer()
    assert all(tokenizer.knows(text) for text in default.train.captions[::4])


def test_clean_captions_say_what_the_labels_say() -> None:
    data = load(caption_noise=0.0)
    numbers = {name: number for number, name in world.names().items()}
    for text, row in zip(data.train.captions, data.train.labels, strict=True):
        for name, there in zip(data.texts.class_names, row, strict=True):
            forms = [world.describe(numbers[name], form) for form in range(world.forms())]
            assert not there or name in text or any(form in text for form in forms)
            assert there or name not in text
    noisy = load(caption_noise=0.5)
    assert noisy.train.images.digest() == data.train.images.digest()
    assert noisy.train.captions != data.train.captions


def test_the_glyphs_of_an_image_match_its_labels() -> None:
    # Images with one glyph are redrawn from their labels alone, because its slot is known.
    data = load(style_shift=0.0)
    alone = np.flatnonzero(data.test.labels.sum(1) == 1)[:20]
    classes = data.test.labels[alone].argmax(1)
    numbers = {name: number for number, name in world.names().items()}
    glyphs = np.full((len(alone), 4), -1)
    glyphs[:, 0] = [numbers[data.texts.class_names[c]] for c in classes]
    again = draw.draw(
        draw.Scenes(
            keys=np.array([key_of("glyphscenes", data.test.ids[i]) for i in alone], dtype="u8"),
            glyphs=glyphs,
            style=np.zeros(len(alone)),
            difficulty=np.repeat(data.facts["difficulty"][classes][:, None], 4, axis=1),
        )
    )
    assert (again == data.test.images.array[alone]).all()


def test_draws_are_disjoint() -> None:
    one, two = load(0), load(1)
    parts = [one.train, two.train, one.test, one.validation()]
    sets = [images(part) for part in parts]
    assert [len(s) for s in sets] == [len(p) for p in parts]
    assert len(set().union(*sets)) == sum(map(len, sets))
    assert len({sid for part in parts for sid in part.ids}) == sum(map(len, parts))
    assert images(two.test) == sets[2] and images(two.validation()) == sets[3]
    single = Glyphs(n_max=20, test_per_class=3).load(NOWHERE, 0)
    singles = images(single.train) | images(single.test)
    assert not set().union(*sets) & singles


def test_images_depend_on_the_seed_and_the_world() -> None:
    one, same, other = load(), load(), load(world_seed=1)
    assert one.train.images.digest() == same.train.images.digest()
    assert one.train.captions == same.train.captions
    assert one.split_hash == same.split_hash != load(1).split_hash
    assert set(other.texts.class_names) != set(one.texts.class_names)
    assert not images(other.test) & images(one.test)


def test_fields_that_keep_the_counts_keep_labels_and_ids() -> None:
    plain, other = load(), load(style_shift=1.0, caption_noise=0.9, scores="softmax")
    assert plain.split_hash == other.split_hash
    assert not images(plain.test) & images(other.test)
    assert (plain.scores, other.scores) == ("logits", "softmax")


def test_only_training_scenes_have_habitual_companions() -> None:
    plain, habits = load(n_max=200), load(n_max=200, cooccurrence=1.0)
    assert images(plain.test) == images(habits.test)
    assert plain.counts.tolist() == habits.counts.tolist()
    rank = plain.facts["rank"]
    by_rank = np.argsort(rank)

    def with_partner(data: DataSet) -> float:
        """Share of the images of non-head classes that also show the partner."""
        labels = data.train.labels[:, by_rank]
        pairs = [(labels[:, r] * labels[:, r % 20]).sum() for r in range(20, 60)]
        return sum(pairs) / labels[:, 20:].sum()

    assert with_partner(habits) > 0.3 > 0.1 > with_partner(plain)


def test_ratio_one_and_a_fixed_total() -> None:
    assert set(load(imbalance=1.0).counts) == {20}
    assert load(imbalance=7.0, total="fixed").counts.sum() == load(total="fixed").counts.sum()


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"imbalance": 0.5}, "imbalance"),
        ({"cooccurrence": 1.1}, "cooccurrence"),
        ({"caption_noise": -0.1}, "caption_noise"),
        ({"scores": "sigmoid"}, "not one of logits, softmax"),
        ({"classes": 101}, "classes"),
    ],
)
def test_invalid_fields_are_reported_in_one_line(knobs: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=f"glyphscenes_lt.*{word}") as error:
        GlyphScenes(**knobs).resolve(NOWHERE)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=word):
        GlyphScenes(**knobs).load(NOWHERE, 0)


def test_the_card_matches_the_data(default: DataSet) -> None:
    card = GlyphScenes().card()
    assert "21 many" in card["groups"] and "18 few" in card["groups"]
    assert "3,400" in card["counts"] and len(default.train) == pytest.approx(3400, abs=60)
    assert "1,900" in card["counts"] and len(default.test) == pytest.approx(1900, abs=60)
    assert "no download" in GlyphScenes().download(NOWHERE)


def test_two_classes() -> None:
    data = load(classes=2)
    assert data.train.labels.shape[1] == 2
    assert set(data.train.labels.sum(1)) == {1, 2}


# ---- with the backbone ---------------------------------------------------------------------------


def test_groups_do_not_differ_at_ratio_one(default: DataSet) -> None:
    # Measured on test images; the order of ranks was chosen on validation images. The mean of a
    # group of about 20 classes with standard deviation 11 has a standard error of 2.4 points.
    model, tokenizer = evaluation.load_model(), load_tokenizer()
    texts = replace(default.texts, templates=default.texts.templates[:1])
    features = evaluation.image_features(model, default.test)
    groups = group_of(default.counts, "lmpt")
    for prompt in ("names", "descriptions"):
        weights = evaluation.class_features(model, tokenizer, texts, prompt)
        precision = 100 * average_precisions((features @ weights.T).numpy(), default.test.labels)
        means = [precision[groups == g].mean() for g in ("many", "medium", "few")]
        assert np.ptp(means) < 4
        assert 15 < precision.mean() < 60
