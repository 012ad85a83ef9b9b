"""Arrays of jobs that submitit sends, and the job that follows them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli.parts import array_task, slurm
from benchmarks.errors import UserError, one_line


def require() -> None:
    """Refuse to begin without submitit and Slurm.

    Raises:
        UserError: one of them is not here.
    """
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError(
            "submit needs submitit: `pip install 'submitit>=1.5,<2'`; or --dry-run prints a script "
            "for sbatch."
        ) from None
    for tool in ("sbatch", "srun"):
        if shutil.which(tool) is None:
            raise UserError(
                f"{tool} is not on the PATH: submit where jobs are submitted to Slurm; or "
                "--dry-run prints a script for there."
            )


def send(
    array: slurm.Job,
    chunks: Sequence[int],
    report: slurm.Job,
    at_most: int,
    folder: Path,
    cluster: str = "slurm",
) -> list[list[Any]]:
    """Send arrays, each to start when the one before has ended, and then the job for the report.

    Args:
        array: its command ends in `--task=FILE:`.
        chunks: number of tasks of each array.
        report: its command is complete.
        at_most: tasks that run at a time.
        folder: for the files of submitit and the logs.
        cluster: submitit's name of the executor; `local` and `debug` use this machine, without
            an order.

    Returns:
        The jobs of each array, and a list of one for the report.

    Raises:
        UserError: Slurm refuses a job.
    """
    import cloudpickle  # comes with submitit
    from submitit.core.utils import FailedSubmissionError, UncompletedJobError

    here, last = str(Path.cwd()), array.command[-1]
    sent: list[list[Any]] = []
    start = 0
    cloudpickle.register_pickle_by_value(array_task)
    try:
        for count in chunks:
            tasks = [
                array_task.ArrayTask([*array.command[:-1], f"{last}{number}"], here)
                for number in range(start, start + count)
            ]
            executor = _executor(array, sent[-1:], at_most, folder, cluster)
            sent.append(executor.submit_array(tasks))
            start += count
        executor = _executor(report, sent, at_most, folder, cluster)
        sent.append([executor.submit(array_task.ArrayTask(report.command, here))])
    except (UncompletedJobError, FailedSubmissionError) as error:
        queued = f" Queued already: {', '.join(map(job_id, sent))}." if sent else ""
        raise UserError(f"sbatch refuses: {one_line(error)}.{queued}") from error
    finally:
        cloudpickle.unregister_pickle_by_value(array_task)
    return sent


def job_id(jobs: Sequence[Any]) -> str:
    """Return the number of the job whose tasks these are."""
    found: str = jobs[0].job_id
    return found.partition("_")[0]


def _executor(
    job: slurm.Job, after: Sequence[Sequence[Any]], at_most: int, folder: Path, cluster: str
) -> Any:
    """Return an executor of submitit's for a job that starts after others have ended."""
    import submitit

    executor = submitit.AutoExecutor(
        folder, cluster=cluster, slurm_max_num_timeout=slurm.MOST_RESTARTS
    )
    extra = {key: value for key, value in job.settings.items() if key != "time"}
    if after:
        extra["dependency"] = f"afterany:{':'.join(map(job_id, after))}"
    executor.update_parameters(
        name=job.name,
        timeout_min=slurm.minutes(str(job.settings["time"])),
        stderr_to_stdout=True,
        slurm_signal_delay_s=slurm.SIGNAL_S,
        slurm_array_parallelism=at_most,
        slurm_additional_parameters=extra,
    )
    return executor
