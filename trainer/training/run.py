"""What a run consists of, saved to and restored from a checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainer.cli.console import log
from trainer.config import sameness
from trainer.config.fields import Config
from trainer.data.build import Data
from trainer.data.epoch_table import Augmentation, EpochTable
from trainer.data.loader import Loader
from trainer.optimizers.build import place_lrs
from trainer.options import plugins
from trainer.schedules.lr_schedule import LRSchedule
from trainer.storage import checkpoint
from trainer.storage.comparison import digest, entries
from trainer.storage.weights import load_weights
from trainer.training.device import environment
from trainer.training.evaluation import Evaluator
from trainer.training.graph import CapturedEvaluator, GraphEngine
from trainer.training.history import History, Progress, Row
from trainer.training.peers import ALONE, Peers
from trainer.training.random_state import load_random_state, random_state
from trainer.training.update import Engine, EpochSums, Update
from trainer.training.weight_average import WeightAverage


@dataclass(slots=True)
class Run:
    """The objects of one run.

    Attributes:
        config: Its configuration.
        device: Where it computes.
        precision: `none`, `bf16` or `fp16`.
        data: Its images.
        loader: Cuts the training batches.
        evaluator: Evaluates on `data.evaluation`: loss and accuracy of the model.
        model: The network.
        average: The moving average of its weights; None: not wanted.
        optimizer: With the LR in force in each group.
        scheduler: Writes that LR.
        scaler: Enabled for fp16 only.
        update: One step.
        engine: Carries the steps out.
        sums: Of the epoch under way.
        steps_per_epoch: Steps in an epoch.
        progress: Where it stands.
        history: What the logs show.
        peers: The processes that train it together.
        lineage: Of a fork: its parent's `folder`, `step`, `sha256` of the weights, `schedule`.
    """

    config: Config
    device: torch.device
    precision: str
    data: Data
    loader: Loader
    evaluator: Evaluator | CapturedEvaluator
    model: nn.Module
    average: WeightAverage | None
    optimizer: torch.optim.Optimizer
    scheduler: LRSchedule
    scaler: GradScaler
    update: Update
    engine: Engine
    sums: EpochSums
    steps_per_epoch: int
    progress: Progress
    history: History
    peers: Peers = ALONE
    lineage: dict[str, Any] | None = None

    @property
    def augmentation(self) -> Augmentation:
        """What is drawn for each image of an epoch."""
        return self.config.data.augmentation(self.config.mixup, self.config.batch_size)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated: with averaged weights, where they are wanted."""
        return self.model if self.average is None else self.average.model

    @property
    def makes_ahead(self) -> bool:
        """Whether a thread may make the next epoch's table: not beside workers to be forked."""
        return self.device.type == "cuda" and not self.config.data.workers

    def evaluate(self, check: Callable[[], object] = bool) -> tuple[float, float]:
        """Loss and score of the evaluated images; what `check` raises ends it."""
        self.peers.copy_buffers(self.evaluated)
        return self.evaluator(self.evaluated, check)

    def show_plateau(self, row: Row) -> None:
        """Shows a plateau the metrics of an evaluated epoch; says so if the LR is reduced."""
        metric = self.scheduler.monitored(row)
        if metric is not None and self.scheduler.observe(metric):
            log.info(f"plateau: the LR is reduced to {self.scheduler.get_last_lr()[0]:g}")

    def table(self, epoch: int) -> EpochTable:
        """What an epoch, 0-based, does with each image."""
        return self.augmentation.table(self.config.seed, epoch, len(self.data.train))

    def connect(self) -> None:
        """Averages the gradients over the processes from here on; all of them call this."""
        if self.peers.count > 1:
            images = self.loader.batch(self.table(0), 0)[0]
            self.update.parallel = self.peers.wrap(self.model, images[:2])

    def environment(self) -> dict[str, str]:
        """What bit-equality depends on beside the configuration, in plain values."""
        engine = "graph" if isinstance(self.engine, GraphEngine) else "eager"
        modules = {f"plugin {name}": sha256 for name, sha256 in plugins.LOADED.items()}
        return environment(self.device) | {"engine": engine} | modules

    def fingerprint(self) -> dict[str, Any]:
        """What a continuation of this run must share with it."""
        return sameness.fingerprint(
            self.config,
            precision=self.precision,
            data_sha256=self.data.sha256,
            processes=self.peers.count,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continuation needs, plain values and tensors."""
        optimizer = self.optimizer.state_dict()
        for group, lr in zip(optimizer["param_groups"], self.scheduler.get_last_lr(), strict=True):
            group["lr"] = lr  # a number wherever the optimizer keeps it
        return {
            "format": checkpoint.FORMAT,
            "model": self.model.state_dict(),
            "ema": self.average.state_dict() if self.average is not None else None,
            "optimizer": optimizer,
            "scheduler": self.scheduler.state_dict(),
            "last_epoch": self.scheduler.last_epoch,
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
            "rng": random_state(self.device, self.peers),
            "partial": self.sums.total(self.peers) if self.progress.step_in_epoch else None,
            "history": self.history.state_dict(),
            "config": self.config.to_dict(),
            "fingerprint": self.fingerprint(),
            "environment": self.environment(),
            "lineage": self.lineage,
        }

    def load_state_dict(self, resumed: checkpoint.Checkpoint) -> None:
        """Goes on where a checkpoint stands.

        Raises:
            ValueError: If the checkpoint is of another run, or its LRs are not this schedule's.
        """
        state = resumed.state
        self._check_same(sameness.saved_fingerprint(state), self.fingerprint(), resumed.path)
        self.lineage = state["lineage"]
        self._take_over(resumed, lambda: self.scheduler.load_state_dict(state["scheduler"]))

    def fork(self, parent: checkpoint.Checkpoint) -> None:
        """Goes on where another run's checkpoint stands, with a schedule of its own from there.

        Raises:
            ValueError: If more than the schedule differs, or the LRs so far are not this one's.
        """
        state, step = parent.state, int(parent.state["progress"]["step"])
        theirs, ours = sameness.saved_fingerprint(state), self.fingerprint()
        self._check_same(_but_schedule(theirs), _but_schedule(ours), parent.path)
        self.lineage = {
            "folder": str(parent.run_folder),
            "step": step,
            "sha256": digest(entries(state)),
            "schedule": state["config"]["scheduler"]["name"],
        }
        self._take_over(parent, lambda: self.scheduler.start_at(step))
        before, after = self.history.lrs[-1], self.scheduler.get_last_lr()
        lrs = (", ".join(f"{lr:g}" for lr in each) for each in (before, after))
        log.info("forked from %s at step %d: the LR was %s, is %s", parent.path, step, *lrs)

    def _check_same(self, theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
        other = self.config.on_process_change == "continue"
        sameness.check(theirs, ours, path, other_processes=other)

    def _take_over(self, source: checkpoint.Checkpoint, place_schedule: Callable[[], None]) -> None:
        """All of a checkpoint, its schedule by what is given."""
        state = source.state
        self.load_weights(state["model"], source)
        if self.average is not None:
            self.average.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        place_lrs(self.optimizer)
        place_schedule()
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        self.history = History.from_state(state["history"])
        if state["partial"] is not None:
            self.sums.load_state_dict(state["partial"], self.progress.step_in_epoch, self.peers)
        self._check_ledger()
        load_random_state(state["rng"], self.device, self.peers)

    def load_weights(
        self, weights: Mapping[str, torch.Tensor], source: checkpoint.Checkpoint
    ) -> None:
        """Takes over weights and buffers alone.

        Raises:
            ValueError: If they are not this model's; names the first that differs.
        """
        load_weights(self.model, weights, path=source.path, name=self.config.model.name)
        if self.average is not None:
            self.average.load_state_dict(weights)

    def _check_ledger(self) -> None:
        """Every LR that was in force must be what the schedule says today, bit for bit."""
        for k, recorded in enumerate(self.history.lrs):
            if (computed := self.scheduler.lrs(k)) != recorded:
                raise ValueError(
                    f"scheduler: step {k} was trained with LR {recorded}, the schedule now "
                    f"gives {computed}"
                )


def _but_schedule(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fingerprint.items() if not k.startswith("scheduler.")}
