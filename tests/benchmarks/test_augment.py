from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import randomness
from benchmarks.augment import KINDS, augmented, random_crop
from benchmarks.errors import UserError

SIZE = 32


@pytest.fixture(scope="module")
def keys() -> randomness.UInt64:
    return randomness.sample_keys(tuple(f"i{n}" for n in range(2000)))


@pytest.fixture(scope="module")
def ramps(keys: randomness.UInt64) -> torch.Tensor:
    """(N, 3, S, S): channel 0 is the x coordinate of a pixel's centre in [0, 1], 1 the y."""
    centres = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)]).expand(len(keys), 3, SIZE, SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_augmented_alike_in_any_batch(kind: str, keys: randomness.UInt64) -> None:
    pixels = torch.rand(8, 3, SIZE, SIZE)
    whole = augmented(pixels, kind, keys[:8], (0, 1))
    assert whole.shape == pixels.shape
    some = [6, 1, 3]
    assert torch.equal(augmented(pixels[some], kind, keys[:8][some], (0, 1)), whole[some])


@pytest.mark.parametrize("kind", ["flip", "crop_flip"])
def test_every_stream_is_another_draw(kind: str, keys: randomness.UInt64) -> None:
    pixels = torch.rand(64, 3, SIZE, SIZE)
    draws = [augmented(pixels, kind, keys[:64], s) for s in ((0, 0), (0, 1), (1, 0))]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], augmented(pixels, kind, keys[:64], (0, 0)))


def test_none_changes_nothing(keys: randomness.UInt64) -> None:
    pixels = torch.rand(4, 3, SIZE, SIZE)
    assert torch.equal(augmented(pixels, "none", keys[:4], ()), pixels)


def test_half_of_the_images_are_mirrored(ramps: torch.Tensor, keys: randomness.UInt64) -> None:
    out = augmented(ramps, "flip", keys, (0, 0))
    mirrored = (out == ramps.flip(-1)).flatten(1).all(1)
    kept = (out == ramps).flatten(1).all(1)
    assert torch.equal(mirrored, ~kept)
    assert stats.binomtest(int(mirrored.sum()), len(keys), 0.5).pvalue > 1e-4


def _crops(ramps: torch.Tensor, keys: randomness.UInt64) -> dict[str, np.ndarray]:
    """The crop of each image, read off what became of the coordinates."""
    out = augmented(ramps, "crop_flip", keys, (0, 0))
    found = {}
    for name, line in (("x", out[:, 0, SIZE // 2]), ("y", out[:, 1, :, SIZE // 2])):
        middle = line[:, 8:24]  # away from the border, where half a pixel is clamped
        step = (middle[:, -1] - middle[:, 0]) / 15
        found[name + " side"] = (step * SIZE).numpy()
        found[name + " centre"] = (middle.mean(1)).numpy()
    return found


def test_crops_are_those_of_the_published_augmentation(
    ramps: torch.Tensor, keys: randomness.UInt64
) -> None:
    crop = _crops(ramps, keys)
    width, height = np.abs(crop["x side"]), crop["y side"]
    assert height.min() > 0  # never upside down
    area = width * height
    assert area.min() > 0.08 - 1e-9
    assert area.max() < 1 + 1e-9
    whole = (width < 1 - 1e-6) & (height < 1 - 1e-6)  # a side that would be longer is cut to 1
    aspect = (width / height)[whole]
    assert aspect.min() > 3 / 4 - 1e-6
    assert aspect.max() < 4 / 3 + 1e-6
    # The area is uniform where no side was cut, which below 3/4 never happens.
    low = area[area < 0.7]
    assert stats.kstest((low - 0.08) / 0.62, "uniform").pvalue > 1e-4
    assert stats.binomtest(int((crop["x side"] < 0).sum()), len(keys), 0.5).pvalue > 1e-4


def test_crops_lie_inside_the_image(ramps: torch.Tensor, keys: randomness.UInt64) -> None:
    crop = _crops(ramps, keys)
    for name in ("x", "y"):
        half = np.abs(crop[name + " side"]) / 2
        assert (crop[name + " centre"] - half).min() > -1e-9
        assert (crop[name + " centre"] + half).max() < 1 + 1e-9
        free = half < 0.4  # where there is room to move, every place is as likely
        place = (crop[name + " centre"] - half)[free] / (1 - 2 * half[free])
        assert stats.kstest(place, "uniform").pvalue > 1e-4


def test_the_draws_of_an_image_are_independent(
    ramps: torch.Tensor, keys: randomness.UInt64
) -> None:
    crop = _crops(ramps, keys)
    half = {name: np.abs(crop[name + " side"]) / 2 for name in ("x", "y")}
    room = (half["x"] < 0.45) & (half["y"] < 0.45)
    places = [
        (crop[n + " centre"][room] - half[n][room]) / (1 - 2 * half[n][room]) for n in ("x", "y")
    ]
    mirrored = (crop["x side"] < 0)[room]
    area = (half["x"] * half["y"])[room]
    pairs = [(*places,), (places[0], mirrored), (places[1], area), (area, mirrored)]
    for a, b in pairs:
        assert stats.spearmanr(a, b).pvalue > 1e-4


def test_an_unknown_kind_names_the_known_ones(keys: randomness.UInt64) -> None:
    with pytest.raises(UserError, match=r"'mixup'.*none, flip, crop_flip"):
        augmented(torch.zeros(1, 3, 4, 4), "mixup", keys[:1], ())


# ---- whole images --------------------------------------------------------------------------------

CROP = 32


def _boxes(keys: randomness.UInt64, shape: tuple[int, int]) -> np.ndarray:
    """(N, 5) top, left, height, width and mirrored, read off the crops of coordinate images."""
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    image = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    inner = np.arange(4, CROP - 4)  # away from the border, where the filter is cut off
    found = []
    for key in keys:
        crop = random_crop(image, CROP, key, (0, 0)).astype(float)
        across, down = (
            np.polyfit(inner + 0.5, crop[..., c].mean(c)[inner] + 0.5, 1) for c in (0, 1)
        )
        height, width = down[0] * CROP, abs(across[0]) * CROP
        left = across[1] if across[0] > 0 else across[1] - width
        found.append((down[1], left, height, width, across[0] < 0))
    return np.array(found)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (100, 100)])
def test_crops_of_files_are_distributed_as_torchvisions(shape: tuple[int, int]) -> None:
    from torchvision.transforms import RandomResizedCrop

    keys = randomness.sample_keys(tuple(f"i{n}" for n in range(1500)))
    ours = _boxes(keys, shape)
    blank = torch.zeros(3, *shape)
    torch.manual_seed(0)
    theirs = np.array(
        [RandomResizedCrop.get_params(blank, (0.08, 1), (3 / 4, 4 / 3)) for _ in range(6000)]
    )
    for column in range(4):
        assert stats.ks_2samp(ours[:, column].round(), theirs[:, column]).pvalue > 1e-3
    area, expected = (b[:, 2].round() * b[:, 3].round() for b in (ours, theirs))
    assert stats.ks_2samp(area, expected).pvalue > 1e-3
    assert stats.binomtest(int(ours[:, 4].sum()), len(keys), 0.5).pvalue > 1e-4


def test_a_crop_that_cannot_fit_is_the_middle() -> None:
    strip = np.zeros((2, 250, 3), dtype=np.uint8)  # every try is higher than this
    strip[..., 0] = np.arange(250)
    crop = random_crop(strip, 4, np.uint64(1), (0, 0))
    assert abs(crop[..., 0].mean() - 124.5) < 2


def test_a_crop_belongs_to_its_sample_and_epoch(keys: randomness.UInt64) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = random_crop(image, 16, keys[0], (0, 1))
    np.testing.assert_array_equal(crop, random_crop(image, 16, keys[0], (0, 1)))
    for other in (random_crop(image, 16, keys[1], (0, 1)), random_crop(image, 16, keys[0], (0, 2))):
        assert (other != crop).any()


def test_one_pixel_can_be_cropped() -> None:
    pixel = np.full((1, 1, 3), 7, dtype=np.uint8)
    assert (random_crop(pixel, 4, np.uint64(3), (0, 0)) == 7).all()
