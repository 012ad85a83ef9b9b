"""Hashes of source code that see the code and not its prose, its layout or its place.

A record is stale when the code that made its numbers changes, so its fingerprint must not change
with a comment, a docstring, a blank line, the order of imports or the folder that a module is in.
The hash is over Python's own tokens. A dump of the syntax tree would be simpler, but its text
differs between Python versions. So do the tokens of f-strings, which are hashed as source text.
"""

from __future__ import annotations

import ast
import bisect
import hashlib
import io
import token
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.plugins.neighbours import Home, file_at
from benchmarks.plugins.static_reader import parsed
from benchmarks.visible import one_visible_line

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the project's packages."""

NOT_COUNTED = {
    # A change in these that changes numbers raises a version in benchmarks/protocol.py. If they
    # counted, each new attribute of a task would make every record stale.
    "methods.base": "the contract: PROTOCOL_VERSION",
    "benchmarks.backbones": "the pass that gives features: FEATURES_VERSION",
    "benchmarks.protocol": "holds the versions",
    # These compute nothing.
    "methods.registry": "declares methods",
    "methods.space": "declares the ranges of `tune`",
    "benchmarks.plugins.ranges": "declares the ranges of fields",
    "benchmarks.errors": "messages",
    "benchmarks.memory": "recovers from a shortage of memory",
}
"""Modules that methods import and no fingerprint counts, each with the reason.

Every other module of the project that a method reaches is counted, so none can be forgotten.
"""
LARGEST = 2**24
"""Bytes of a source file of a plug-in."""

_PACKAGES = ("benchmarks", "methods")
"""Packages that methods import from."""

_INVISIBLE = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, token.ENDMARKER}
_FSTRING_START = getattr(token, "FSTRING_START", None)  # since Python 3.12
_FSTRING_END = getattr(token, "FSTRING_END", None)

Place = tuple[int, int]
"""Line from 1 and column from 0, in characters, as `tokenize` counts them."""


@dataclass(frozen=True)
class Import:
    """An import statement."""

    module: str
    """Dotted name, without the imported names. That of a relative import in a plug-in is seen from
    its home and begins with a dot, or is empty for the home itself."""
    names: tuple[str, ...]
    """Names after `from module import`, with their aliases; empty for `import module`."""

    @property
    def text(self) -> str:
        """The statement in a line."""
        return " ".join([self.module, *self.names])


@dataclass(frozen=True)
class Source:
    """Code of a module: what is left of its text once prose and layout are taken away."""

    digest: str
    """Hash of the code, without import statements."""
    outside: tuple[Import, ...]
    """Imports of other packages, sorted."""
    inside: tuple[Import, ...]
    """Imports of this project's packages."""

    @property
    def empty(self) -> bool:
        """True if the module holds no code, as an `__init__.py` with a docstring alone."""
        return self.digest == _hash([]) and not self.outside and not self.inside


def code_hash(files: Iterable[Path]) -> str:
    """Hash of the code of some files, without what they import.

    Args:
        files: Python files, in an order that counts.

    Returns:
        64 hexadecimal digits.
    """
    return _hash(read(file.read_bytes(), "").digest for file in files)


@dataclass(frozen=True)
class Counted:
    """A source file that counts."""

    file: Path
    home: Home | None = None
    """Folder that a plug-in's file imports its neighbours from; None for a file of the suite."""


def fingerprint(start: Iterable[Counted], versions: Iterable[str]) -> str:
    """Hash of the code of some files and of all modules that they lead to.

    These are modules of this project, and those in the home of a plug-in. Imports count wherever
    they are in a module, except under `if TYPE_CHECKING`. A module enters by its code and not by
    its name: an import line counts as the imported names together with the hash of the module that
    they come from.

    Args:
        start: files to begin with, for example a method's own.
        versions: lines that count as well, in an order that counts.

    Returns:
        16 hexadecimal digits.

    Raises:
        UserError: a file of a plug-in is not Python in UTF-8.
    """
    modules = closure(start)
    digests = {one.file: source.digest for one, source in modules.items()}
    lines = []
    for one, source in modules.items():
        imports, outside = [], []
        for statement in (*source.inside, *source.outside):
            files = [found.file for found in _led_to(statement, one)]
            if statement in source.inside or files:
                known = [digests[file] for file in files if file in digests]
                imports.append(" ".join([*known, *statement.names]))
            else:
                outside.append(statement.text)
        lines.append(_hash([source.digest, *outside, *sorted(imports)]))
    return _hash([*versions, *sorted(lines)])[:16]


def closure(start: Iterable[Counted], *, suite: bool = True) -> dict[Counted, Source]:
    """The modules that some files lead to by their imports, with these files themselves.

    Modules in `NOT_COUNTED` and modules without code are left out, and what only they import.

    Args:
        start: files to begin with.
        suite: False leaves out the modules of this project.

    Raises:
        UserError: a file of a plug-in is not Python in UTF-8.
    """
    found: dict[Counted, Source] = {}
    queue = list(start)
    while queue:
        one = queue.pop()
        if one in found or (one.home is None and not suite):
            continue
        source = _read_file(one)
        if source.empty:
            continue
        found[one] = source
        for statement in (*source.inside, *source.outside):
            queue += _led_to(statement, one)
    return found


def _read_file(one: Counted) -> Source:
    if one.home is None:
        return read(one.file.read_bytes(), _package(ROOT, one.file))
    try:
        if one.file.stat().st_size > LARGEST:
            raise UserError(f"{one.file} is larger than {LARGEST:,} bytes.")
        return read(one.file.read_bytes(), one.home.package_of(one.file))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
        line = one_visible_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{one.file} cannot be read as Python in UTF-8 ({line}).") from error


def _led_to(statement: Import, importer: Counted) -> list[Counted]:
    """The modules that an import statement runs, of those that count."""
    top, home = statement.module.partition(".")[0], importer.home
    if home is not None and (not top or home.means(top, importer.file)):
        files = (home.file(name.lstrip(".")) for name in _names(statement))
        return [Counted(file, home) for file in files if file is not None]
    if top not in _PACKAGES:
        return []
    names = (name for name in _names(statement) if name not in NOT_COUNTED)
    return [Counted(file) for file in (_file(ROOT, name) for name in names) if file is not None]


def _names(statement: Import) -> list[str]:
    """Dotted names of the modules that an import statement may run."""
    names = [statement.module]
    # `from methods.parts import priors` names a module, `from … import log_prior` does not.
    names += [f"{statement.module}.{name.partition(' ')[0]}" for name in statement.names]
    parts = statement.module.split(".")
    names += [".".join(parts[:end]) for end in range(1, len(parts))]  # packages around it
    return [name for name in dict.fromkeys(names) if name]


@cache
def _file(root: Path, module: str) -> Path | None:
    """The file of a project module; None if there is none of this name."""
    return file_at(root, module.split("."))


@cache
def _package(root: Path, file: Path) -> str:
    """Dotted name of the package that a file belongs to; empty outside the project."""
    if not file.is_relative_to(root):
        return ""
    return ".".join(file.relative_to(root).parts[:-1])


# ---- reading a source text -----------------------------------------------------------------------


@lru_cache(maxsize=512)
def read(text: bytes, package: str) -> Source:
    """The code in a source text.

    Args:
        text: the file's bytes, in UTF-8.
        package: dotted name of its package, against which relative imports are resolved; that of a
            plug-in begins with a dot, or is empty for its home.

    Raises:
        SyntaxError: the text is not Python.
    """
    prose, imports = _statements(parsed(text))
    outside: set[Import] = set()
    inside: set[Import] = set()
    for node in imports:
        for one in _imported(node, package):
            (inside if one.module.split(".")[0] in _PACKAGES else outside).add(one)
    return Source(
        digest=_hash(_code(text, [*prose, *imports])),
        outside=tuple(sorted(outside, key=lambda one: one.text)),
        inside=tuple(sorted(inside, key=lambda one: (one.module, one.names))),
    )


def _statements(tree: ast.Module) -> tuple[list[ast.stmt], list[ast.Import | ast.ImportFrom]]:
    """The statements that do nothing when the module runs, and the import statements.

    The former are strings by themselves, which document a module, a class, a function or the field
    above them, and blocks under `if TYPE_CHECKING`.
    """
    idle: list[ast.stmt] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                idle.append(node)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
                idle.append(node)
            case ast.Import() | ast.ImportFrom():
                imports.append(node)
            case _:
                queue += ast.iter_child_nodes(node)
    return idle, imports


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> list[Import]:
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [Import(alias.name, ()) for alias in node.names]
    around = package.split(".")
    above = around[: len(around) + 1 - node.level] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    names = [f"{a.name} as {a.asname}" if a.asname else a.name for a in node.names]
    return [Import(module, tuple(sorted(names)))]


def _code(text: bytes, left_out: Iterable[ast.stmt]) -> Iterator[str]:
    """Tokens of a source text, without comments, blank lines and the statements `left_out`.

    Indentation and line ends are tokens that name themselves, whatever their width.
    """
    skipped = _within(text, left_out)
    unmatched = 0  # blocks that began within what is left out, and have not ended yet
    last = "NEWLINE"
    for kind, string, start in _tokens(text):
        gone = kind != token.DEDENT and skipped(start)
        if kind == token.INDENT and gone:
            unmatched += 1
        elif kind == token.DEDENT and unmatched:
            unmatched -= 1
        elif kind == token.NEWLINE and last in ("NEWLINE", "INDENT", "DEDENT"):
            continue  # the end of a statement that is left out
        elif not gone:
            named = kind in (token.NEWLINE, token.INDENT, token.DEDENT)
            last = token.tok_name[kind] if named else string
            yield last


def _within(text: bytes, nodes: Iterable[ast.stmt]) -> Callable[[Place], bool]:
    """A function that is True for places within some statements of a source text."""
    lines = text.splitlines()

    def place(line: int, offset: int) -> Place:  # the tree counts bytes
        return line, len(lines[line - 1][:offset].decode("utf-8"))

    spans = sorted(
        (place(n.lineno, n.col_offset), place(n.end_lineno or 0, n.end_col_offset or 0))
        for n in nodes
    )
    starts = [start for start, _ in spans]

    def within(at: Place) -> bool:
        index = bisect.bisect(starts, at) - 1
        return index >= 0 and at < spans[index][1]

    return within


def _tokens(text: bytes) -> Iterator[tuple[int, str, Place]]:
    """Type, string and place of each token that counts; an f-string is one, as before 3.12."""
    lines = text.decode("utf-8").splitlines(keepends=True)
    start, depth = (0, 0), 0
    for item in tokenize.tokenize(io.BytesIO(text).readline):
        if item.type == _FSTRING_START:
            start = item.start if not depth else start
            depth += 1
        elif item.type == _FSTRING_END:
            depth -= 1
            if not depth:
                yield token.STRING, _between(lines, start, item.end), start
        elif not depth and item.type not in _INVISIBLE:
            yield item.type, item.string, item.start


def _between(lines: list[str], start: Place, end: Place) -> str:
    """Source text from one place to another."""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def _hash(parts: Iterable[str]) -> str:
    """Hash of some texts, 64 hexadecimal digits."""
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()
