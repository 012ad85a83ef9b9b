"""Real CIFAR-100 images from end to end, at three ratios, with the architecture that papers use."""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import run_benchmarks

TRAIN, TEST = 4, 1
"""Images a class that are kept: a ViT-B/16 takes a good part of a second for each."""


@pytest.fixture(scope="module")
def root(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the first images of each of the 100 classes."""
    folder = tmp_path_factory.mktemp("data") / "cifar100"
    kept: dict[tuple[str, str], int] = defaultdict(int)
    with tarfile.open(shared / "data" / "cifar100_folders.tar.gz", "r|gz") as tar:
        for member in tar:
            parts = Path(member.name).parts
            if not member.isfile() or member.name.startswith("."):
                continue
            split, label, file = parts[-3:]
            if kept[split, label] < (TRAIN if split == "train" else TEST):
                kept[split, label] += 1
                source = tar.extractfile(member)
                assert source is not None
                target = folder / split / label / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
    assert len(kept) == 200
    return folder.parent


def _records(out: Path) -> dict[tuple[str, str], dict]:  # type: ignore[type-arg]
    read = [json.loads(file.read_text("utf-8")) for file in (out / "records").glob("*.json")]
    return {(record["method"], record["dataset"].partition(" (")[0]): record for record in read}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_ratios_with_vit_b_16(root: Path, tmp_path: Path) -> None:
    flags = ["--backbone", "ViT-B-16/random", "--data-root", str(root), "--seeds", "0"]
    flags += ["--protocol", "equal", "--device", "cpu", "--offline", "--out", str(tmp_path)]
    flags += ["--set", "cifar100_lt.texts=own"]  # few templates
    sets = {"cifar100_lt": 100, "cifar100_lt_ir50": 50, "cifar100_lt_ir10": 10}
    features = ["--methods", "zero_shot,ncm,linear_probe", "--datasets", ",".join(sets)]
    assert run_benchmarks.main([*features, *flags]) == 0
    tuned = ["--methods", "lift,sage", "--datasets", "cifar100_lt"]
    one_epoch = ["--set", "lift.epochs=1", "--set", "sage.epochs=1"]
    assert run_benchmarks.main([*tuned, *one_epoch, *flags]) == 0
    records = _records(tmp_path)
    assert len(records) == 3 * 3 + 2
    for (method, dataset), record in records.items():
        assert record["status"] == "done", record["error"]
        ratio = sets[dataset]
        expected = [int(TRAIN * (1 / ratio) ** (i / 99)) for i in range(100)]
        assert record["groups"]["train_counts"] == expected
        assert record["recipe"] == "cao2019/name-order"
        assert record["dataset_version"] == f"1-reduced-{TRAIN}-{TEST}"
        assert 0 <= record["metrics"]["overall"] <= 100
        if method in ("lift", "linear_probe"):
            assert record["cost"]["images_seen"] % sum(expected) == 0
    # LIFT's own count: 101,436 in adapters of width 4 and 76,800 in the head.
    assert records["lift", "cifar100_lt"]["cost"]["trainable_params"] == 178_236
    hashes = {
        d: {r["provenance"]["split_hash"] for k, r in records.items() if k[1] == d} for d in sets
    }
    assert all(len(h) == 1 for h in hashes.values())
    assert len(set.union(*hashes.values())) == 3
    assert np.unique([r["provenance"]["text_hash"] for r in records.values()]).size == 1
