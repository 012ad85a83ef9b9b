"""Claims on cells, so that runs that share a folder share the cells and no cell is run twice."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from benchmarks import claims
from benchmarks.errors import UserError


class Claims(claims.Claims):
    """The claims of this run in a folder of results; a context that holds them.

    Args:
        out: folder of the run.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out / "claims")

    def take(self, keys: Collection[str]) -> list[str]:
        """Claim cells, and return the keys of those that are this run's now or already.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            return super().take(keys)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self._folder}: {error.strerror or error}. What is finished is "
                "kept; the same command goes on from there."
            ) from error
