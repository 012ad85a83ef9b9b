"""ImageNet-LT: the 1,000 classes of ImageNet-1k with a long tail.

Data: Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge". Long tail: Liu
et al. 2019, "Large-Scale Long-Tailed Recognition in an Open World" (OLTR).
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.datasets.files.fetch import Source
from benchmarks.datasets.files.listed import Listed
from benchmarks.datasets.files.locate import as_listed
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.registry import register

_HOME = (
    "https://raw.githubusercontent.com/facebookresearch/classifier-balancing/"
    "22370c64141cc662f62ead89447c838c4a7977b5/data/ImageNet_LT"
)


def _flat_val(path: str) -> str:
    """Map `val/CLASS/FILE` to `val/FILE`, the layout of the publisher's validation archive."""
    folder, _, rest = path.partition("/")
    return f"{folder}/{rest.rpartition('/')[2]}" if folder == "val" else path


@register("imagenet_lt", task="single")
@dataclass(frozen=True)
class ImageNetLT(Listed):
    """ImageNet-1k with a long tail: 1,000 classes of 5 to 1,280 images (Liu et al. 2019)."""

    release = Release(
        title="ImageNet-LT",
        package="imagenet",
        classes=1000,
        recipe="liu2019",
        # Checksums: tensorflow/datasets (90b66237), datasets/imagenet_lt/checksums.tsv, which lists
        # none for the test list.
        lists={
            "train": Source(
                "ImageNet_LT_train.txt",
                f"{_HOME}/ImageNet_LT_train.txt",
                "sha256:efdbdad4f050237c310b2f354cf95a8b1d7c8d57a63c4ea4bb6bf2bcb012f37f",
            ),
            "validation": Source(
                "ImageNet_LT_val.txt",
                f"{_HOME}/ImageNet_LT_val.txt",
                "sha256:9af7ba688acf9532ff5845a8fb14a1e97fdc4c51ac48bc72c08ea9c3f7ff142e",
            ),
            "test": Source("ImageNet_LT_test.txt", f"{_HOME}/ImageNet_LT_test.txt"),
        },
        # Sizes: the page on imagenet_lt in the TensorFlow Datasets catalogue.
        official={"train": 115_846, "validation": 20_000, "test": 50_000},
        folders=(
            "imagenet",
            "ImageNet",
            "ILSVRC2012",
            "imagenet/ILSVRC/Data/CLS-LOC",
            "ILSVRC/Data/CLS-LOC",
        ),
        rewrites=(as_listed, _flat_val),
        layout=(
            "DATA_ROOT/imagenet/train/WNID/*.JPEG and DATA_ROOT/imagenet/val/WNID/*.JPEG or "
            "val/*.JPEG (or the same in imagenet_lt/, ImageNet/, ILSVRC2012/, "
            "[imagenet/]ILSVRC/Data/CLS-LOC/ or DATA_ROOT itself), with the lists in "
            "DATA_ROOT/imagenet_lt/"
        ),
        images_from=(
            "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from "
            "https://image-net.org/download.php (an account is needed; sizes unverified)"
        ),
        source="ImageNet-1k (Russakovsky et al. 2015), https://image-net.org; long tail: Liu et "
        "al. 2019, https://github.com/zhmiao/OpenLongTailRecognition-OLTR; test: the "
        "validation images of ImageNet-1k",
        licence="ImageNet's terms of access: non-commercial research and education only",
        validation="the official list: 20 training images of ImageNet-1k per class that are in "
        "neither train nor test",
    )
