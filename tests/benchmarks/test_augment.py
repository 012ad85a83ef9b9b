from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from benchmarks import randomness
from benchmarks.augment import (
    KINDS,
    Crops,
    SquareCrops,
    Squares,
    check,
    crops,
    flipped,
    in_epoch,
    mirrored,
    mirrors,
    resized_crops,
)
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


# ---- squares -------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [2, 5, 15])
def test_the_smallest_square_grows_along_quarters_of_a_circle(epochs: int) -> None:
    """Points (t, s) of the curves, by the angle at the centre of their circle or the diagonal."""
    for epoch in range(epochs):
        t = np.linspace(0, 1, epochs)[epoch]
        share = {
            "square_crop": 0.0,
            "square_crop_linear": t,
            "square_crop_convex": 1 - np.cos(np.arcsin(t)),  # the circle around (0, 1)
            "square_crop_concave": np.sin(np.arccos(1 - t)),  # the circle around (1, 0)
        }
        for kind, s in share.items():
            found = in_epoch(kind, epoch, epochs)
            assert isinstance(found, Squares)
            assert found.least == pytest.approx(0.08 * (1 - s) + s, abs=1e-12), kind
    assert in_epoch("square_crop_convex", 0, 1) == Squares(0.08)


def test_what_does_not_change_over_the_epochs() -> None:
    for kind in ("none", "flip", "crop_flip"):
        assert in_epoch(kind, 3, 5) == kind
    assert [kind for kind in KINDS if mirrors(in_epoch(kind, 0, 5))] == ["flip", "crop_flip"]
    with pytest.raises(UserError, match=r"'square_crop_wavy'.*square_crop_convex"):
        in_epoch("square_crop_wavy", 0, 5)


def _squares(height: int, width: int, least: float, count: int) -> np.ndarray:
    """Squares by LIFT+'s law, drawn one by one with another generator."""
    draw, found = np.random.default_rng(1), []
    most = min(height, width) / max(height, width)  # of the area, without distortion
    for _ in range(count):
        share = draw.uniform(min(least, most), most)
        side = int(np.rint(np.sqrt(share * height * width)))
        found.append((draw.integers(height - side + 1), draw.integers(width - side + 1), side))
    return np.array(found)


@pytest.mark.parametrize("least", [0.08, 0.4, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_squares_have_the_law_of_lift_plus(
    shape: tuple[int, int], least: float, keys: randomness.UInt64
) -> None:
    top, left, height, width = SquareCrops.drawn(keys, (0, 0), least).boxes(*shape).T
    assert (height == width).all()
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]
    expected = _squares(*shape, least, 6000)
    for ours, theirs in zip((top, left, height), expected.T, strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


def test_squares_are_drawn_by_sample_and_stream_alone(keys: randomness.UInt64) -> None:
    whole, some = SquareCrops.drawn(keys, (0, 1), 0.08), [6, 1, 3]
    for first, second in ((whole.area, whole.x), (whole.area, whole.y), (whole.x, whole.y)):
        assert stats.spearmanr(first, second).pvalue > 1e-4
    part = SquareCrops.drawn(keys[some], (0, 1), 0.08).boxes(50, 80)
    assert (part == whole.boxes(50, 80)[some]).all()
    assert whole.box(3, 50, 80) == tuple(whole.boxes(50, 80)[3])
    assert (SquareCrops.drawn(keys, (0, 2), 0.08).boxes(50, 80) != whole.boxes(50, 80)).any()
    assert SquareCrops.drawn(keys[:1], (), 0.08).box(0, 1, 1) == (0, 0, 1, 1)


def test_the_crops_of_each_augmentation(keys: randomness.UInt64) -> None:
    assert crops("none", keys, ()) is None
    assert crops("flip", keys, ()) is None
    assert isinstance(crops("crop_flip", keys, ()), Crops)
    found = crops(Squares(0.3), keys, ())
    assert isinstance(found, SquareCrops) and found.least == 0.3


# ---- batches of small images ---------------------------------------------------------------------


def _by_pil(
    image: np.ndarray, box: np.ndarray, mirror: bool, side: int, *, bicubic: bool
) -> np.ndarray:
    top, left, height, width = box.tolist()
    crop = Image.fromarray(image).crop((left, top, left + width, top + height))
    kind = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    found = np.asarray(crop.resize((side, side), kind))
    return found[:, ::-1] if mirror else found


@pytest.mark.parametrize("bicubic", [False, True])
@pytest.mark.parametrize("side", [16, 32, 50, 224])
@pytest.mark.parametrize("shape", [(32, 32), (40, 29)])
def test_crops_of_a_batch_equal_pils_up_to_its_rounding(
    shape: tuple[int, int], side: int, bicubic: bool, keys: randomness.UInt64
) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (24, *shape, 3), dtype=np.uint8)
    drawn = (
        SquareCrops.drawn(keys[:24], (0, 2), 0.08) if bicubic else Crops.drawn(keys[:24], (0, 2))
    )
    boxes, mirror = drawn.boxes(*shape), mirrored(keys[:24], (0, 2))
    boxes[0] = (0, 0, 29, 29) if bicubic else (0, 0, *shape)
    boxes[1] = (3, 4, 1, 1)
    assert 0 < mirror.sum() < 24
    pixels = torch.from_numpy(raw).permute(0, 3, 1, 2).double()
    limits = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1) if bicubic else None
    found = resized_crops(
        pixels, torch.from_numpy(boxes), torch.from_numpy(mirror), side, limits=limits
    )
    assert found.shape == (24, 3, side, side)
    expected = np.stack(
        [_by_pil(*of, side, bicubic=bicubic) for of in zip(raw, boxes, mirror, strict=True)]
    )
    gap = found.permute(0, 2, 3, 1).numpy() - expected
    # PIL rounds twice, after the columns and after the rows, whose bicubic weights sum to 1.25 in
    # absolute value.
    assert np.abs(gap).max() < (1.15 if bicubic else 1.02)
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
