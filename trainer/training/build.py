"""A run at its beginning, built from its configuration."""

import random

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainer.config.fields import Config
from trainer.data.build import load_data
from trainer.data.device_loader import DeviceLoader
from trainer.data.image_set import ImageSet
from trainer.data.loader import Loader
from trainer.data.value_loader import ValueLoader
from trainer.optimizers.build import build_optimizer
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.capture import Capture
from trainer.training.device import choose_device, choose_engine, choose_precision, set_determinism
from trainer.training.evaluation import Evaluator
from trainer.training.graph import CapturedEvaluator, GraphEngine, StaticUpdate
from trainer.training.history import History, Progress
from trainer.training.losses import build_objective
from trainer.training.peers import ALONE, Peers
from trainer.training.random_state import seed_apart
from trainer.training.run import Run
from trainer.training.update import EagerEngine, Engine, EpochSums, Update
from trainer.training.weight_average import WeightAverage


def build_run(config: Config, peers: Peers = ALONE) -> Run:
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
    loader = config.data.build_loader(
        data.train,
        device,
        batch_size=config.batch_size,
        mixup=config.mixup > 0,
        share=(peers.rank, peers.count),
    )
    model = _model(config, len(data.train.classes), device, peers)
    average = WeightAverage(model, config.ema) if config.ema is not None else None
    seed_apart(config.seed, peers)
    optimizer = build_optimizer(config.optimizer, model)
    scaler = GradScaler(device.type, enabled=precision == "fp16")
    scheduler = LRSchedule(optimizer, config.scheduler, steps_per_epoch=steps, epochs=config.epochs)
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
    engine = _engine(config, update, loader, scheduler, sums, len(data.train))
    evaluator = build_evaluator(config, data.evaluation, device, precision, peers)
    graph = isinstance(engine, GraphEngine)
    return Run(
        config=config,
        device=device,
        precision=precision,
        data=data,
        loader=loader,
        evaluator=CapturedEvaluator(evaluator, engine.capture) if graph else evaluator,
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


def _model(config: Config, classes: int, device: torch.device, peers: Peers) -> nn.Module:
    """The network with the initial weights of the seed, ready to be trained."""
    torch.manual_seed(config.seed)
    random.seed(config.seed)
    model = config.model.build(classes)
    model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if peers.count > 1 and device.type == "cuda":  # statistics of the whole batch
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.train()


def _engine(
    config: Config,
    update: Update,
    loader: Loader,
    scheduler: LRSchedule,
    sums: EpochSums,
    images: int,
) -> Engine:
    """What carries the steps out: a captured step where it applies."""
    chosen = choose_engine(
        config.engine,
        sums.losses.device,
        loader=config.data.loader,
        cycles_momentum=scheduler.resolved.momentum is not None,
        processes=update.processes,
    )
    if chosen == "graph" and isinstance(loader, DeviceLoader | ValueLoader):
        steps = len(sums.losses)
        return GraphEngine(
            StaticUpdate(update, loader, scheduler, sums, steps_per_epoch=steps, images=images),
            Capture(loader.device),
        )
    return EagerEngine(update, loader, scheduler, sums)


def build_evaluator(
    config: Config,
    images: ImageSet,
    device: torch.device,
    precision: str,
    peers: Peers = ALONE,
) -> Evaluator:
    """What evaluates images as a run does: its precision, its loss, its processes."""
    return Evaluator.on(
        images,
        device,
        precision,
        flip=config.test_time_flip,
        objective=build_objective(config.loss, config.label_smoothing),
        peers=peers,
    )
