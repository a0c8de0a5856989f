"""What a run consists of: built from a configuration, saved to and restored from a checkpoint."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainer import checkpoint, fingerprint
from trainer.config import Config
from trainer.data.build import Data, Loader, build_loader, load_data
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import Augmentation, EpochTable
from trainer.data.image_set import ImageSet
from trainer.data.options import ImageOptions
from trainer.data.value_loader import ValueLoader
from trainer.device import (
    choose_device,
    choose_engine,
    choose_precision,
    environment,
    set_determinism,
)
from trainer.distributed import ALONE, Peers
from trainer.engine import EagerEngine, Engine, EpochSums, Update
from trainer.evaluation import Evaluator
from trainer.graph import CapturedEvaluator, GraphEngine, StaticUpdate
from trainer.history import History, Progress
from trainer.models.build import build_model
from trainer.objective import build_objective
from trainer.optimizers.build import build_optimizer, place_lrs
from trainer.random_state import load_random_state, random_state, seed_apart
from trainer.schedules.lr_schedule import LRSchedule
from trainer.weight_average import WeightAverage
from trainer.weights import load_weights


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
        update: One update.
        engine: Carries the updates out.
        sums: Of the epoch under way.
        steps_per_epoch: Updates in an epoch.
        progress: Where it stands.
        history: What the logs show.
        peers: The processes that train it together.
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

    @staticmethod
    def build(config: Config, peers: Peers = ALONE) -> "Run":
        """A run at its beginning; several processes are not connected yet.

        Raises:
            ValueError: If the configuration does not fit the machine or the data.
            FileNotFoundError: If the data set is missing.
        """
        set_determinism(config.deterministic)
        device = choose_device(config.device, peers.launch)
        precision = choose_precision(config.amp, device)
        data = load_data(config.data)
        steps = config.steps_per_epoch()
        loader = build_loader(
            config.data,
            data.train,
            device,
            config.batch_size,
            mixup=config.mixup > 0,
            share=(peers.rank, peers.count),
        )
        torch.manual_seed(config.seed)
        random.seed(config.seed)
        model = build_model(config.model, len(data.train.classes))
        model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if peers.count > 1 and device.type == "cuda":  # statistics of the whole batch
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model.train()
        average = WeightAverage(model, config.ema) if config.ema is not None else None
        seed_apart(config.seed, peers)
        optimizer = build_optimizer(config.optimizer, model)
        scaler = GradScaler(device.type, enabled=precision == "fp16")
        scheduler = LRSchedule(
            optimizer, config.scheduler, steps_per_epoch=steps, epochs=config.epochs
        )
        update = Update(
            model,
            optimizer,
            precision=precision,
            scaler=scaler,
            accumulate=config.accumulate,
            clip_norm=config.clip_norm,
            objective=build_objective(config.loss, config.label_smoothing),
            average=average,
            processes=peers.count,
        )
        sums = EpochSums.zeros(steps, device)
        engine: Engine = EagerEngine(update, loader, scheduler, sums)
        evaluator: Evaluator | CapturedEvaluator
        evaluator = _evaluator(config, data.evaluation, device, precision, peers)
        captured = choose_engine(
            config.engine,
            device,
            loader=config.data.loader,
            cycles_momentum=scheduler.resolved.momentum is not None,
            processes=peers.count,
        )
        if captured == "graph" and isinstance(loader, DeviceLoader | ValueLoader):
            static = StaticUpdate(
                update, loader, scheduler, sums, steps_per_epoch=steps, images=len(data.train)
            )
            engine, evaluator = GraphEngine(static), CapturedEvaluator(evaluator)
        return Run(
            config=config,
            device=device,
            precision=precision,
            data=data,
            loader=loader,
            evaluator=evaluator,
            model=model,
            average=average,
            optimizer=optimizer,
            scheduler=scheduler,
            scaler=scaler,
            update=update,
            engine=engine,
            sums=sums,
            steps_per_epoch=steps,
            progress=Progress(),
            history=History(),
            peers=peers,
        )

    def evaluator_on(self, images: ImageSet) -> Evaluator:
        """An evaluator of other images, which computes as the run's own does."""
        return _evaluator(self.config, images, self.device, self.precision, self.peers)

    @property
    def augmentation(self) -> Augmentation:
        """What is drawn for each image of an epoch."""
        data = self.config.data
        if not isinstance(data, ImageOptions):
            return Augmentation(padding=0, flip=False)
        return Augmentation(
            padding=data.crop_padding,
            flip=data.flip,
            cutout=data.cutout > 0,
            mixup=self.config.mixup,
            batch_size=self.config.batch_size,
        )

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated: with averaged weights, where they are wanted."""
        return self.model if self.average is None else self.average.model

    def table(self, epoch: int) -> EpochTable:
        """What an epoch, 0-based, does with each image."""
        return self.augmentation.table(self.config.seed, epoch, len(self.data.train))

    def connect(self) -> None:
        """Averages the gradients over the processes from here on; all of them call this."""
        if self.peers.count > 1:
            images = self.loader.batch(self.table(0), 0)[0]
            self.update.parallel = self.peers.wrap(self.model, images[:2])

    def fingerprint(self) -> dict[str, Any]:
        """What a continuation of this run must share with it."""
        return fingerprint.of_run(
            self.config,
            precision=self.precision,
            engine="graph" if isinstance(self.engine, GraphEngine) else "eager",
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
            "environment": environment(self.device),
        }

    def load_state_dict(self, commit: checkpoint.Commit) -> None:
        """Goes on where a checkpoint stands.

        Raises:
            ValueError: If the checkpoint is of another run, or its LRs are not this schedule's.
        """
        state = commit.state
        saved = fingerprint.of_checkpoint(state)
        fingerprint.check(
            saved,
            self.fingerprint(),
            commit.path,
            other_processes=self.config.on_process_change == "continue",
        )
        self.load_weights(state["model"], commit)
        if self.average is not None:
            self.average.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        place_lrs(self.optimizer)
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        self.history = History.from_state(state["history"])
        if state["partial"] is not None:
            self.sums.load_state_dict(state["partial"], self.progress.step_in_epoch, self.peers)
        self._check_ledger()
        load_random_state(state["rng"], self.device, self.peers)

    def load_weights(self, weights: Mapping[str, torch.Tensor], commit: checkpoint.Commit) -> None:
        """Takes over weights and buffers alone.

        Raises:
            ValueError: If they are not this model's; names the first that differs.
        """
        load_weights(self.model, weights, path=commit.path, name=self.config.model.name)
        if self.average is not None:
            self.average.load_state_dict(weights)

    def _check_ledger(self) -> None:
        """Every LR that was in force must be what the schedule says today, bit for bit."""
        for k, recorded in enumerate(self.history.lrs):
            if (computed := self.scheduler.lrs(k)) != recorded:
                raise ValueError(
                    f"scheduler: update {k} was trained with LR {recorded}, the schedule now "
                    f"gives {computed}"
                )


def _evaluator(
    config: Config, images: ImageSet, device: torch.device, precision: str, peers: Peers
) -> Evaluator:
    return Evaluator.on(
        images,
        device,
        precision,
        flip=config.test_time_flip,
        objective=build_objective(config.loss, config.label_smoothing),
        peers=peers,
    )
