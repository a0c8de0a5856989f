"""One run from its configuration to its summary: what `python -m trainer` does in a folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from trainer import checkpoint, device, early_stopping, storage, summary
from trainer.config import Config
from trainer.console import FILE_ONLY, log, logging_to, one_line
from trainer.final_test import final_test
from trainer.run import Run
from trainer.schedules.linter import lint
from trainer.signals import Stopped, StopRequest, stop_requests
from trainer.train import Training


def run_session(
    config: Config, folder: Path, commit: checkpoint.Commit | None, command: Sequence[str]
) -> float:
    """Trains a new run, or goes on with one, to its end. The caller holds the folder's lock.

    Args:
        config: The run.
        folder: Its folder; exists.
        commit: Where to go on; None: a new run.
        command: The command line, for the record.

    Returns:
        The best value of the monitored metric.

    Raises:
        ValueError: If configuration, data or checkpoint do not fit; nothing was trained.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
        FloatingPointError: If the loss is not finite.
        MemoryError: If the device is out of memory.
        ChildProcessError: If a data worker died or hangs.
        Stopped: If SIGTERM or SIGINT came; the state is committed.
    """
    for place in (folder, folder / checkpoint.FOLDER):
        storage.sweep(place)
    with stop_requests() as stop, logging_to(folder, quiet=config.log.progress == "none"):
        try:
            run = prepare(config, commit)
        except (ValueError, OSError, RuntimeError) as error:
            log.error("refused", exc_info=error, extra=FILE_ONLY)
            if (known := explained(error, config)) is not None:
                raise known from error
            raise
        announce(run, folder, commit)
        changed = False
        if commit is not None:
            newer = checkpoint.supersede(commit)
            # what was asked for must outlive a kill, and a run that ends here must say so
            changed = bool(newer) or commit.state["config"]["epochs"] != config.epochs
            if is_complete(run, folder):
                log.info(
                    "%s: is complete after %d epochs; nothing to do%s",
                    folder,
                    run.progress.epoch,
                    f": {why}; a greater one goes on"
                    if (why := early_stopping.reason(run))
                    else "",
                )
                return best_value(run)
        return carry_out(run, folder, stop, command, changed=changed)


def carry_out(
    run: Run, folder: Path, stop: StopRequest, command: Sequence[str], *, changed: bool = False
) -> float:
    """Trains, tests, and writes down how it ended; a changed run commits at once."""
    training: Training | None = None
    try:
        training = Training.start(run, folder, stop, changed=changed)
        summary.write_config(folder, run.config)
        summary.write_summary(folder, run, status="running", command=command)
        training.train()
        final = final_test(run, folder, stop)
        training.record.finish()
        if run.progress.epoch < run.config.epochs:
            final["stopped_early"] = early_stopping.reason(run)
        entries = summary.write_summary(folder, run, status="done", command=command, **final)
    except Stopped as stopped:
        step = run.progress.step
        log.warning("stopped by %s after update %d; resume=%s goes on", stopped, step, folder)
        note_end(folder, run, "stopped", command)
        raise
    except Exception as error:  # whatever it is, the folder must not go on saying "running"
        log.error("failed", exc_info=error, extra=FILE_ONLY)
        note_end(folder, run, "failed", command, error=one_line(error))
        if (known := explained(error, run.config)) is not None:
            raise known from error
        raise
    finally:
        if training is not None:
            training.close()
    return conclude(run, folder, entries)


def explained(error: Exception, config: Config) -> Exception | None:
    """What torch reports with a type or words of its own, as an error with key and way out."""
    text = str(error)
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in text
    if on_cpu or isinstance(error, torch.OutOfMemoryError):
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
            f"{str(error).splitlines()[0]}; resume goes on from the last commit; "
            "data.loader=device needs no workers"
        )
    return None


def note_end(folder: Path, run: Run, status: str, command: Sequence[str], **more: str) -> None:
    """Notes in summary.json how a run ended; a full disk must not hide that.

    Without a first commit there is no run: the same command can start it.
    """
    if not checkpoint.commits(folder):
        return
    try:
        summary.write_summary(folder, run, status=status, command=command, **more)
    except OSError as error:
        log.warning("warning: %s", one_line(error))


def is_complete(run: Run, folder: Path) -> bool:
    """Whether the run has reached its end and every file says so."""
    ended = summary.read_status(folder) == ("done", run.progress.step)
    files = [folder / name for name in ("metrics.jsonl", "lr.csv", "config.yaml", "tensorboard")]
    at_end = run.progress.epoch >= run.config.epochs or early_stopping.reason(run) is not None
    return ended and at_end and all(f.exists() for f in files)


def prepare(config: Config, commit: checkpoint.Commit | None) -> Run:
    """Builds the run and, where asked for, takes over a checkpoint."""
    run = Run.build(config)
    if commit is None and config.init:
        source = checkpoint.find(Path(config.init))
        run.load_weights(checkpoint.weights(source.state), source)
    if commit is None:
        return run
    run.load_state_dict(commit)
    done = run.progress.epoch + (run.progress.step_in_epoch > 0)
    if config.epochs < done:
        raise ValueError(f"epochs={config.epochs}: the run has already come to epoch {done}")
    changed = run.scheduler.change_epochs(config.epochs, config.on_horizon_change)
    if changed is not None:
        before, after = changed
        log.info(
            "the run now has %d epochs (on_horizon_change=%s): the LR of the next update was %s, "
            "is %s",
            config.epochs,
            config.on_horizon_change,
            ", ".join(f"{lr:g}" for lr in before),
            ", ".join(f"{lr:g}" for lr in after),
        )
    return run


def announce(run: Run, folder: Path, commit: checkpoint.Commit | None) -> None:
    """Says what is about to be trained, and what in it is doubtful."""
    config, notes = run.config, run.scheduler.resolved.notes
    parameters = sum(p.numel() for p in run.model.parameters())
    log.info("run folder: %s", folder)
    log.info(
        "%s (%s parameters) on %s: %s training images, %s evaluated (%s); %s, %s",
        config.model.name,
        f"{parameters:,}",
        config.data.name,
        f"{len(run.data.train):,}",
        f"{len(run.data.evaluation):,}",
        run.data.split,
        device.describe(run.device),
        run.precision,
    )
    log.info(
        "%s, lr %g, batch %d, %d epochs of %d updates",
        config.optimizer.name,
        config.optimizer.lr,
        config.batch_size,
        config.epochs,
        run.steps_per_epoch,
    )
    if config.accumulate > 1 and any(isinstance(m, nn.BatchNorm2d) for m in run.model.modules()):
        size = -(-config.batch_size // config.accumulate)
        log.info("note: batch norm sees %d images at a time (accumulate)", size)
    if run.average is not None:
        log.info("evaluated, and kept as the best: the averaged weights (ema=%g)", config.ema)
    for line in notes.rounded:
        log.info("note: %s", line)
    warnings = lint(
        config.scheduler,
        run.scheduler.resolved,
        config.optimizer.base_lrs(),
        has_validation=run.data.split == "val",
    )
    for line in warnings:
        log.warning("warning: %s", line)
    if run.data.split == "test" and config.checkpoint.monitor == "auto":
        log.warning(
            "warning: the best weights are chosen on the test set; data.val_size=5000 keeps it out"
        )
    if commit is not None:
        for line in commit.damaged:
            log.warning("warning: passed over: %s", line)
        log.info("resumed from %s at update %d", commit.path, run.progress.step)
        here = device.environment(run.device)
        for name, value in commit.state["environment"].items():
            if value != here.get(name):
                log.warning(
                    "warning: %s was %s, is %s: results may differ in the last bits",
                    name,
                    value,
                    here.get(name),
                )


def conclude(run: Run, folder: Path, entries: dict[str, object]) -> float:
    """The last lines, and the value for a sweeper."""
    best, name = summary.best_row(run), summary.monitored_name(run)
    if (why := early_stopping.reason(run)) and run.progress.epoch < run.config.epochs:
        log.info("stopped early, after %d epochs: %s", run.progress.epoch, why)
    log.info(
        "done in %.1f s: best %s %.4f after epoch %d, last %.4f; %s",
        entries["seconds"],
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
