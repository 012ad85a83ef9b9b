"""Pickles from elsewhere, read so that they can make plain values alone.

An allow-list of constructors is not enough: NumPy's `ndarray` takes bytes as pointers to objects.
A subclass says which stand-ins the names in a pickle mean; nothing else is ever called.
"""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

PYTHON: Any = pickle._Unpickler
"""The unpickler in Python. The one in C lets a pickle of ten bytes allocate gigabytes (by a memo
number), and none of its instructions can be changed."""


class PlainUnpickler(PYTHON):  # type: ignore[misc]
    """Base class; a subclass overrides `find_class`, and returns only what may be called."""

    BUILT: ClassVar[tuple[type, ...]] = ()
    """Classes whose objects may be given a state."""
    dispatch: ClassVar[dict[int, Any]] = dict(PYTHON.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")

    def load_build(self) -> None:
        """Set the state of an object of one of the classes in `BUILT`."""
        if not isinstance(self.stack[-2], self.BUILT):
            raise pickle.UnpicklingError("it changes an object that has no state")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build
