"""Plug-in files whose import does harm, each with a part of the line that refuses it.

An empty text marks an import that is described like any other: its harm is done in the child alone.
"""

from __future__ import annotations

SOUND = '''
from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from methods.base import Method, Predictor
from methods.registry import register


@register("mine", paper="-", needs="features")
@dataclass(frozen=True)
class Mine(Method):
    """Mine."""

    lr: float = 0.5

    def fit(self, task):
        weight = task.normal_per_class("weight", 16)
        return Predictor(lambda batch: batch.inputs @ weight.T)
'''


def _with(field: str, more: str = "") -> str:
    """A sound plug-in with another field."""
    return more + SOUND.replace("    lr: float = 0.5\n", f"    {field}\n")


def _named(name: str) -> str:
    return SOUND.replace('register("mine"', f"register({name}")


ENDINGS = {
    "exit 0": ("import os; os._exit(0)", "ended by itself, with exit status 0"),
    "exit 3": ("import os; os._exit(3)", "ended by itself, with exit status 3"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "crash": ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
    "abort": ("import os; os.abort()", "ended by SIGABRT"),
    "kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
    "group": ("import os, signal; os.killpg(0, signal.SIGTERM)", "ended by SIGTERM"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base exception": ("raise BaseException('of mine')", "BaseException: of mine"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "no text": (
        "class E(Exception):\n    def __str__(self): raise E\nraise E", "text cannot be shown",
    ),
    "long text": ("raise ValueError('long ' * 10**6)", "ValueError: long long"),
    "escapes": ("raise ValueError('\\x1b[2J\\x1b]0;title\\x07\\ud800')", "ValueError: "),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "memory": ("x = bytearray(2**60)", "MemoryError"),
    "hidden": ("import sys; sys.excepthook = None; raise ImportError", "ImportError"),
}  # fmt: skip
"""Imports that do not come to an end."""

FILES = {
    "closes all": ("import os; os.closerange(0, 1024)\n" + SOUND, "its process"),
    "writes to all": (
        "import os\nfor n in range(256):\n    try: os.write(n, b'noise' * 99)\n"
        "    except OSError: pass\n" + SOUND,
        "its process",
    ),
    "forks": ("import os\nos.fork()\n" + SOUND, ""),
    "fork answers": (
        "import os, time\nif os.fork():\n    time.sleep(0.2)\n"
        "import os as o; o.getpid = lambda: 0\n" + SOUND,
        None,
    ),
    "fork ends": ("import os\nif os.fork(): os._exit(0)\n" + SOUND, "its process"),
    "thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\n"
        + SOUND,
        "",
    ),
    "prints": ("print('\\x1b[2J' * 10**6, flush=True)\n" + SOUND, ""),
    "no output": ("import sys; sys.stdout.close(); sys.stderr = None\n" + SOUND, ""),
    "output": ("import sys; sys.stdout = open('/dev/null', 'w')\n" + SOUND, ""),
    "alarm": ("import signal; signal.alarm(1); import time; time.sleep(9)", "SIGALRM"),
}
"""Imports that misuse what a process has open."""

STATE = {
    "threads": ("import torch; torch.set_num_threads(7)\n" + SOUND, ""),
    "dtype": ("import torch; torch.set_default_dtype(torch.float64)\n" + SOUND, ""),
    "grad": ("import torch; torch.set_grad_enabled(False)\n" + SOUND, ""),
    "seed": ("import torch, random; torch.manual_seed(5); random.seed(5)\n" + SOUND, ""),
    "metrics": (
        "from benchmarks import metrics\nfor n in list(vars(metrics)): setattr(metrics, n, 1)\n"
        + SOUND,
        "",
    ),
    "registry": (
        "from methods.registry import METHODS\nMETHODS._entries = {}\n"
        "METHODS._classes.clear()\n" + SOUND,
        "",
    ),
    "json": ("import json; json.dumps = lambda *a, **k: 'no'\n" + SOUND, ""),
    "environment": ("import os; os.environ.clear()\n" + SOUND, ""),
    "folder": ("import os; os.chdir('/')\n" + SOUND, ""),
    "handlers": (
        "import signal\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\n" + SOUND, "",
    ),
    "modules": ("import sys\nfor n in list(sys.modules): del sys.modules[n]\n" + SOUND, None),
    "path": ("import sys; sys.path.insert(0, '/tmp')\n" + SOUND, ""),
    "warnings": ("import warnings; warnings.simplefilter('error')\n" + SOUND, ""),
    "recursion limit": ("import sys; sys.setrecursionlimit(10**6)\n" + SOUND, ""),
    "trace": ("import sys; sys.settrace(lambda *a: 1 / 0)\n" + SOUND, "ZeroDivisionError"),
    "catalog": (
        "from benchmarks.plugins import catalog\ncatalog.written = lambda *a: {'kind': 5}\n"
        + SOUND,
        "does not describe",
    ),
}  # fmt: skip
"""Imports that change how the process computes."""

NAMES = {
    "of the suite": (_named('"lift"'), "Two methods are called 'lift'"),
    "control": (_named('"\\x1b[2J"'), "no control character"),
    "new line": (_named('"a\\nb"'), "no control character"),
    "surrogate": (_named('"\\ud800"'), "no control character"),
    "comma": (_named('"a,b"'), "no comma"),
    "number": (_named("5"), "as text"),
    "empty": (_named('""'), "as text"),
    "long": (_named('"x" * 10**6'), "1,000,000 characters"),
    "class name": (
        SOUND.replace("    def fit", "    __qualname__ = '\\x1b[2J'\n\n    def fit"), "",
    ),
}  # fmt: skip
"""Names."""

CLASSES = {
    "no dataclass": (SOUND.replace("@dataclass(frozen=True)\n", ""), "is not a dataclass"),
    "infinite": (_with("lr: float = 1e999"), "is not a finite number"),
    "not a number": (_with('lr: float = float("nan")'), "is not a finite number"),
    "object": (_with("lr: object = torch"), "is neither a number"),
    "enumeration": (
        _with("lr: K = K.a", "import enum\nclass K(str, enum.Enum): a = 'a'\n"), "is neither",
    ),
    "annotation": (_with("lr: 'No' = 1"), "NameError"),
    "default": (_with("lr: Annotated[int, 5] = 1"), "declares a field wrongly"),
    "factory": (
        _with("lr: int = field(default_factory=lambda: 1 / 0)", "from dataclasses import field\n"),
        "ZeroDivisionError",
    ),
    "large default": (_with('lr: str = "x" * 10**6'), "1,000,000 characters"),
    "huge number": (_with("lr: int = 10**5000"), "cannot be described"),
    "deep": (
        _with("lr: tuple = deep", "deep = ()\nfor _ in range(10**4): deep = (deep,)\n"),
        "RecursionError",
    ),
    "field name": (
        _with("lr: int = 1\n    __annotations__['\\x1b'] = int\n    locals()['\\x1b'] = 1"),
        "does not import",
    ),
    "choices": (_with("lr: Literal['\\ud800'] = '\\ud800'"), "does not describe"),
    "docstring": (SOUND.replace("Mine.", "M" * 10**6), ""),
    "documents": (SOUND.replace("Mine.", "\\x1b[2J" * 10), ""),
    "space": (SOUND + "\nMine.space = {'lr': 5}\n", "not Uniform"),
    "space of none": (SOUND + "\nMine.space = None\n", "cannot be described"),
    "space of no field": (
        SOUND + "\nfrom methods.space import Uniform\nMine.space = {'x': Uniform(0, 1)}\n",
        "not a field",
    ),
    "empty space": (
        SOUND + "\nfrom methods.space import Uniform\nMine.space = {'lr': Uniform(1, 0)}\n",
        "is no range",
    ),
    "paper": (SOUND.replace('paper="-"', "paper=5"), "something else than text"),
    "tasks": (SOUND.replace('paper="-"', 'paper="-", tasks=(5,)'), "something else than text"),
    "exempt": (SOUND.replace('paper="-"', 'paper="-", exempt=5'), "does not describe"),
    "no file": (SOUND + "\nimport sys; Mine.__module__ = 'sys'\n", ""),
    "other file": (
        "import sys; sys.modules[__name__].__file__ = '/dev/zero'\n" + SOUND, "in no file",
    ),
    "other text": (
        "import sys; sys.modules[__name__].__file__ = sys.executable\n" + SOUND, "Python in UTF-8",
    ),
    "meta": (
        SOUND.replace("class Mine(Method)", "class Mine(Method, metaclass=M)").replace(
            "@register",
            "class M(type(Method)):\n"
            "    def __getattribute__(cls, name):\n"
            "        raise SystemExit(0)\n\n\n@register",
            1,
        ),
        "SystemExit",
    ),
    "subclass": (
        SOUND.replace(
            "@register",
            "class Base(Method):\n    def __init_subclass__(cls):\n        import os\n"
            "        os._exit(0)\n\n\n@register",
            1,
        ).replace("class Mine(Method)", "class Mine(Base)"),
        "exit status 0",
    ),
    "decorator": (
        SOUND.replace("@register", "def bad(cls): raise BaseException('bad')\n@bad\n@register", 1),
        "BaseException: bad",
    ),
    "many": (
        SOUND + "\nfor n in range(1000): register(f'm{n}', paper='-', needs='features')(Mine)\n",
        "",
    ),
    "too many": (
        SOUND + "\nfor n in range(9000): register(f'm{n}', paper='-', needs='features')(Mine)\n",
        "bytes",
    ),
    "nothing": ("x = 1", "registers no method"),
    "syntax": ("def f(:", "SyntaxError"),
    "brackets": ("x = " + "(" * 5000 + ")" * 5000, "does not import"),
    "latin": ("# -*- coding: latin-1 -*-\n# \xe9\n" + SOUND, "Python in UTF-8"),
}  # fmt: skip
"""Classes and files."""

TABLE = {
    f"{kind}: {name}": case
    for kind, cases in {
        "ending": ENDINGS, "files": FILES, "state": STATE, "name": NAMES, "class": CLASSES,
    }.items()
    for name, case in cases.items()
}  # fmt: skip
