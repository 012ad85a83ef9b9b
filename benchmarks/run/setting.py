"""A piece of a process's global state: a name, how to read it, and how to put it back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.errors import first_few

_PLAIN = (str, bytes, int, float, bool, torch.device)
"""Types whose values are compared with ==; other objects are the same only if they are identical,
because the `==` of an object that a plug-in made runs the plug-in."""
_LONGEST = 60


def same(old: Any, new: Any) -> bool:
    """Return True if two values that a setting had are the same."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, tuple):
        return len(old) == len(new) and all(map(same, old, new))
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(same(old[key], new[key]) for key in old)
    return type(old) in _PLAIN and bool(old == new)


def kept(old: dict[Any, Any], new: dict[Any, Any]) -> bool:
    """Return True if all of the old entries are still there; new ones are no change."""
    return all(new.get(key) is value for key, value in old.items())


def none_added(old: dict[Any, Any], new: dict[Any, Any]) -> bool:
    """Return True if there are no new entries; old ones may have gone.

    The entries are phrases that say what was left behind.
    """
    return new.keys() <= old.keys()


@dataclass(frozen=True)
class Setting:
    """A piece of global state.

    `read` returns a value that later changes leave alone: a copy of a list or dictionary.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None
    """Put back what `read` returned; None if nothing can."""
    same: Callable[[Any, Any], bool] = same
    """Compare an old and a new value."""
    quiet: bool = False
    """Always put back, never reported: methods may change it."""

    def value(self) -> Any:
        """Return the present value; None if it cannot be read, such as a deleted folder."""
        try:
            return self.read()
        except Exception:
            return None

    def restored(self, old: Any) -> tuple[str, bool]:
        """Put the old value back if it changed.

        Returns:
            A phrase that says what had changed, or "", and True if it is as before.
        """
        if self.quiet:
            assert self.write is not None
            self.write(old)
            return "", True
        new = self.value()
        if self.same(old, new):
            return "", True
        if self.same is none_added:
            return first_few([_text(new[key]) for key in new.keys() - old.keys()]), False
        phrase = f"{self.name} {_difference(old, new)}"
        if self.write is None:
            return phrase, False
        try:
            self.write(old)
        except Exception as error:
            return f"{phrase} and cannot be put back ({type(error).__name__})", False
        if not self.same(old, self.value()):
            return f"{phrase} and cannot be put back", False
        again = f", is {_shown(old)} again" if _short(old) and _short(new) else ", is put back"
        return phrase + again, True


def attribute(owner: Any, attr: str, name: str) -> Setting:
    """Return the setting of an attribute."""
    return Setting(name, partial(getattr, owner, attr), partial(setattr, owner, attr))


def listing(name: str, get: Callable[[], list[Any]]) -> Setting:
    """Return the setting of a list's items."""

    def write(items: tuple[Any, ...]) -> None:
        get()[:] = items

    return Setting(name, lambda: tuple(get()), write)


def mapping(name: str, get: Callable[[], MutableMapping[Any, Any]]) -> Setting:
    """Return the setting of a dictionary's entries."""

    def write(entries: dict[Any, Any]) -> None:
        found = get()
        found.clear()
        found.update(entries)

    return Setting(name, lambda: dict(get()), write)


def _short(value: Any) -> bool:
    return value is None or isinstance(value, (*_PLAIN, torch.dtype))


def _shown(value: Any) -> str:
    return f"'{_text(value)}'" if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    """Return a value in few printable characters."""
    text = value.encode("unicode_escape").decode() if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        absent = object()
        names = [k for k in {**old, **new} if not same(old.get(k, absent), new.get(k, absent))]
        return f"({first_few([_text(name) for name in names])}) changed"
    if _short(old) and _short(new):
        return f"was {_shown(new)}" if new is not None else "was unset"
    return "changed"
