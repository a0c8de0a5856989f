"""One run from its configuration to its summary: what `python -m trainer` does in a folder."""

from collections.abc import Sequence
from pathlib import Path

import torch

from trainer import checkpoint, device, storage, summary
from trainer.config import Config
from trainer.console import FILE_ONLY, log, logging_to
from trainer.evaluation import Evaluator
from trainer.run import Run
from trainer.schedules.linter import lint
from trainer.signals import Stopped, stop_requests
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
        Stopped: If SIGTERM or SIGINT came; the state is committed.
    """
    storage.sweep(folder)
    with stop_requests() as stop, logging_to(folder, quiet=config.log.progress == "none"):
        try:
            run = prepare(config, commit)
        except (ValueError, OSError) as error:
            log.error("refused", exc_info=error, extra=FILE_ONLY)
            raise
        announce(run, folder, commit)
        if commit is not None and run.progress.epoch >= config.epochs:
            return _already_done(run, folder)
        training = Training.start(run, folder, stop)
        try:
            if commit is None:
                training.commit(best=False)  # from here on the run can be resumed
            summary.write_config(folder, config)
            summary.write_summary(folder, run, status="running", command=list(command))
            training.train()
        except Stopped as stopped:
            log.warning(
                "stopped by %s after update %d; resume=%s goes on",
                stopped,
                run.progress.step,
                folder,
            )
            summary.write_summary(folder, run, status="stopped", command=list(command))
            raise
        except (FloatingPointError, OSError, RuntimeError) as error:
            log.error("failed", exc_info=error, extra=FILE_ONLY)
            summary.write_summary(
                folder, run, status="failed", command=list(command), error=str(error)
            )
            if isinstance(error, torch.OutOfMemoryError):
                raise MemoryError(
                    f"batch_size={config.batch_size}: {run.device} is out of memory; accumulate=2 "
                    "or a smaller batch needs less"
                ) from error
            raise
        finally:
            training.views.close()
        final = final_test(run, folder)
        entries = summary.write_summary(folder, run, status="done", command=list(command), **final)
        return conclude(run, folder, entries)


def prepare(config: Config, commit: checkpoint.Commit | None) -> Run:
    """Builds the run and, where asked for, takes over a checkpoint."""
    run = Run.build(config)
    run.scheduler.monitored(_metric_names(run))
    summary.monitored_name(run)
    if config.init:
        source = checkpoint.find(Path(config.init))
        run.load_weights(source.state["model"], source)
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
            if value != here[name]:
                log.warning(
                    "warning: %s was %s, is %s: results may differ in the last bits",
                    name,
                    value,
                    here[name],
                )


def final_test(run: Run, folder: Path) -> dict[str, dict[str, float]]:
    """The test set, read once: with the last and the best weights, if a validation set was used."""
    if run.data.split == "test":
        return {}
    evaluator = Evaluator.on(run.data.test, run.device, run.precision)
    result: dict[str, dict[str, float]] = {}
    last = {name: value.clone() for name, value in run.model.state_dict().items()}
    best = checkpoint.load(folder / checkpoint.FOLDER / "best.pt")["model"]
    for name, weights in (("best", best), ("last", last)):
        run.model.load_state_dict(weights)
        loss, accuracy = evaluator(run.model)
        result[f"test_{name}"] = {"loss": loss, "accuracy": accuracy}
        log.info("test set, %s weights: loss %.4f accuracy %.2f%%", name, loss, accuracy * 100)
    return result


def conclude(run: Run, folder: Path, entries: dict[str, object]) -> float:
    """The last lines, and the value for a sweeper."""
    best = summary.best_row(run)
    if best is None:
        raise RuntimeError("a finished run has no row")
    name = summary.monitored_name(run)
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


def _already_done(run: Run, folder: Path) -> float:
    log.info("%s: is complete after %d epochs; nothing to do", folder, run.progress.epoch)
    best = summary.best_row(run)
    return best[summary.monitored_name(run)] if best else 0.0


def _metric_names(run: Run) -> dict[str, float]:
    split = run.data.split
    return dict.fromkeys(
        ("train/loss", "train/accuracy", f"{split}/loss", f"{split}/accuracy", "lr"), 0.0
    )
