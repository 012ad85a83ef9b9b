"""Reading what users write in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import UserError


def yaml_mapping(file: Path, wanted: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: it cannot be read, or holds something else; the line says what is `wanted`.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or a date of month 13
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file}: {wanted}, not {data!r}.")
    return {str(k): v for k, v in data.items()}
