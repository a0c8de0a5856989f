"""One run from its configuration to its summary: what `python -m trainer` does in a folder."""

from collections.abc import Sequence
from pathlib import Path

import torch

from trainer.cli.console import FILE_ONLY, log, logging_to, one_line, silent
from trainer.cli.signals import Stopped, StopRequest, stop_requests
from trainer.cli.words import count
from trainer.config.fields import Config
from trainer.storage import checkpoint, files, run_folder
from trainer.storage.run_folder import resume_command
from trainer.training import early_stopping, summary
from trainer.training.device import causes, failure, out_of_memory
from trainer.training.final_test import final_test
from trainer.training.loop import train
from trainer.training.peers import ALONE, PeerEnded, Peers, is_lost_connection
from trainer.training.preparation import announce, prepare
from trainer.training.record import Record
from trainer.training.run import Run
from trainer.training.stopping import Paused, StopVote

DEVICE = ("no kernel image", "devices are busy")  # has a type of its own, but not everywhere


def run_session(
    config: Config,
    folder: Path,
    resumed: checkpoint.Checkpoint | None,
    command: Sequence[str],
    peers: Peers = ALONE,
    parent: checkpoint.Checkpoint | None = None,
) -> float:
    """Trains a new run, or goes on with one, to its end. The caller holds the folder's lock.

    Args:
        config: The run.
        folder: Its folder; exists.
        resumed: Where to go on; None: a new run.
        command: The command line, for the record.
        peers: The processes that train it together; all call this with the same run, and the
            first one's folder and command count.
        parent: Where a new run branches off from another.

    Returns:
        The best value of the monitored metric.

    Raises:
        ValueError: If configuration, data or checkpoint do not fit; nothing was trained.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
        FloatingPointError: If the loss is not finite.
        MemoryError: If the device is out of memory.
        ChildProcessError: If a data worker died or hangs.
        PeerEnded: If another process has ended.
        Stopped: If SIGTERM or SIGINT came, to this process or another; the state is saved.
        Paused: If the run has come to where `until` says; likewise.
    """
    if peers.leads:
        for place in (folder, folder / run_folder.CHECKPOINTS):
            files.sweep(place)
    lines = logging_to(folder, quiet=config.log.progress == "none") if peers.leads else silent()
    with stop_requests() as stop, lines:
        run = _prepared(config, resumed, peers, parent)
        announce(run, folder, resumed)
        changed = complete = False
        if resumed is not None and peers.leads:
            newer = checkpoint.supersede(resumed)
            # what was asked for must outlive a kill, and a run that ends here must say so
            changed = bool(newer) or resumed.state["config"]["epochs"] != config.epochs
            complete = is_complete(run, folder)
        if peers.largest(complete):
            _say_complete(run, folder)
            return best_value(run)
        until = config.until_step()
        if resumed is not None and not changed and until is not None and run.progress.step >= until:
            log.info("%s: is at step %d, until=%s: nothing to do", folder, until, config.until)
            raise Paused
        return carry_out(run, folder, Record(run, folder, command), stop, changed=changed)


def _prepared(
    config: Config,
    resumed: checkpoint.Checkpoint | None,
    peers: Peers,
    parent: checkpoint.Checkpoint | None,
) -> Run:
    try:
        return prepare(config, resumed, peers, parent)
    except (ValueError, OSError, RuntimeError) as error:
        log.error("refused", exc_info=error, extra=FILE_ONLY)
        if (known := explained(error, config)) is not None:
            raise known from error
        raise


def _say_complete(run: Run, folder: Path) -> None:
    why, done = early_stopping.reason(run), count(run.progress.epoch, "epoch")
    more = f": {why}; a greater patience goes on" if why else ""
    log.info("%s: is complete after %s; nothing to do%s", folder, done, more)


def carry_out(
    run: Run,
    folder: Path,
    record: Record,
    stop: StopRequest,
    *,
    changed: bool = False,
) -> float:
    """Trains, tests, and writes down how it ended; a changed run saves a checkpoint at once."""
    waits = run.device.type != "cuda"
    vote = StopVote(stop, run.peers, waits=waits, until=run.config.until_step())
    try:
        record.start(changed=changed)
        ended_by = train(run, record, vote)
        record.wait()
        if ended_by is not None:
            raise ended_by
        final = final_test(run, folder, vote.check)
        if run.progress.epoch < run.config.epochs:
            final["stopped_early"] = early_stopping.reason(run)
        record.finish(**final)
    except Paused:
        log.info(
            "paused after step %d (until=%s); %s goes on",
            run.progress.step,
            run.config.until,
            resume_command(folder),
        )
        record.note_end("paused")
        raise
    except Stopped as stopped:
        step = run.progress.step
        log.warning(
            "stopped by %s after step %d; %s goes on", stopped, step, resume_command(folder)
        )
        record.note_end("stopped")
        raise
    except SystemExit as error:  # a library's
        record.note_end("failed", error=f"SystemExit: {error.code}")
        raise
    except Exception as error:  # whatever it is, the folder must not go on saying "running"
        log.error("failed", exc_info=error, extra=FILE_ONLY)
        known = explained(error, run.config)
        record.note_end("failed", error=one_line(known or error))
        if known is not None:
            raise known from error
        raise
    finally:
        record.close()
    return conclude(run, folder)


def explained(error: Exception, config: Config) -> Exception | None:
    """What torch reports with a type or words of its own, as an error with key and way out."""
    text, inwards = str(error), list(causes(error)) if isinstance(error, RuntimeError) else []
    if isinstance(error, RuntimeError) and is_lost_connection(error):
        return PeerEnded(
            "another process of the run has ended; the same command, or resume=, goes on from the "
            "last checkpoint"
        )
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in text
    if on_cpu or out_of_memory(error):
        return MemoryError(
            f"batch_size={config.batch_size}: the {'machine' if on_cpu else 'GPU'} is out of "
            "memory; accumulate=2 or a smaller batch needs less"
        )
    # torch says the first wherever the main thread is when a worker dies, and the second for what
    # a worker raised; the third is what talking to a dead one gives
    failed = isinstance(error, RuntimeError) and ("DataLoader" in text.partition("\n")[0])
    if failed or (config.data.workers and isinstance(error, ConnectionError)):
        return ChildProcessError(
            f"data.workers={config.data.workers}: a worker process failed: "
            f"{str(error).splitlines()[0]}; resume goes on from the last checkpoint; "
            "data.loader=device needs no workers"
        )
    for cause in reversed(inwards):  # the first of them is what happened
        lines = any(words in str(cause) for words in DEVICE)
        if lines or isinstance(cause, torch.AcceleratorError):
            return failure(config.device, cause)
    return None


def is_complete(run: Run, folder: Path) -> bool:
    """Whether the run has reached its end and every file says so."""
    ended = summary.read_status(folder) == ("done", run.progress.step)
    at_end = run.progress.epoch >= run.config.epochs or early_stopping.reason(run) is not None
    return ended and at_end and all((folder / name).exists() for name in run_folder.LOGS)


def conclude(run: Run, folder: Path) -> float:
    """The last lines, and the value for a sweeper."""
    best, name = summary.best_row(run), summary.monitored_name(run)
    if (why := early_stopping.reason(run)) and run.progress.epoch < run.config.epochs:
        log.info("stopped early, after %s: %s", count(run.progress.epoch, "epoch"), why)
    log.info(
        "done in %.1f s: best %s %.4f after epoch %d, last %.4f; %s",
        run.progress.seconds,
        name,
        best[name],
        best["epoch"],
        run.history.rows[-1][name],
        folder,
    )
    return best[name]


def best_value(run: Run) -> float:
    """The best value of the monitored metric."""
    return summary.best_row(run)[summary.monitored_name(run)]
