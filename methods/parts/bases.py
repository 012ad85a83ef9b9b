"""Methods that build on another method: its name and its fields, from fields of their own.

    base_method: str = "linear_probe"
    base_fields: str = ""        # "init=text,lr=0.01"

A method with these two fields gets its base by `built(self)`. The base's own source, and that of a
loss that its fields name, count in the fingerprint of the cell. This module imports no torch:
planning uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.plugins.values import apply_fields
from methods.registry import METHODS

if TYPE_CHECKING:
    from methods.base import Method

PASSED_ON = ("epochs", "batch_size", "augment")
"""Fields that a method hands to its base, since a protocol sets them; None and "base" are not."""


def base_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The complete configuration of the base that a method's configuration names.

    Args:
        config: fields of a method, with `base_method` and `base_fields`.

    Raises:
        UserError: the method is unknown, or it has no such field or value.
    """
    name, text = config["base_method"], config["base_fields"]
    fields = METHODS.fields(name)  # refuses unknown names
    if "base_method" in fields:
        raise UserError(f"base_method: {name} builds on another method itself.")
    own = {key: config.get(key) for key in PASSED_ON if key in fields}
    given = {key: value for key, value in own.items() if value not in (None, "base")}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"base_fields: '{pair}' is not FIELD=VALUE.")
        given[key.strip()] = value.strip()
    return apply_fields(f"method {name}", fields, given)


def built(method: Method) -> Method:
    """The base of a method.

    Raises:
        UserError: see `base_config`.
    """
    config = asdict(method)  # type: ignore[call-overload]
    base: Method = METHODS.get(config["base_method"])(**base_config(config))
    return base
