"""A sweep as a YAML file and flags request it, read and checked before anything is loaded.

An unknown key or a value of the wrong type ends with one line that names the nearest valid ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.backbone.names import TRANSFORMS
from benchmarks.datasets.partitions import is_partition
from benchmarks.errors import UserError, did_you_mean
from benchmarks.file_names import expanded
from benchmarks.plugins.values import GROUP_RULES, coerce
from benchmarks.sweep.field_hints import key_hint
from benchmarks.sweep.tracks import Track, tracks_of
from benchmarks.yaml_files import yaml_mapping

PROTOCOLS = ("paper", "equal")
SELECTIONS = ("last", "val")
RERUNS = ("missing", "failed", "always")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
GROUP_COUNTS = ("own", "ir100")
LARGEST_SEED = 2**32 - 1
"""Largest seed that all generators in use accept, including NumPy's legacy generator."""
MOST_SEEDS = 10_000
"""Most seeds of a range such as 0-4."""
MOST_JOBS = 1024
"""Most worker processes of a run."""
NARROWING = ("methods", "datasets", "set", "backbone", "protocol", "group_counts")
"""Flags that may make recipes or baselines of a file irrelevant."""
QUICK_START = Path(__file__).resolve().parents[2] / "configs" / "quick_start.yaml"
"""The sweep that runs if the command line names no methods, data sets or file."""


@dataclass(frozen=True)
class Choice:
    """An entry of a sweep: a method or data set, with the fields that a YAML file sets for it."""

    name: str
    fields: tuple[tuple[str, Any], ...] = ()
    recipes: tuple[Path, ...] | None = None
    """Recipes of this entry alone, instead of the sweep's; empty for no recipe at all."""

    def __str__(self) -> str:
        """Return the name with the fields, for example `zero_shot (text=both)`."""
        shown = ", ".join(f"{field}={value}" for field, value in self.fields)
        return f"{self.name} ({shown})" if shown else self.name


LARGEST_IMAGE = 2048
"""Largest `image_size`."""
LONGEST_TIMEOUT = 1e8
"""Seconds; three years."""
MOST_FAILURES = 10**9
"""Largest `max_failures`."""


@dataclass(frozen=True)
class Sweep:
    """A request for a sweep: flags of the command line, or keys of a YAML file."""

    methods: tuple[Choice, ...] = ()
    datasets: tuple[Choice, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    split_seeds: tuple[int, ...] = (0,)
    backbone: str = ""
    """Empty: the embedded one for the embedded world, otherwise ViT-B-16-quickgelu/openai."""
    set: tuple[tuple[str, str, Any], ...] = ()
    """(method or data set, field, value)."""
    recipes: tuple[Path, ...] = ()
    """Files with tuned hyper-parameters (see `benchmarks.sweep.recipe_files`)."""
    data_root: Path = Path("data")
    out: Path = Path("results/runs")
    protocol: str = ""
    """Empty: `equal` on the embedded backbone, otherwise `paper`."""
    select: str = "last"
    transform: str = "checkpoint"
    """Evaluation transform: the checkpoint's own, or that of a paper's code, by name."""
    image_size: int | None = None
    """Side of the backbone's square input in pixels; None for that of its weights."""
    remark: str = ""
    """Remark on all numbers of the sweep; it ends the captions of tables."""
    rerun: str = "missing"
    accept_stale: bool = False
    groups: str = "auto"
    """Rule of groups by training frequency or, beside the usual rule, a partition of the classes:
    a name or file of `benchmarks.datasets.partitions`."""
    group_counts: str = ""
    """Counts that decide the groups of CIFAR-LT: own or ir100; empty: the data set's default."""
    compare: tuple[str, ...] = ()
    """Labels of the rows that every other row is compared with after the run."""
    margin: float | None = None
    """Differences below these points count as equivalent in the comparisons; None: not tested."""
    save_logits: bool = False
    save_model: bool = False
    """Keep the trained part of each cell for `predict`."""
    no_deterministic: bool = False
    """Let torch use the fastest algorithms, even if they do not repeat their numbers."""
    check_data: bool = False
    """Read every image before anything runs."""
    cell_timeout: float | None = None
    """Seconds after which a cell without a result fails; None waits for ever."""
    max_failures: int | None = None
    """Failed cells after which a run starts no more; None runs all cells, whatever fails."""
    shard: str = ""
    jobs: str = ""
    """Worker processes at a time, or `auto`: one for each core. Empty: 1, or all that `ray` has."""
    gpus: str = ""
    """Numbers of the GPUs to use, separated by commas, or `auto`: all. Empty: the first one."""
    per_gpu: int = 1
    """Worker processes at a time on each GPU of `gpus`, or of a Ray cluster."""
    ray: str = ""
    """Ray cluster to run on: `auto`, `local` or HOST:PORT. Empty: this machine."""
    device: str = "auto"
    precision: str = "auto"
    offline: bool = False
    plugin: tuple[Path, ...] = ()
    track: tuple[Track, ...] = ()
    """Trackers that the run is reported to; no number depends on them."""
    report: tuple[tuple[str, Any], ...] = ()
    """Settings of the report, by the keys of `reports.settings`, which checks them."""
    narrowed: bool = False
    """Not a YAML key. True if flags change the methods, data, backbone or protocol of the file."""
    recipe_flags: tuple[Path, ...] = ()
    """Not a YAML key. The recipes that flags name; each of them must be used."""


def read_sweep(file: Path | None, flags: dict[str, Any]) -> Sweep:
    """Return the sweep of a YAML file (if any) with the flags of the command line over it.

    Args:
        file: YAML with the names of `Sweep`'s fields as keys.
        flags: field name -> value; None where a flag was not given.

    Raises:
        UserError: unreadable file, unknown key, wrong type or value.
    """
    values: dict[str, Any] = {}
    if file is not None:
        wanted = "a sweep is a mapping such as 'methods: [lift]'"
        for name, value in yaml_mapping(file, wanted).items():
            where = f"{file}, {name}" if name in _keys() else str(file)
            values[name] = _sweep_value(name, value, where)
    for name, value in flags.items():
        if value is not None:
            flag = "recipe" if name == "recipes" else name.replace("_", "-")
            new = _sweep_value(name, value, f"--{flag}")
            # These are added to the file's. If both set one field, the flag comes last and wins.
            added = name in ("set", "plugin", "recipes")
            values[name] = values.get(name, ()) + new if added else new
            if name == "recipes":
                values["recipe_flags"] = new
    narrowed = file is not None and any(flags.get(name) is not None for name in NARROWING)
    sweep = Sweep(**values, narrowed=narrowed)
    _refuse_contradictions(sweep)
    return sweep


def _refuse_contradictions(sweep: Sweep) -> None:
    """Refuse settings of workers that exclude each other."""
    if sweep.ray and (sweep.gpus or sweep.shard):
        raise UserError(
            f"--ray and {'--gpus' if sweep.gpus else '--shard'}: Ray itself divides the cells "
            "among all CPUs and GPUs of its cluster; --jobs N limits how many run at a time."
        )
    if sweep.ray and sweep.device == "mps":
        raise UserError("--ray and --device mps: on a cluster, cells run on cpu or cuda.")
    if sweep.gpus and sweep.jobs not in ("", "1"):
        raise UserError(
            "--jobs and --gpus: each GPU has one worker; --per-gpu N puts several on each."
        )
    if sweep.gpus and sweep.device in ("cpu", "mps"):
        raise UserError(f"--gpus and --device {sweep.device} contradict each other.")
    if sweep.per_gpu > 1 and not (sweep.gpus or sweep.ray):
        raise UserError("--per-gpu needs --gpus, for example --gpus auto.")


def _sweep_value(name: str, value: Any, where: str) -> Any:
    """Return the value of one field of `Sweep`, from a flag or from YAML."""
    if name not in _keys():
        if hint := key_hint(name):
            raise UserError(f"Unknown key in {where} '{name}'. {hint}")
        raise did_you_mean(f"key in {where}", name, _keys())
    if name in ("methods", "datasets"):
        items = _items(value)
        if not items:  # an unset shell variable must not start the quick start
            raise UserError(f"{where}: no name given, see `list`.")
        return tuple(_choice(item, where, recipes=name == "methods") for item in items)
    if name in ("seeds", "split_seeds"):
        return _seeds(value, where)
    if name == "set":
        return _assignments(value, where)
    if name == "compare":
        labels = value if isinstance(value, list | tuple) else [value]
        return tuple(part for text in labels for part in split_labels(coerce(text, str, where)))
    if name == "recipes":
        return _recipe_files(value, where)
    if name == "report":
        if not isinstance(value, dict):
            raise UserError(f"{where}: a report is a mapping such as 'sort: rank', not {value!r}.")
        return tuple((str(key), setting) for key, setting in value.items())
    if name == "plugin":
        return tuple(expanded(str(item), where) for item in _items(value))
    if name == "track":
        return tracks_of(value, where)
    if name in ("data_root", "out"):
        if not isinstance(value, str | Path) or not str(value):
            raise UserError(f"{where}: '{value}' is not a path.")
        return expanded(value, where)
    if name in (
        "accept_stale", "offline", "save_logits", "save_model", "no_deterministic", "check_data"
    ):  # fmt: skip
        return coerce(value, bool, where)
    if name == "cell_timeout":
        seconds: float = coerce(value, float, where)
        if not 0 < seconds < LONGEST_TIMEOUT:
            raise UserError(f"{where}: '{value}' is not a number of seconds above 0.")
        return seconds
    if name == "margin":
        return difference_in_points(value, where)
    if name == "max_failures":
        count: int = coerce(value, int, where)
        if not 1 <= count <= MOST_FAILURES:
            raise UserError(f"{where}: '{value}' is not a number of failed cells, 1 or more.")
        return count
    if name == "per_gpu":
        return _jobs(str(value), where)
    if name == "image_size":
        side: int = coerce(value, int, where)
        if not 1 <= side <= LARGEST_IMAGE:
            raise UserError(f"{where}: '{value}' is not a side in pixels, 1 to {LARGEST_IMAGE}.")
        return side
    if name == "jobs":
        return value if value == "auto" else str(_jobs(str(value), where))
    if name == "gpus":
        return _gpus(value, where)
    if name == "ray":
        return _ray(str(value), where)
    options = {
        "protocol": PROTOCOLS,
        "select": SELECTIONS,
        "transform": TRANSFORMS,
        "rerun": RERUNS,
        "device": DEVICES,
        "precision": PRECISIONS,
        "groups": GROUP_RULES,
        "group_counts": GROUP_COUNTS,
    }.get(name)
    text: str = coerce(value, str, where)
    if name == "groups" and is_partition(text):
        return text
    if options is not None and text not in options:
        gpu = name == "device" and text.startswith(("gpu", "cuda"))
        more = "; --gpus 0,1 chooses GPUs" if gpu else ""
        raise UserError(f"{where}: '{text}' is not one of {', '.join(options)}{more}.")
    if name == "shard":
        _shard(text, where)
    return text


def difference_in_points(value: Any, where: str) -> float:
    """Return a difference in points of percent, from a flag or from YAML.

    Raises:
        UserError: not a number between 0 and 100.
    """
    points: float = coerce(value, float, where)
    if not 0 < points < 100:
        raise UserError(f"{where}: '{value}' is not a number of points between 0 and 100.")
    return points


def _jobs(text: str, where: str) -> int:
    if not _is_number(text) or not 1 <= int(text) <= MOST_JOBS:
        raise UserError(f"{where}: '{text}' is not a number of workers, 1 to {MOST_JOBS}.")
    return int(text)


def _gpus(value: Any, where: str) -> str:
    """Return `auto`, or numbers separated by commas, each once."""
    items = [str(item) for item in _items(value)]
    if items == ["auto"]:
        return "auto"
    if not items or not all(_is_number(item) for item in items):
        raise UserError(f"{where}: '{value}' is neither auto nor numbers of GPUs such as 0,1.")
    return ",".join(dict.fromkeys(str(int(item)) for item in items))


def _ray(text: str, where: str) -> str:
    host, _, port = text.rpartition(":")
    is_address = host and "/" not in host and _is_number(port) and 0 < int(port) < 2**16
    if text not in ("auto", "local") and not is_address:
        raise UserError(
            f"{where}: '{text}' is neither auto, local nor the address of a head node, HOST:PORT."
        )
    return text


def _keys() -> list[str]:
    """Return the keys that a file may have."""
    internal = ("narrowed", "recipe_flags")
    return [f.name for f in dataclasses.fields(Sweep) if f.name not in internal]


def shard_of(text: str) -> tuple[int, int]:
    """Return the index of the part and the number of parts: (1, 4) for "2/4", (0, 1) for ""."""
    return _shard(text, "--shard") if text else (0, 1)


def _shard(text: str, where: str) -> tuple[int, int]:
    part, slash, count = text.partition("/")
    if slash and _is_number(part) and _is_number(count) and 1 <= int(part) <= int(count):
        return int(part) - 1, int(count)
    raise UserError(f"{where}: '{text}' is not I/N with 1 <= I <= N, for example 1/4.")


def split_labels(text: str) -> tuple[str, ...]:
    """Split a text at the commas outside brackets: labels may contain both."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(part.strip() for part in parts if part.strip())


def _items(value: Any) -> list[Any]:
    """Return the items of a YAML list or of a comma-separated text."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _choice(item: Any, where: str, *, recipes: bool) -> Choice:
    """Read `lift` or, in YAML, `sage: {guidance: none}`; a method may also have `recipe: FILE`."""
    if isinstance(item, Choice):
        return item
    if isinstance(item, dict) and len(item) == 1:
        name, fields = next(iter(item.items()))
        if isinstance(fields, dict):
            rest = {str(field): value for field, value in fields.items()}
            own = None
            if recipes and "recipe" in rest:
                own = _recipe_files(rest.pop("recipe"), f"{where}, recipe of {name}")
            return Choice(str(name), tuple(rest.items()), own)
    if isinstance(item, str):
        return Choice(item)
    raise UserError(f"{where}: an entry is a name or 'name: {{field: value}}', not {item!r}.")


def _recipe_files(value: Any, where: str) -> tuple[Path, ...]:
    """Read one file, a list of files, or `none`."""
    files = [] if value == "none" else _items(value)
    named = all(isinstance(file, str | Path) and str(file) not in ("", "none") for file in files)
    if value == "" or not named:
        raise UserError(f"{where}: write a file, a list of files or none, not {value!r}.")
    return tuple(expanded(file, where) for file in files)


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    seeds: list[int] = []
    for item in _items(value):
        first, dash, last = (part.strip() for part in str(item).partition("-"))
        ends = [first, last if dash else first]
        numbers = not isinstance(item, bool) and all(map(_is_number, ends))
        low, high = map(int, ends) if numbers else (0, LARGEST_SEED + 1)
        if high > LARGEST_SEED:
            raise UserError(
                f"{where}: '{item}' is not a seed; write whole numbers such as 0,1,2 or 0-4."
            )
        if not low <= high < low + MOST_SEEDS:
            raise UserError(
                f"{where}: '{item}': a range goes from a seed to a larger one, with at most "
                f"{MOST_SEEDS:,} seeds."
            )
        seeds += range(low, high + 1)
    if not seeds:
        raise UserError(f"{where}: no seed given; write, for example, 0,1,2.")
    return tuple(dict.fromkeys(seeds))


def _is_number(text: str) -> bool:
    """Return True for 0, 1, 2 … in plain digits; `isdigit` alone also accepts "²"."""
    return text.isascii() and text.isdigit() and len(text) < 20


def _assignments(value: Any, where: str) -> tuple[tuple[str, str, Any], ...]:
    """Read `["lift.lr=0.1"]` from flags, or `{lift: {lr: 0.1}}` from YAML."""
    found = []
    if isinstance(value, dict):
        for owner, fields in value.items():
            if not isinstance(fields, dict):
                raise UserError(
                    f"{where}: 'set' needs NAME: {{FIELD: VALUE}}, not {owner}: {fields!r}."
                )
            found += [(str(owner), str(field), v) for field, v in fields.items()]
        return tuple(found)
    for item in _items(value) if not isinstance(value, list | tuple) else value:
        target, equals, text = str(item).partition("=")
        owner, dot, field = target.rpartition(".")
        if not (equals and dot and owner and field):
            raise UserError(f"{where}: '{item}' is not NAME.FIELD=VALUE, for example lift.lr=0.02.")
        found.append((owner, field, text))
    return tuple(found)
