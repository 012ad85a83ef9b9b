"""The build backend of pyproject.toml: setuptools for `pip install -e .`, and nothing else.

The packages are called `methods`, `benchmarks`, `results` and `reports`. An editable install only
adds the checkout to what Python can import. A wheel would put these names into site-packages, where
they hide or overwrite those of other projects, without the configurations and records that commands
read. So wheels and source archives are refused, before anything is downloaded.

pip imports this file alone, without its package: it uses nothing of the suite.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

LINE = (
    "longtail-vlm runs from its checkout and is not built as a package, because its folders "
    "`methods`, `benchmarks`, `results` and `reports` would land in site-packages: clone it and "
    "run `pip install -e .` there."
)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    """End the build with one line on standard error."""
    sys.exit(LINE)


get_requires_for_build_wheel = prepare_metadata_for_build_wheel = build_wheel = _refuse
get_requires_for_build_sdist = build_sdist = _refuse


def get_requires_for_build_editable(config_settings: Any = None) -> Any:
    """Requirements of an editable install beyond those of pyproject.toml."""
    from setuptools import build_meta

    return build_meta.get_requires_for_build_editable(config_settings)


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Any = None
) -> Any:
    """Write the metadata of an editable install and return the name of its folder."""
    from setuptools import build_meta

    return build_meta.prepare_metadata_for_build_editable(metadata_directory, config_settings)


def build_editable(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> Any:
    """Build the wheel of an editable install, which only holds a path, and return its name."""
    from setuptools import build_meta

    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
