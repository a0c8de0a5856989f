"""A job of a sweep in a process of its own: it may be killed without taking another one along."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.cli.signals import stop_requests
from trainer.config.fields import Config
from trainer.config.saved import to_object, typed
from trainer.options import plugins
from trainer.storage import files, run_folder
from trainer.sweep import job_ledger, sweep_jobs
from trainer.training.attempt import STOPS, Outcome

START = "import sys; from trainer.sweep.job_process import main; sys.exit(main())"
PACKAGE = Path(__file__).resolve().parent.parent


def run(
    config: Config,
    folder: Path,
    sweep: Path,
    number: int,
    command: Sequence[str],
    environment: Mapping[str, str],
) -> Outcome:
    """Starts the process, and waits for it; what it prints goes to `screen.log` in its folder.

    Args:
        config: The job's configuration, paths absolute.
        folder: Its folder.
        sweep: The sweep's folder, which the sweep's process holds locked.
        number: Its place in the sweep.
        command: The command line, for the record.
        environment: What its environment has beside ours.
    """
    order = json.dumps([config.to_dict(), str(folder), str(sweep), number, list(command)])
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / run_folder.SCREEN).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, **environment},
            start_new_session=True,  # a Ctrl-C on the terminal reaches it through the sweep only
        )
        process.communicate(order.encode())
    return _outcome(sweep, number, process.returncode)


def _outcome(sweep: Path, number: int, code: int) -> Outcome:
    """What a job came to, by the ledger; one that could not say so itself has failed."""
    with job_ledger.changing(sweep) as ledger:
        job = ledger.jobs[number]
        if job.status == "running" and code in STOPS:  # it was not to wait for a checkpoint
            job.status = "stopped"
        elif job.status == "running" or code < 0:
            killed = f"killed by {signal.Signals(-code).name}" if code < 0 else f"left with {code}"
            job.status, job.error = "failed", job.error or killed
            code = 1
        job.pid = job.host = None
    return Outcome(code, job.value if code == 0 else None, job.error)


def main() -> int:
    """The job, in its process; returns its exit code."""
    with stop_requests():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        config, folder, sweep, number, command = json.load(sys.stdin)
        threading.Thread(target=_stop_without, args=(Path(sweep),), daemon=True).start()
        plugins.load()  # named by the sweep's process in our environment
        job = to_object(typed(config))
        return sweep_jobs.run_job(job, Path(folder), Path(sweep), number, command).code


def _stop_without(sweep: Path) -> None:
    """Stops this job, with a checkpoint, when the process that sweeps has died."""
    while files.in_use(sweep):
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
