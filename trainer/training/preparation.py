"""How a run begins: built, brought to where its checkpoint stands, and announced."""

from pathlib import Path

from torch import nn

from trainer.cli.console import FILE_ONLY, log
from trainer.cli.words import count
from trainer.config.fields import Config
from trainer.schedules.linter import lint
from trainer.storage import checkpoint, files
from trainer.storage.weights import evaluated_weights
from trainer.training import device, early_stopping
from trainer.training.build import build_run
from trainer.training.capture import CaptureFailed, NotCapturable
from trainer.training.graph import CapturedEvaluator, GraphEngine
from trainer.training.peers import ALONE, Peers
from trainer.training.run import Run
from trainer.training.update import EagerEngine

BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm


def prepare(
    config: Config,
    resumed: checkpoint.Checkpoint | None,
    peers: Peers = ALONE,
    parent: checkpoint.Checkpoint | None = None,
) -> Run:
    """Builds the run and, where asked for, takes over a checkpoint, its own or its parent's.

    Several processes are connected once each has come so far.

    Raises:
        ValueError: If configuration, data or checkpoint do not fit, or `engine=graph` the network.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
        Dismissed: If that is so, in all processes but the first.
    """
    provide_data(config, peers)
    initial = None if resumed is not None else initial_weights(config, peers)
    try:
        run = _built(config, resumed, initial, peers)
        if parent is not None:
            run.fork(parent)
    except (ValueError, OSError, RuntimeError) as error:
        peers.settle(error)
        raise
    peers.settle(None)
    run.connect()
    capture(run)
    return run


def capture(run: Run) -> None:
    """Captures the CUDA graphs of a run that is to have some, or gives it the eager engine.

    Comes before the run is announced, which names the engine.

    Raises:
        ValueError: If a graph cannot be captured and `engine=graph` asks for it.
    """
    engine, evaluator = run.engine, run.evaluator
    if not isinstance(engine, GraphEngine) or run.progress.epoch >= run.config.epochs:
        return
    what = "a step"
    try:
        engine.begin(run.table(run.progress.epoch))
        what = "the evaluation"
        if isinstance(evaluator, CapturedEvaluator):
            evaluator.prepare(run.evaluated)
    except NotCapturable as error:
        reason = f"engine={run.config.engine}: {what} cannot be captured: {error}"
        if run.config.engine == "graph":
            raise ValueError(f"{reason}; engine=auto takes eager") from error
        whole = what == "a step" or isinstance(error, CaptureFailed)
        log.warning("warning: %s; %s eagerly", reason, "the run goes on" if whole else "it runs")
        log.info("not captured", exc_info=error, extra=FILE_ONLY)
        if whole:
            run.engine = EagerEngine(run.update, run.loader, run.scheduler, run.sums)
        if isinstance(evaluator, CapturedEvaluator):
            run.evaluator = evaluator.evaluator


def provide_data(config: Config, peers: Peers) -> None:
    """Finds the data set, or downloads it: one process on each machine, before the others look."""
    error: Exception | None = None
    if peers.count > 1 and peers.launch.local_rank == 0:
        try:
            config.data.provide()
        except (ValueError, OSError) as found:
            error = found
    peers.settle(error)


def initial_weights(config: Config, peers: Peers) -> checkpoint.Checkpoint | None:
    """The checkpoint that `init` names."""
    if not config.init:
        return None
    found, error = None, None
    if peers.leads:
        try:
            found = checkpoint.find(Path(config.init))
        except (ValueError, OSError) as failed:
            error = failed
    peers.settle(error)
    content = peers.from_first(None if found is None else files.read_sealed(found.path))
    place = Path(config.init)
    return found or checkpoint.Checkpoint(place, checkpoint.parse(content, place))


def _built(
    config: Config,
    resumed: checkpoint.Checkpoint | None,
    initial: checkpoint.Checkpoint | None,
    peers: Peers,
) -> Run:
    run = build_run(config, peers)
    if initial is not None:
        run.load_weights(evaluated_weights(initial.state), initial)
    if resumed is None:
        return run
    run.load_state_dict(resumed)
    done = run.progress.epoch + (run.progress.step_in_epoch > 0)
    if config.epochs < done:
        raise ValueError(f"epochs={config.epochs}: the run has already come to epoch {done}")
    if config.epochs != resumed.state["config"]["epochs"] and (why := early_stopping.reason(run)):
        raise ValueError(
            f"epochs={config.epochs}: {why}: another length changes nothing; "
            "early_stopping.patience=null, or a greater one, goes on"
        )
    changed = run.scheduler.change_epochs(config.epochs, config.on_horizon_change)
    if changed is not None:
        before, after = changed
        log.info(
            "the run now has %s (on_horizon_change=%s): the LR of the next step was %s, is %s",
            count(config.epochs, "epoch"),
            config.on_horizon_change,
            ", ".join(f"{lr:g}" for lr in before),
            ", ".join(f"{lr:g}" for lr in after),
        )
    return run


def announce_parts(run: Run) -> None:
    """Says into what a batch is cut, and whose images batch norm sees."""
    config, peers = run.config, run.peers
    own = config.batch_size // peers.count
    if peers.count > 1:
        log.info("%d processes, %d images of each batch in one", peers.count, own)
    if not any(isinstance(module, BATCH_NORMS) for module in run.model.modules()):
        return
    if peers.count > 1 and run.device.type == "cpu":
        log.warning(
            "warning: on CPUs each process's batch norm sees its own images only: the numbers "
            "are not those of one process"
        )
    if config.accumulate > 1:
        log.info(
            "note: batch norm sees %d images at a time (accumulate)", -(-own // config.accumulate)
        )


def announce(run: Run, folder: Path, resumed: checkpoint.Checkpoint | None) -> None:
    """Says what is about to be trained, and what in it is doubtful."""
    config, notes = run.config, run.scheduler.resolved.notes
    parameters = sum(p.numel() for p in run.model.parameters())
    log.info("run folder: %s", folder)
    log.info(
        "%s (%s parameters) on %s: %s training %s, %s evaluated (%s); %s, %s",
        config.model.name,
        f"{parameters:,}",
        config.data.name,
        f"{len(run.data.train):,}",
        config.task().examples,
        f"{len(run.data.evaluation):,}",
        run.data.split,
        device.describe(run.device),
        run.precision,
    )
    log.info(
        "%s, lr %g, batch %d, %s of %s",
        config.optimizer.name,
        config.optimizer.lr,
        config.batch_size,
        count(config.epochs, "epoch"),
        count(run.steps_per_epoch, "step"),
    )
    announce_parts(run)
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
    chosen_on_test = run.data.split == "test" and config.checkpoint.monitor == "auto"
    if chosen_on_test and resumed is None:  # once is enough
        log.info(
            "note: the best weights are chosen on the test set; data.val_size=%d keeps it out",
            max(len(run.data.train) // 10, 1),
        )
    if resumed is not None:
        _announce_resumed(run, resumed)


def _announce_resumed(run: Run, resumed: checkpoint.Checkpoint) -> None:
    before = resumed.state["fingerprint"].get("processes", 1)
    if before != run.peers.count:
        log.warning(
            "warning: trained by %d processes so far, by %d from here on: within rounding, not "
            "bit for bit",
            before,
            run.peers.count,
        )
    for line in resumed.damaged:
        log.warning("warning: passed over: %s", line)
    log.info("resumed from %s at step %d", resumed.path, run.progress.step)
    here = run.environment()
    for name, value in resumed.state["environment"].items():
        if value != (now := here.get(name)):
            text = "warning: %s was %s, is %s: results may differ in the last bits"
            log.warning(text, name, value, now)
