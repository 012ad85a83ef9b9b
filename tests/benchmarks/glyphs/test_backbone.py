"""The embedded backbone: an ordinary open_clip model with the documented accuracy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.glyphs import ASSETS, PREPROCESS, load_tokenizer, world
from benchmarks.glyphs.tokenizer import GlyphTokenizer
from benchmarks.tools import glyph_evaluation as evaluation
from benchmarks.tools import pretrain_glyph


@pytest.fixture(scope="module")
def tokenizer() -> GlyphTokenizer:
    return load_tokenizer()


@pytest.fixture(scope="module")
def model() -> Any:
    return evaluation.load_model()


@pytest.fixture(scope="module")
def even() -> DataSet:
    """A world at ratio 1, in which only the rank defines many, medium and few; one template."""
    data = Glyphs(imbalance=1.0, n_max=20, test_per_class=10).load(Path(), 0)
    texts = replace(data.texts, templates=data.texts.templates[:1])
    return replace(data, texts=texts)


def zero_shot(
    model: Any, tokenizer: GlyphTokenizer, data: DataSet, features: Tensor
) -> dict[str, NDArray[np.float64]]:
    """Zero-shot accuracy of each class, by kind of prompt."""
    found = {}
    for prompt in evaluation.PROMPTS:
        texts = evaluation.class_features(model, tokenizer, data.texts, prompt)
        found[prompt] = evaluation.class_accuracy(features @ texts.T, data.test.labels)
    return found


@pytest.fixture(scope="module")
def accuracy(
    model: Any, tokenizer: GlyphTokenizer, even: DataSet
) -> dict[str, NDArray[np.float64]]:
    return zero_shot(model, tokenizer, even, evaluation.image_features(model, even.test))


def test_config_and_weights_fit_strictly(tokenizer: GlyphTokenizer) -> None:
    config = json.loads((ASSETS / "glyph.json").read_text())
    assert config["text_cfg"]["vocab_size"] == tokenizer.vocab_size
    assert config["text_cfg"]["context_length"] == tokenizer.context_length
    assert config["vision_cfg"]["image_size"] == PREPROCESS["size"]
    path = ASSETS / "glyph.safetensors"
    assert path.stat().st_size < 8_000_000
    weights = load_file(path)
    assert all(value.dtype == torch.float16 for value in weights.values())
    open_clip.add_model_config(ASSETS)
    open_clip.create_model("glyph").load_state_dict(weights, strict=True)


def test_omitting_the_padding_changes_nothing(model: Any, tokenizer: GlyphTokenizer) -> None:
    texts = ["a", "a photo of a red striped triangle.", "zzz " * 9, *world.names().values()]
    tokens = tokenizer(texts)
    with torch.no_grad():
        cut = pretrain_glyph.text_features(model, tokens)
        torch.testing.assert_close(cut, model.encode_text(tokens), atol=1e-4, rtol=1e-4)


def test_zero_shot_accuracy_and_the_gain_from_descriptions(
    even: DataSet, accuracy: dict[str, NDArray[np.float64]]
) -> None:
    covered = even.facts["covered"]
    assert 35 < accuracy["both"].mean() < 75
    gain = accuracy["descriptions"] - accuracy["names"]
    assert gain[~covered].mean() > 10
    assert accuracy["names"][covered].mean() > 10 * 100 / 100
    assert accuracy["names"][covered].mean() > accuracy["names"][~covered].mean() + 10


def test_difficulty_is_visible(even: DataSet, accuracy: dict[str, NDArray[np.float64]]) -> None:
    hard, found = even.facts["difficulty"] > 0.5, accuracy["descriptions"]
    assert found[~hard].mean() > found[hard].mean() + 3


def by_group(found: NDArray[np.float64], even: DataSet) -> list[float]:
    """The mean over the classes that would be many, medium and few."""
    rank = even.facts["rank"]
    groups = [rank < 35, (rank >= 35) & (rank < 70), rank >= 70]
    return [float(found[group].mean()) for group in groups]


def test_groups_hardly_differ_at_ratio_one(
    even: DataSet, accuracy: dict[str, NDArray[np.float64]]
) -> None:
    """Ranks that follow the difficulty of the classes are 20 points apart.

    The mean of a third of the classes, of standard deviation 25, has a standard error of 4 points.
    """
    for prompt in ("both", "descriptions"):
        means = by_group(accuracy[prompt], even)
        assert np.ptp(means) < 8, (prompt, means)


@pytest.mark.slow
def test_groups_do_not_differ_at_ratio_one(model: Any, tokenizer: GlyphTokenizer) -> None:
    """Many, medium and few must differ only in their counts."""
    even = Glyphs(imbalance=1.0, n_max=20, test_per_class=30).load(Path(), 0)
    test_features = evaluation.image_features(model, even.test)
    accuracy = zero_shot(model, tokenizer, even, test_features)
    weights = evaluation.linear_probe(
        evaluation.image_features(model, even.train), even.train.labels, even.num_classes
    )
    logits = evaluation.probe_logits(test_features, weights)
    for name, found in {
        "linear probe": evaluation.class_accuracy(logits, even.test.labels),
        "both": accuracy["both"],
        "descriptions": accuracy["descriptions"],
    }.items():
        means = by_group(found, even)
        assert np.ptp(means) < 3, (name, means)


def test_the_linear_probe_learns_a_toy_problem() -> None:
    features = torch.nn.functional.normalize(torch.randn(60, 8, generator=torch.manual_seed(0)))
    labels = (features[:, 0] > 0).long().numpy() + 2 * (features[:, 1] > 0).long().numpy()
    weights = evaluation.linear_probe(features, labels, 4)
    assert weights.shape == (9, 4)
    accuracy = evaluation.class_accuracy(evaluation.probe_logits(features, weights), labels)
    assert accuracy.mean() > 90


def test_class_accuracy_by_hand() -> None:
    logits = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert evaluation.class_accuracy(logits, np.array([0, 0, 1, 1])).tolist() == [50, 100]


# ---- pre-training --------------------------------------------------------------------------------


def test_batches_depend_on_seed_and_step_only() -> None:
    one, again = (pretrain_glyph.make_batch(0, 5, 32) for _ in range(2))
    assert (one.images == again.images).all() and one.captions == again.captions
    other = pretrain_glyph.make_batch(0, 6, 32)
    assert not (one.images == other.images).all() and one.captions != other.captions


def test_names_follow_the_zipf_law_and_hardly_trained_ones_are_rare() -> None:
    batches = [pretrain_glyph.make_batch(1, step, 500) for step in range(6)]
    named = [number for batch in batches for number in batch.named]
    pools = {int(n): i for i, n in enumerate(world.covered())}
    ranks = [pools[n] for n in named if n in pools]
    assert len(named) - len(ranks) < 0.01 * len(named)
    head, tail = sum(r < 15 for r in ranks), sum(r >= 135 for r in ranks)
    # Proportional to 1 / (k + 6): the first 15 get 1.32 shares, the last 15 only 0.10.
    assert 7 < head / tail < 26


def test_a_few_steps_lower_the_loss_and_write_the_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["pretrain_glyph", "--steps", "6", "--batch", "16", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setattr(pretrain_glyph, "evaluate", lambda model: {"stub": {"all": 1.0}})
    pretrain_glyph.main()
    log = json.loads((tmp_path / "glyph_training.json").read_text())
    assert log["steps"] == 6 and log["seed"] == 0 and log["test figures"]["stub"]["all"] == 1.0
    assert log["losses"][-1][1] < log["losses"][0][1]
    assert set(load_file(tmp_path / "glyph.safetensors")) == set(
        load_file(ASSETS / "glyph.safetensors")
    )
    assert "loss" in capsys.readouterr().out


def test_the_shipped_log_documents_the_training() -> None:
    log = json.loads((ASSETS / "glyph_training.json").read_text())
    assert {"seed", "steps", "batch", "seconds", "processor", "torch"} <= set(log)
    assert log["mentions of a hardly trained name"]["most"] < 25
    assert log["mentions of a covered name"]["least"] > 100
    assert log["test figures"]["zero-shot, both"]["all"] > 35
