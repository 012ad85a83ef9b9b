from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from benchmarks import randomness
from benchmarks.augment import KINDS, Crops, check, flipped, mirrored, resized_crops
from benchmarks.errors import UserError

SHAPES = [(60, 200), (200, 60), (100, 100), (32, 32)]


@pytest.fixture(scope="module")
def keys() -> randomness.UInt64:
    return randomness.sample_keys(tuple(f"i{n}" for n in range(4000)))


def test_an_unknown_kind_names_the_known_ones() -> None:
    for kind in KINDS:
        check(kind)
    with pytest.raises(UserError, match=r"'mixup'.*none, flip, crop_flip"):
        check("mixup")


# ---- random draws --------------------------------------------------------------------------------


def test_half_of_the_images_are_mirrored(keys: randomness.UInt64) -> None:
    which = mirrored(keys, (0, 0))
    assert stats.binomtest(int(which.sum()), len(keys), 0.5).pvalue > 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_crops_are_distributed_as_torchvisions(
    shape: tuple[int, int], keys: randomness.UInt64
) -> None:
    ours = Crops.drawn(keys, (0, 0)).boxes(*shape)
    top, left, height, width = ours.T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]
    blank = torch.zeros(3, *shape)
    torch.manual_seed(0)
    draws = (RandomResizedCrop.get_params(blank, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(6000))
    theirs = np.array(list(draws))
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    assert stats.ks_2samp(height * width, theirs[:, 2] * theirs[:, 3]).pvalue > 1e-3
    assert stats.ks_2samp(height / width, theirs[:, 2] / theirs[:, 3]).pvalue > 1e-3


def test_the_draws_of_an_image_are_independent(keys: randomness.UInt64) -> None:
    crops, mirror = Crops.drawn(keys, (0, 0)), mirrored(keys, (0, 0))
    first = [crops.area[0], crops.aspect[0], crops.x[0], crops.y[0], mirror]
    again = [crops.area[1], crops.aspect[1], crops.x[1], crops.y[1]]
    for i, a in enumerate(first):
        for b in [*first[i + 1 :], *again]:
            assert stats.spearmanr(a, b).pvalue > 1e-4


def test_different_streams_give_different_draws(keys: randomness.UInt64) -> None:
    boxes, mirrors = (
        [draw(keys[:64], s).tolist() for s in ((0, 0), (0, 1), (1, 0), (0, 0))]
        for draw in (lambda k, s: Crops.drawn(k, s).boxes(90, 70), mirrored)
    )
    for first, second, third, again in (boxes, mirrors):
        assert first not in (second, third)
        assert first == again


def test_a_draw_depends_on_its_sample_alone(keys: randomness.UInt64) -> None:
    some = [6, 1, 3]
    whole = Crops.drawn(keys, (0, 1))
    assert (Crops.drawn(keys[some], (0, 1)).boxes(50, 80) == whole.boxes(50, 80)[some]).all()
    assert whole.box(3, 50, 80) == tuple(whole.boxes(50, 80)[3])
    assert (mirrored(keys[some], (0, 1)) == mirrored(keys, (0, 1))[some]).all()


def test_a_crop_that_cannot_fit_is_centred(keys: randomness.UInt64) -> None:
    # Every try is taller than this strip: torchvision then takes all rows and 4/3 as many columns.
    assert Crops.drawn(keys[:1], ()).box(0, 2, 250) == (0, 123, 2, 3)
    assert Crops.drawn(keys[:1], ()).box(0, 250, 3) == (123, 0, 4, 3)
    assert Crops.drawn(keys[:1], ()).box(0, 1, 1) == (0, 0, 1, 1)


# ---- batches of small images ---------------------------------------------------------------------


def _by_pil(image: np.ndarray, box: np.ndarray, mirror: bool, side: int) -> np.ndarray:
    top, left, height, width = box.tolist()
    crop = Image.fromarray(image).crop((left, top, left + width, top + height))
    found = np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR))
    return found[:, ::-1] if mirror else found


@pytest.mark.parametrize("side", [16, 32, 50, 224])
@pytest.mark.parametrize("shape", [(32, 32), (40, 29)])
def test_crops_of_a_batch_equal_pils_up_to_its_rounding(
    shape: tuple[int, int], side: int, keys: randomness.UInt64
) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (24, *shape, 3), dtype=np.uint8)
    boxes, mirror = Crops.drawn(keys[:24], (0, 2)).boxes(*shape), mirrored(keys[:24], (0, 2))
    boxes[0], boxes[1] = (0, 0, *shape), (3, 4, 1, 1)
    assert 0 < mirror.sum() < 24
    pixels = torch.from_numpy(raw).permute(0, 3, 1, 2).double()
    found = resized_crops(pixels, torch.from_numpy(boxes), torch.from_numpy(mirror), side)
    assert found.shape == (24, 3, side, side)
    expected = np.stack([_by_pil(*of, side) for of in zip(raw, boxes, mirror, strict=True)])
    gap = found.permute(0, 2, 3, 1).numpy() - expected
    assert np.abs(gap).max() < 1.02  # PIL rounds twice, after the columns and after the rows
    assert abs(gap.mean()) < 0.1


def test_the_crop_of_an_image_does_not_depend_on_its_batch(keys: randomness.UInt64) -> None:
    pixels = torch.rand(8, 3, 32, 32)
    boxes = torch.from_numpy(Crops.drawn(keys[:8], (0, 1)).boxes(32, 32))
    mirror = torch.from_numpy(mirrored(keys[:8], (0, 1)))
    whole = resized_crops(pixels, boxes, mirror, 48)
    some = [6, 1, 3]
    torch.testing.assert_close(
        resized_crops(pixels[some], boxes[some], mirror[some], 48), whole[some]
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resized_crops(pixels, boxes, mirror, 48), whole)


def test_mirrored_images(keys: randomness.UInt64) -> None:
    pixels = torch.rand(4, 3, 5, 6)
    found = flipped(pixels, torch.tensor([True, False, False, True]))
    assert torch.equal(found[1:3], pixels[1:3])
    assert torch.equal(found[[0, 3]], torch.from_numpy(pixels[[0, 3]].numpy()[..., ::-1].copy()))
