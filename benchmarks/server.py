"""First import of the server of child processes (`starting`).

If an import fails in the server or in a child before it answers, the parent tries the same import
and says why it fails. The server says nothing.
"""

from __future__ import annotations

import sys
from types import TracebackType


def _silent(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None, /
) -> None: ...


sys.excepthook = _silent
