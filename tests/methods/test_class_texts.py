"""Pieces of text: their extraction, the filter, and the weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from scipy.special import softmax
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_data, tiny_task
from methods.parts.text import class_texts
from methods.parts.text.class_texts import Pieces, distinctive, fused, pieces, relevant, sentences


def task_with(descriptions: tuple[str, ...] | None):
    data = tiny_data()
    texts = dataclasses.replace(data.texts, descriptions=descriptions)
    return tiny_task(data=dataclasses.replace(data, texts=texts))[0]


def some(owner: list[int], dim: int = 6) -> Pieces:
    features = F.normalize(torch.randn(len(owner), dim), dim=-1)
    return Pieces(features, torch.tensor(owner), torch.zeros(len(owner), dtype=torch.long))


# ---- extraction ---------------------------------------------------------------------------------


def test_sentences_and_clauses():
    assert sentences("A red bird.") == ["A red bird"]
    assert sentences("A bird; it is red. Sings! In 2.5 keys?") == [
        "A bird",
        "it is red",
        "Sings",
        "In 2.5 keys",
    ]
    assert sentences(" ") == []


def test_one_piece_per_kind_and_class():
    task, _ = tiny_task()
    for source, kinds in (("names", 1), ("descriptions", 1), ("both", 3)):
        found = pieces(task, source)
        assert found.owner.tolist() == [0, 1, 2, 3] * kinds
        assert found.kind.tolist() == [k for k in range(kinds) for _ in range(4)]
    for k, source in enumerate(("names", "descriptions", "both")):
        assert torch.equal(found.features[4 * k : 4 * k + 4], task.text_features(source))


def test_sentences_of_longer_descriptions_are_separate_pieces():
    task = task_with(("a red star. found in a box.", "a star", "a heart", "a bolt; blue; plain"))
    found = pieces(task, "both")
    assert found.owner.tolist() == [0, 1, 2, 3] * 3 + [0, 0, 3, 3, 3]
    assert found.kind.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 5
    prompts = [template.format("found in a box") for template in task.texts.templates]
    mean = F.normalize(task.backbone.encode_text(prompts).mean(0), dim=-1)
    torch.testing.assert_close(found.features[13], mean, atol=1e-5, rtol=0)
    assert len(pieces(task, "descriptions").owner) == 9
    assert len(pieces(task, "names").owner) == 4


def test_without_descriptions_the_names_are_used_without_a_note():
    task = task_with(None)
    for source in ("names", "descriptions", "both"):
        assert torch.equal(pieces(task, source).features, task.text_features("names"))
    assert task.notes == []


def test_each_kind_loses_its_own_mean():
    found = some([0, 1, 2, 0, 1, 2])
    found = dataclasses.replace(found, kind=torch.tensor([0, 0, 0, 1, 1, 1]))
    x = found.features.double().numpy()
    expected = np.concatenate([x[:3] - x[:3].mean(0), x[3:] - x[3:].mean(0)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.centred().features.numpy(), expected, atol=1e-6)


# ---- filter -------------------------------------------------------------------------------------


def test_a_piece_about_something_else_is_dropped():
    reference = torch.eye(3, 6)
    found = some([0, 0, 0, 1, 2, 2])
    found.features[:] = F.normalize(reference[found.owner] + 0.1 * found.features, dim=-1)
    found.features[1] = torch.eye(6)[5]  # unrelated to class 0
    kept = relevant(found, reference)
    cosine = (found.features * reference[found.owner]).sum(-1)
    assert not kept[1] and kept[0] and kept[2]
    assert kept[3]  # the only one of its class
    assert kept[4] == (cosine[4] >= cosine[5]) and kept[5] == (cosine[5] >= cosine[4])


def test_equal_pieces_and_pieces_without_a_reference_are_kept():
    found = some([0, 0, 1, 1])
    found.features[1] = found.features[0]
    reference = torch.randn(2, 6)
    reference[1] = 0
    assert relevant(found, reference).tolist() == [True] * 4


# ---- weights ------------------------------------------------------------------------------------


def test_distinctive_is_the_softmax_of_nearest_class_means(monkeypatch, double):
    found, means = some([0, 0, 1, 2, 2]), torch.randn(3, 6)
    unit = means.numpy() / np.linalg.norm(means.numpy(), axis=1, keepdims=True)
    chances = softmax(7 * found.features.numpy() @ unit.T, axis=1)
    expected = chances[np.arange(5), found.owner.numpy()]
    for chunk in (2, 100):
        monkeypatch.setattr(class_texts, "CHUNK", chunk)
        np.testing.assert_allclose(distinctive(found, means, 7.0).numpy(), expected, atol=1e-12)


def test_fused_by_hand():
    found = some([0, 0, 1, 0, 1])
    weights = torch.tensor([0.0, 2.0, 1.0, 1.0, 0.0])
    first = 2 * found.features[1] + found.features[3]
    expected = torch.stack([first / first.norm(), found.features[2]])
    torch.testing.assert_close(fused(found, weights, 2), expected, atol=1e-6, rtol=0)
    # Only proportions within a class matter, even if all of its weights are tiny.
    torch.testing.assert_close(fused(found, 1e-25 * weights, 2), expected, atol=1e-6, rtol=0)
