"""Hostile inputs of the command line, made from a source of random numbers.

A case is a command line and the files that it reads. The same generators serve `fuzz.py`, the
property tests (hypothesis gives the random numbers and shrinks them) and the coverage-guided search
(bytes of the fuzzer are the random numbers). Most cases are a valid input with a few changes:
random bytes alone reach nothing but the first check.
"""

from __future__ import annotations

import copy
import io
import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from benchmarks.tools.torture.values import TEXTS, VALUES, YAML_TEXTS

VALID: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("valid.yaml").read_text(encoding="utf-8")
)
"""Valid documents, by kind."""
CSV = "path,label,split\na1.png,a,train\na2.png,a,test\nb1.png,b,train\nb2.png,b,test\n"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63e04c"
    "3e010001ad0135d097ca320000000049454e44ae426082"
)
"""A PNG image of one pixel."""


def record(method: str) -> dict[str, Any]:
    """A finished cell of three classes with two test images each, as JSON."""
    return {"key": method, "method": method, **copy.deepcopy(VALID["record"])}


def predictions() -> bytes:
    """The predictions of `record`."""
    stream = io.BytesIO()
    top = np.array([[0, 1, 2], [0, 1, 2], [1, 0, 2], [0, 1, 2], [0, 1, 2], [1, 0, 2]])
    np.savez_compressed(
        stream,
        ids=np.array([f"i{i}" for i in range(6)]),
        labels=np.array([0, 0, 1, 1, 2, 2]),
        top5=top,
        top5_prob=np.full((6, 3), 0.3, np.float32),
        true_prob=np.full(6, 0.3, np.float32),
    )
    return stream.getvalue()


@dataclass
class Case:
    """A command line and the files around it."""

    kind: str
    words: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents by path in the working folder."""


# ---- changes -----------------------------------------------------------------------------------


def text(random: Random) -> str:
    """A text that a program may trip over."""
    if random.random() < 0.85:
        return random.choice(TEXTS)
    codes = (random.choice((32, 0x7F, 0x250, 0x2FFF, 0xDFFF, 0x10FFFF)) for _ in range(8))
    return "".join(chr(random.randint(1, code)) for code in codes)


def value(random: Random) -> Any:
    """A value of YAML or JSON that a program may trip over."""
    return text(random) if random.random() < 0.5 else copy.deepcopy(random.choice(VALUES))


def changed(data: Any, random: Random) -> Any:
    """A copy of a document with one to three changed places."""
    data = copy.deepcopy(data)
    for _ in range(random.randint(1, 3)):
        at = data
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = random.choice(keys)
            if isinstance(at[key], dict | list) and at[key] and random.random() < 0.6:
                at = at[key]
                continue
            what = random.random()
            if what < 0.7:
                at[key] = value(random)
            elif what < 0.8 or isinstance(at, list):
                del at[key]
            elif what < 0.9:
                at[text(random)] = at.pop(key)
            else:
                at[random.choice((1, None, True, 0.5, text(random)))] = value(random)
            break
    return data


def damaged(content: bytes, random: Random) -> bytes:
    """The content, cut, doubled or with other bytes in places."""
    found = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(found) + 1)
        what = random.randrange(4)
        if what == 0 and found:
            found[place % len(found)] ^= 1 << random.randrange(8)
        elif what == 1:
            found[place:place] = text(random).encode("utf-8", "surrogatepass")
        elif what == 2:
            del found[place : place + random.randint(1, 20)]
        else:
            del found[place:]
    return bytes(found)


def as_yaml(data: Any, random: Random) -> bytes:
    """A document as the text of a YAML file, which may be none."""
    data = changed(data, random) if random.random() < 0.8 else data
    try:
        content = yaml.safe_dump(data, sort_keys=False, allow_unicode=random.random() < 0.3)
    except (yaml.YAMLError, ValueError, UnicodeError):
        content = repr(data)
    if random.random() < 0.2:
        place = content.find("\n", random.randrange(len(content) + 1)) + 1
        content = content[:place] + random.choice(YAML_TEXTS) + content[place:]
    raw = content.encode("utf-8", "surrogatepass")
    return damaged(raw, random) if random.random() < 0.2 else raw


def as_json(data: Any, random: Random) -> bytes:
    """A document as the text of a JSON file, which may be none."""
    data = changed(data, random) if random.random() < 0.9 else data
    content = json.dumps(data, default=str, skipkeys=True).encode()
    if random.random() < 0.1:
        content = content.replace(b"null", random.choice((b"[" * 50_000, b"1e999", b"1" * 5000)), 1)
    return damaged(content, random) if random.random() < 0.15 else content


# ---- cases -------------------------------------------------------------------------------------

FLAGS = {
    "plan": ("--methods", "--datasets", "--set", "--seeds", "--split-seeds", "--backbone",
             "--config", "--data-root", "--device", "--precision", "--out", "--protocol",
             "--recipe", "--select", "--transform", "--remark", "--rerun", "--groups",
             "--group-counts", "--shard", "--accept-stale", "--offline", "--plugin", "--nosuch",
             "--help"),
    "show": ("--data-root", "--plugin"), "list": (), "download": ("--data-root"),
    "report": ("--out", "--config", "--methods", "--datasets", "--plugin", "--allow-mixed"),
    "compare": ("--a", "--b", "--against", "--datasets", "--config", "--out", "--plugin"),
    "predict": ("--method", "--dataset", "--seed", "--backbone", "--top", "--out", "--device",
                "--offline", "--plugin"),
    "check": ("--plugin"),
    "tune": ("--datasets", "--trials", "--fields", "--seeds", "--write", "--set", "--out",
             "--protocol"),
    "calibrate": ("--backbone", "--data-root", "--device", "--precision"),
}  # fmt: skip
FLAGS["run"] = FLAGS["plan"]
ALONE = ("--accept-stale", "--offline", "--allow-mixed", "--nosuch", "--help")
GOOD = {
    "--methods": "ncm", "--datasets": "glyphs100_lt", "--backbone": "glyph", "--seeds": "0",
    "--a": "lift", "--b": "ncm", "--device": "cpu", "--out": "out",
}  # fmt: skip
LONG = ("lift", "glyph", "glyphs100_lt", "RN50/openai")
"""Names that `check` and `download` would do long work for."""
NO_DATA = ["--datasets", "cifar100_lt", "--data-root", "nowhere", "--offline"]
"""Arguments that end a run before it trains."""


def command_line(random: Random) -> Case:
    """Any verb with any argument; none of them trains or downloads."""
    verb = random.choice([*FLAGS, "plan", "plan", "show", text(random)])
    known = FLAGS.get(verb, ())
    words = [verb]
    for flag in random.sample(known, k=min(len(known), random.randint(0, 5))):
        valid = flag in GOOD and random.random() < 0.5
        words += [flag] if flag in ALONE else [flag, GOOD[flag] if valid else text(random)]
    for _ in range(random.choice((0, 1, 1, 2))):
        name = text(random)
        if verb not in ("check", "download") or name not in LONG:
            words.insert(random.randrange(1, len(words) + 1), name)
    if verb in ("run", "tune") or verb.startswith("-"):  # without a verb it is a run
        words += NO_DATA
    elif verb == "calibrate":
        words += ["--data-root", "nowhere"]
    return Case("command line", words, records() if random.random() < 0.2 else {})


def sweep_file(random: Random) -> Case:
    """The plan of a sweep in YAML."""
    files = {"s.yaml": as_yaml(VALID["sweep"], random)}
    return Case("sweep YAML", ["plan", "--config", "s.yaml"], files)


def recipe_file(random: Random) -> Case:
    """The plan of a sweep with a recipe."""
    words = ["plan", "--methods", "lift", "--datasets", "glyphs100_lt", "--recipe", "r.yaml"]
    return Case("recipe", words, {"r.yaml": as_yaml(VALID["recipe"], random)})


@cache
def samples() -> bytes:
    """A tar archive of four images and their labels."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(4):
            for ending, content in (("png", PIXEL), ("cls", b"%d" % (number % 2))):
                info = tarfile.TarInfo(f"{number}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def own_data(random: Random) -> Case:
    """The description of a user's data, their table, their archive or their class names."""
    own, table, archive = copy.deepcopy(VALID["own"]), CSV.encode(), samples()
    what = random.randrange(4)
    if what == 0:
        table = damaged(table, random)
    elif what == 1:
        own["classes"] = {"a": text(random), "b": text(random)}
    elif what == 3:
        own, archive = {"shards": "s.tar"}, damaged(archive, random)
    described = as_yaml(own, random) if what == 2 else yaml.safe_dump(own).encode()
    plan = ["plan", "--methods", "ncm", "--backbone", "glyph", "--datasets"]
    words = random.choice((["show"], plan))
    files = {f"images/{name}.png": PIXEL for name in ("a1", "a2", "b1", "b2")}
    files |= {"d.yaml": described, "labels.csv": table, "s.tar": archive}
    return Case("own data", [*words, "d.yaml"], files)


def records() -> dict[str, bytes]:
    """The files of two finished cells."""
    found = {}
    for method in ("lift", "ncm"):
        found[f"runs/records/{method}.json"] = json.dumps(record(method)).encode()
        found[f"runs/records/{method}.npz"] = predictions()
    return found


REPORTS = 0.1
"""Share of records that a report is made of; its figures take seconds."""


def record_file(random: Random) -> Case:
    """A report or a comparison of a record that was changed."""
    files = records()
    files["runs/records/lift.json"] = as_json(record("lift"), random)
    words = ["compare", "runs", "--a", "lift", "--b", "ncm", "--out", "c.md"]
    if random.random() < REPORTS:
        words = ["report", "runs", "--out", "report", "--allow-mixed"]
    return Case("record", words, files)


def prediction_file(random: Random) -> Case:
    """A comparison of predictions that were damaged."""
    files = records()
    files["runs/records/lift.npz"] = damaged(predictions(), random)
    return Case("predictions", ["compare", "runs", "--a", "lift", "--b", "ncm"], files)


def class_names(random: Random) -> Case:
    """A report or a comparison of records whose texts are hostile."""
    files = records()
    dataset, remark = _whole(text(random)), _whole(text(random))
    for method in ("lift", "ncm"):
        data = record(method)
        for name in ("class_names", "notes", "details"):
            data[name] = [_whole(text(random)) for _ in data.get(name, ("", ""))]
        data |= {"dataset": dataset, "remark": remark}
        data["config"] = {_whole(text(random)): _whole(text(random))}
        files[f"runs/records/{method}.json"] = json.dumps(data).encode()
    report = ["report", "runs", "--out", "report", "--allow-mixed"]
    words = report if random.random() < REPORTS else ["compare", "runs", "--against", "ncm"]
    return Case("class names", words, files)


def _whole(text: str) -> str:
    """The text as a record may contain it, in most cases."""
    return re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", text)[:300] or "x"


def published_file(random: Random) -> Case:
    """A file of published values; `fuzz` gives it to its reader."""
    files = {"p.yaml": as_yaml(VALID["published"], random)}
    return Case("published.yaml", ["published", "p.yaml"], files)


KINDS: tuple[Callable[[Random], Case], ...] = (
    command_line, command_line, sweep_file, recipe_file, own_data, record_file, prediction_file,
    class_names, published_file,
)  # fmt: skip


def any_case(random: Random) -> Case:
    """A case of any kind."""
    return random.choice(KINDS)(random)
