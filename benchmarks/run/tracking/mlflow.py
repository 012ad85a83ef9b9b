"""MLflow: a run for each cell, found again by its tag `longtail_vlm.key`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmarks.run.tracking.base import Settings, TrackedCell, Tracker, as_text, final_values

EXPERIMENT = "longtail-vlm"
KEY = "longtail_vlm.key"


class MLflow(Tracker):
    """Curves and final numbers as metrics, settings as parameters, the record as an artifact.

    A run of an earlier attempt at a cell is deleted, as far as MLflow deletes (`mlflow gc`).

    Args:
        target: a tracking URI; by default that of MLflow (`MLFLOW_TRACKING_URI`).
        settings: of the run.
    """

    def __init__(self, target: str, settings: Settings) -> None:
        from mlflow.tracking import MlflowClient

        super().__init__(target, settings)
        self._client: Any = MlflowClient(target or None)
        self._experiment: str | None = None
        if not self._client.tracking_uri.startswith(("http", "databricks")):
            self._client.search_experiments(max_results=1)  # is it a place that MLflow writes to?

    def begin(self, cell: TrackedCell) -> Any:
        experiment = self._experiment = self._experiment or self._found()
        for run in self._client.search_runs([experiment], f"tags.`{KEY}` = '{cell.key}'"):
            self._client.delete_run(run.info.run_id)
        tags = {KEY: cell.key, "method": cell.label, "dataset": cell.dataset}
        run = self._client.create_run(experiment, run_name=cell.title, tags=tags)
        for name, value in cell.config.items():
            self._client.log_param(run.info.run_id, name, as_text(value))
        return run.info.run_id

    def log(self, run: Any, name: str, epoch: float, value: float) -> None:
        self._client.log_metric(run, name, value, step=int(epoch))

    def end(self, run: Any, record: Mapping[str, Any] | None) -> None:
        if record is None:
            self._client.set_terminated(run, "KILLED")
            return
        for name, value in final_values(record).items():
            self._client.log_metric(run, name, value)
        self._client.log_dict(run, dict(record), "record.json")
        self._client.set_tag(run, "status", record["status"])
        self._client.set_terminated(run, "FAILED" if record["status"] == "failed" else "FINISHED")

    def _found(self) -> str:
        """Return the id of the experiment; create it if it is new."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name))
