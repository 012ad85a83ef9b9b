"""Definition of a verb, and the parser of all verbs.

`run_benchmarks.py --help` must be quick, so a verb's module imports nothing beyond the standard
library, `benchmarks.errors` and `parts.flags` at its top; the rest is imported by its functions.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from benchmarks import cli
from benchmarks.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "run_benchmarks.py"
ROOT = Path(__file__).resolve().parents[3]
DEFAULT = "run"
"""The verb of a command line that names none."""
DESCRIPTION = "Benchmark methods for long-tailed recognition with CLIP-like models."


class Verb(Protocol):
    """A module in `benchmarks/cli/`, called as the verb: `new_method.py` is `new-method`."""

    HELP: str
    """One line for the list of verbs, starting with a verb in lower case."""
    EXAMPLES: Mapping[str, str]
    """Arguments of an example -> what it does; the overall help shows them."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments; `--debug` is there already."""

    def execute(self, options: argparse.Namespace, console: Console) -> int:
        """Do it and return the exit status.

        Raises:
            UserError: the arguments are unusable; exit status 2.
        """


def find_verbs() -> dict[str, Verb]:
    """All verbs by name, the default one first."""
    modules = sorted(m.name for m in pkgutil.iter_modules(cli.__path__) if not m.ispkg)
    modules.sort(key=lambda name: name != DEFAULT)
    return {
        name.replace("_", "-"): cast(Verb, importlib.import_module(f"{cli.__name__}.{name}"))
        for name in modules
    }


class _Parser(argparse.ArgumentParser):
    """Accepts flags by their full names only and raises its complaints as a UserError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False} | options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Prints the version of the suite, of Python and of the packages that numbers depend on."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import tomllib

        from benchmarks.run.versions import versions

        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        numbers = ", ".join(f"{name} {version}" for name, version in versions().items())
        sys.stdout.write(f"{project['name']} {project['version']}\n{numbers}\n")
        parser.exit()


def build_parsers(
    verbs: Mapping[str, Verb],
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and that of each verb in it."""
    parser = _Parser(
        prog=PROGRAM,
        description=f"{DESCRIPTION}\n\n{_examples(verbs)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show versions and exit")
    group = parser.add_subparsers(dest="verb", metavar="VERB")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, verb in verbs.items():
        sentence = f"{verb.HELP[0].upper()}{verb.HELP[1:]}."
        parsers[name] = group.add_parser(name, help=verb.HELP, description=sentence)
        verb.add_arguments(parsers[name])
        parsers[name].add_argument(
            "--debug", action="store_true", help="show tracebacks and stop at the first failure"
        )
    return parser, parsers


def _examples(verbs: Mapping[str, Verb]) -> str:
    lines = [
        (f"python {PROGRAM} {arguments}".strip(), what)
        for verb in verbs.values()
        for arguments, what in verb.EXAMPLES.items()
    ]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:{width}}  {what}".rstrip() for line, what in lines)


def _refuse_unwritable(word: str) -> None:
    """Refuse an argument that neither a file's name nor a record can contain."""
    try:
        writable = "\0" not in word and bool(os.fsencode(word) or True)
    except UnicodeEncodeError:
        writable = False
    if not writable:
        raise UserError(f"Argument '{word}' contains a character that cannot be written.")


def _unknown_flag(verb: str, flag: str, known: Iterable[str]) -> UserError:
    """The error for an unknown flag, which may be a field of a method."""
    flags = list(known)
    if "--set" in flags:
        from benchmarks.sweep.field_hints import flag_hint

        if hint := flag_hint(flag):
            return UserError(f"Unknown argument of {verb} '{flag}'. {hint}")
    return did_you_mean(f"argument of {verb}", flag, flags)


def parse(words: Sequence[str]) -> tuple[Verb, argparse.Namespace]:
    """The verb that a command line calls and its options.

    Raises:
        UserError: an unknown verb, or arguments that the verb does not take.
    """
    for word in words:
        _refuse_unwritable(word)
    verbs = find_verbs()
    if words and words[0] == "help":  # `help VERB`, as git and others have it
        words = [*words[1:2], "--help"]
    about = ("-h", "--help", "--version")
    if not words or (words[0].startswith("-") and words[0] not in about):
        words = [DEFAULT, *words]
    elif words[0] not in (*verbs, *about):
        hint = did_you_mean("verb", words[0], verbs, most=len(verbs))
        raise UserError(f"{hint} Methods go behind --methods.")
    parser, parsers = build_parsers(verbs)
    options, unknown = parser.parse_known_args(words)
    flags = parsers[words[0]]._option_string_actions
    if unknown and not unknown[0].startswith("-"):
        remedy = "write a list with commas and no spaces, behind its flag."
        if "--methods" in flags and unknown[0] == words[1]:
            remedy = "methods go behind --methods."
        raise UserError(f"Unexpected argument '{unknown[0]}': {remedy}")
    if unknown:
        raise _unknown_flag(words[0], unknown[0], flags)
    return verbs[options.verb], options
