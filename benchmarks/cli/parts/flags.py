"""Flags that several verbs share, and the sweep that they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.backbone.names import TRANSFORMS

if TYPE_CHECKING:
    from benchmarks.sweep.settings import Sweep

DATASETS_OF_RECORDS = "only these data sets, named as in the tables (default all)"
RECORD_FOLDERS = "folders with records, such as results/runs"
SWEEP_OF_RECORDS = "only the cells of this sweep"
NAMES = "YAML with printed names of methods, rows and data sets"
OFFLINE = "do not use the network"
_PLUGIN = (
    "Python file, or folder of a package, with your own methods or data sets; may be given several "
    "times"
)


def sweep_from(options: argparse.Namespace, file: Path | None = None, **flags: Any) -> Sweep:
    """The sweep that flags describe.

    Args:
        options: parsed flags; those that no field of `Sweep` is named after are ignored.
        file: a sweep in YAML that the flags override.
        **flags: more fields, in place of parsed flags.

    Raises:
        UserError: an unusable value, or a file that cannot be read.
    """
    from benchmarks.sweep.settings import Sweep, read_sweep

    given = {name: getattr(options, name, None) for name in Sweep.__dataclass_fields__}
    return read_sweep(file, given | flags)


def whole_number(text: str) -> int:
    """Return a whole number for argparse, which may be typed as 1e3.

    Raises:
        ArgumentTypeError: the text is none.
    """
    try:
        if float(text) == int(float(text)):
            return int(float(text))
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add `--data-root` to a verb that runs no cells."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder of the data sets (default data)",
    )


def add_input_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that decide what a backbone sees of an image."""
    parser.add_argument(
        "--transform",
        metavar="|".join(TRANSFORMS),
        help="evaluation transform: the checkpoint's own (default) or that of a paper's code",
    )
    parser.add_argument(
        "--image-size",
        metavar="PIXELS",
        help="side of the backbone's input (default: that of its weights); position embeddings "
        "are resized",
    )


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add `--plugin` to a verb that runs no sweep."""
    parser.add_argument(
        "--plugin", type=Path, action="append", default=[], metavar="FILE", help=_PLUGIN
    )


def add_figure_flags(parser: argparse.ArgumentParser, *, of_report: bool = True) -> None:
    """Add the choices for figures; `reports.figures.settings` checks their values.

    Args:
        parser: of the verb.
        of_report: False for a verb that draws one figure of rows that it names.
    """
    add = parser.add_argument
    add(
        "--figure-width",
        metavar="INCHES",
        help="width that figures are printed with: 3.3 for one column of a page (default 7)",
    )
    add("--style", metavar="FILE", help="matplotlib style file for figures")
    if of_report:
        add(
            "--format",
            metavar="pdf,png,svg,pgf,json,parquet",
            help="formats of figures (default png,pdf), and json or parquet: formats of the table "
            "of records beside CSV",
        )
        add(
            "--highlight",
            metavar="A,B",
            help="rows or methods that figures draw in colour, the others in grey (default: the "
            "best)",
        )


def add_view_flags(parser: argparse.ArgumentParser) -> None:
    """Add the choice of columns, order and names of tables; `reports.settings` checks the values.

    A sweep's YAML file can hold the same under `report:`.
    """
    add = parser.add_argument
    add(
        "--columns",
        metavar="overall,few,…",
        help="columns of the tables: metrics and costs (params, epochs, images, trials, fit, …)",
    )
    add(
        "--sort",
        metavar="METRIC|asked|rank",
        help="order of the rows: by a column, as in --methods and --datasets (asked), or by mean "
        "rank over data sets (default: the main metric)",
    )
    add("--names", metavar="FILE", help=NAMES)
    add(
        "--transpose",
        action="store_const",
        const=True,
        help="print methods in columns, and metrics or data sets in rows",
    )
    add(
        "--metric",
        metavar="NAME",
        help="main metric: it sorts the tables and is compared over data sets (default overall; "
        "balanced where a test set is not balanced)",
    )


def add_named_groups(parser: argparse.ArgumentParser) -> None:
    """Add `--groups` to a verb that reports stored values by class."""
    parser.add_argument(
        "--groups",
        metavar="FILE|coverage|laion400m|…",
        help="groups of classes beside many, medium and few: a YAML or CSV file, coverage "
        "(embedded data), or cc12m, laion400m, laion2b, metaclip400m (ImageNet-LT, Places-LT)",
    )


def add_test_prior(parser: argparse.ArgumentParser) -> None:
    """Add `--test-prior` to a verb that reports stored predictions."""
    parser.add_argument(
        "--test-prior",
        metavar="forward50[,uniform,backward50]",
        help="re-weight stored predictions to other test distributions: forward50 makes the most "
        "frequent training class 50 times as likely as the rarest, backward50 the other way round",
    )


def add_allow_mixed(parser: argparse.ArgumentParser) -> None:
    """Add `--allow-mixed` to a verb that prints a table."""
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="put records that are not comparable into one table",
    )


def add_latex_width(parser: argparse.ArgumentParser) -> None:
    """Add `--latex-width` to a verb that writes LaTeX tables; `reports.latex.width` checks it."""
    parser.add_argument(
        "--latex-width",
        metavar="column|page|INCHES",
        help="place of the LaTeX tables: a column, the whole page (default), or a width in inches",
    )


def add_run_folder(parser: argparse.ArgumentParser) -> None:
    """Take the folder of a run, by default where runs write to."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("results/runs"),
        metavar="DIR",
        help="folder that runs write to with --out (default results/runs)",
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json` to a verb whose answer programs can read."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Add the backbone, the data folder and the device of a sweep."""
    add = parser.add_argument
    add(
        "--backbone",
        metavar="B",
        help="ARCH/WEIGHTS, glyph, hf-hub:NAME, local-dir:PATH or timm:NAME.TAG",
    )
    add("--data-root", metavar="DIR", help="folder of the data sets (default data)")
    add("--device", metavar="auto|cpu|cuda|mps", help="auto uses a GPU if there is one")
    add("--precision", metavar="auto|fp32|bf16", help="auto uses bf16 on a GPU that supports it")
    add("--offline", action="store_const", const=True, help=OFFLINE)


def add_cell_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every verb that runs cells."""
    add = parser.add_argument
    add_machine_flags(parser)
    add(
        "--set",
        action="append",
        metavar="NAME.FIELD=VALUE",
        help="set a field of a method or data set; may be given several times",
    )
    add("--out", metavar="DIR", help="folder for the records (default results/runs)")
    add(
        "--protocol",
        metavar="paper|equal",
        help="each method's published settings, or the same budget for all methods (default paper; "
        "equal with the backbone glyph)",
    )
    add(
        "--jobs",
        metavar="N|auto",
        help="cells to run at a time on the processor (default 1); auto: one for each core",
    )
    add("--gpus", metavar="0,1|auto", help="GPUs to use at the same time (default: the first)")
    add("--per-gpu", metavar="N", help="cells to run at a time on each of --gpus (default 1)")
    add(
        "--ray",
        metavar="auto|HOST:PORT|local",
        help="run on a Ray cluster: auto uses the one that runs here, local starts one here",
    )
    add("--plugin", action="append", metavar="FILE", help=_PLUGIN)
    add(
        "--cell-timeout",
        metavar="SECONDS",
        help="a cell that has no result after this time fails (default: no limit)",
    )


def add_sweep_flags(parser: argparse.ArgumentParser) -> None:
    """Add all flags of a sweep; `sweep.settings` checks their values, as it does those of YAML."""
    add = parser.add_argument
    add("--methods", metavar="A,B", help="methods to run, see `list`; all runs every one")
    add(
        "--datasets",
        metavar="D[,D2]",
        help="data sets to run on, see `list`; cifar100_lt_ir50 has imbalance ratio 50",
    )
    add_cell_flags(parser)
    add("--seeds", metavar="0,1,2", help="run seeds, also as a range 0-4 (default 0,1,2)")
    add("--split-seeds", metavar="0", help="seeds of the long-tailed split (default 0)")
    add("--config", type=Path, metavar="FILE", help="a sweep in YAML; flags override it")
    add(
        "--recipe",
        dest="recipes",
        action="append",
        metavar="FILE",
        help="tuned hyper-parameters of a method on a data set (configs/recipes); may be given "
        "several times, and --set wins over it",
    )
    add(
        "--select",
        metavar="last|val",
        help="epoch to report: the last, or the best on validation images (default last)",
    )
    add_input_flags(parser)
    add("--remark", metavar="TEXT", help="a caveat to print in the captions of the tables")
    add("--rerun", metavar="missing|failed|always", help="which cells to compute (default missing)")
    add(
        "--accept-stale",
        action="store_const",
        const=True,
        help="keep records made with an older version of a method's code",
    )
    add(
        "--groups",
        metavar="lift|oltr|lmpt|thirds|FILE",
        help="rule that divides the classes into many, medium and few; or a file (or coverage, "
        "laion400m, …) of other groups beside them, as in `report --groups`",
    )
    add(
        "--group-counts",
        metavar="own|ir100",
        help="class counts that decide the groups of CIFAR-LT: its own, or those of ratio 100",
    )
    add(
        "--save-logits",
        action="store_const",
        const=True,
        help="save all logits, not only the top 5 classes",
    )
    add(
        "--save-model",
        action="store_const",
        const=True,
        help="save the trained weights of each cell, for `predict`",
    )
    add(
        "--no-deterministic",
        action="store_const",
        const=True,
        help="use the fastest algorithms, even if their results vary between runs",
    )
    add(
        "--check-data",
        action="store_const",
        const=True,
        help="first read every image and list those that are damaged or in both train and test",
    )
    add(
        "--max-failures",
        metavar="N",
        help="start no more cells after N have failed (default: no limit)",
    )
    add("--shard", metavar="I/N", help="run the I-th of N parts of the sweep")
    add(
        "--track",
        action="append",
        metavar="TRACKER[:TARGET]",
        help="also report to tensorboard:DIR, wandb:PROJECT, mlflow:URI or FILE.py; may be given "
        "several times",
    )
