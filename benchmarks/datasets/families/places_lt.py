"""Places-LT: 365 scene categories with a long tail.

Data: Zhou et al. 2017, "Places: A 10 Million Image Database for Scene Recognition". Long tail: Liu
et al. 2019, "Large-Scale Long-Tailed Recognition in an Open World" (OLTR).
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.datasets.files.fetch import Source
from benchmarks.datasets.files.listed import Listed
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.registry import register

# facebookresearch/classifier-balancing is the code of Kang et al. 2020, which evaluates on these
# lists. The checksums were computed from copies with the same lengths and last lines.
_HOME = (
    "https://raw.githubusercontent.com/facebookresearch/classifier-balancing/"
    "22370c64141cc662f62ead89447c838c4a7977b5/data/Places_LT"
)


def _list(file: str, checksum: str) -> Source:
    return Source(file, f"{_HOME}/{file}", f"sha256:{checksum}")


@register("places_lt", task="single")
@dataclass(frozen=True)
class PlacesLT(Listed):
    """Places365 with a long tail: 365 classes of 5 to 4,980 images (Liu et al. 2019)."""

    release = Release(
        title="Places-LT",
        package="places",
        classes=365,
        recipe="liu2019",
        lists={
            "train": _list(
                "Places_LT_train.txt",
                "726c4871dcbf07ce2f857703bfe32e9a83ffbf52d704239f6d95c4f4f4c247f7",
            ),
            "validation": _list(
                "Places_LT_val.txt",
                "719e3cf3766c09134ea28f56f1036c78def511ac1ed2c2532a6beef78f2439ba",
            ),
            "test": _list(
                "Places_LT_test.txt",
                "44eee8441c8098c59195465abede425721bc35525d75209f9433b161a6eb37bc",
            ),
        },
        official={"train": 62_500, "validation": 7_300, "test": 36_500},
        folders=("places", "places365", "places365_standard", "places/places365_standard"),
        layout=(
            "DATA_ROOT/places/{train,val}/CLASS/*.jpg (or the same in places_lt/, places365/, "
            "places365_standard/ or DATA_ROOT itself), with the lists in DATA_ROOT/places_lt/"
        ),
        # File name and folders: public download scripts. No source says that the archives with
        # folders a/ to z/ number the images in the same way, so they are not accepted here.
        images_from=(
            "places365standard_easyformat.tar from http://places2.csail.mit.edu/download.html "
            "(size unverified; too large to download automatically)"
        ),
        source="Places365 (Zhou et al. 2017), http://places2.csail.mit.edu; long tail: Liu et "
        "al. 2019, https://github.com/zhmiao/OpenLongTailRecognition-OLTR",
        groups="many / medium / few 131 / 163 / 71 (rule lift), 132 / 156 / 77 (oltr), "
        "132 / 162 / 71 (lmpt)",
        validation="the official list: 20 training images of Places365 per class that are in "
        "neither train nor test",
        notes={
            "class names": "from the lists' folders; LIFT's code, which uses the line order of its "
            "classnames.txt, gives 5 of the 365 classes the name of another class"
        },
    )
