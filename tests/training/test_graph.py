"""The step as a CUDA graph, on the stand-in for one: the same numbers as the eager step."""

import contextlib
import copy
import random

import pytest
import torch
from cuda_stand_in import StandIn, Watch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainer.config.overrides import compose_run
from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import Augmentation, EpochTable, EpochTables, epoch_table
from trainer.models.options import VGG, VGGBN
from trainer.optimizers.build import build_optimizer
from trainer.optimizers.options import SGD, Adam, OptimizerOptions
from trainer.schedules import Cosine, Warmup
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.capture import Capture
from trainer.training.device import choose_engine
from trainer.training.graph import GraphEngine, StaticUpdate, unchanged
from trainer.training.losses import Classification
from trainer.training.update import EagerEngine, Engine, EpochSums, Update
from trainer.training.weight_average import WeightAverage

CPU = torch.device("cpu")
IMAGES, BATCH = 110, 20  # the last batch has 10
STEPS = 6
TABLES = [epoch_table(3, epoch, IMAGES, padding=4, flip=True) for epoch in range(3)]


SETTINGS = [{}, {"accumulate": 2, "clip_norm": 1.0}, {"accumulate": 2, "extras": True}]


class Parts:
    """What an engine is built from."""

    def __init__(
        self,
        option: OptimizerOptions,
        *,
        extras: bool = False,
        model: nn.Module | None = None,
        **settings: object,
    ) -> None:
        torch.manual_seed(0)
        self.model = model or (VGGBN() if extras else VGG()).build(10)
        if extras:
            settings |= {"average": WeightAverage(self.model, 0.9)}
            settings |= {"objective": Classification(label_smoothing=0.1)}
        self.optimizer = build_optimizer(option, self.model)
        self.scheduler = LRSchedule(
            self.optimizer,
            Warmup(warmup="4 steps", after=Cosine()),
            steps_per_epoch=STEPS,
            epochs=3,
        )
        images = synthetic.make(0, IMAGES, 10)[0]
        self.loader = DeviceLoader(
            images, CPU, batch_size=BATCH, padding=4, cutout=8 * extras, mixup=extras
        )
        draw = Augmentation(
            padding=4, flip=True, cutout=extras, mixup=1.0 * extras, batch_size=BATCH
        )
        self.tables = [draw.table(3, epoch, IMAGES) for epoch in range(3)]
        self.update = Update(
            self.model,
            self.optimizer,
            precision="none",
            scaler=GradScaler("cpu", enabled=False),
            **settings,  # type: ignore[arg-type]
        )
        self.sums = EpochSums.zeros(STEPS, CPU)

    def eager(self) -> EagerEngine:
        return EagerEngine(self.update, self.loader, self.scheduler, self.sums)

    def graph(self) -> GraphEngine:
        return GraphEngine(self.static(), Capture(CPU))

    def static(self) -> StaticUpdate:
        return StaticUpdate(
            self.update,
            self.loader,
            self.scheduler,
            self.sums,
            steps_per_epoch=STEPS,
            images=IMAGES,
        )


def trained(engine: Engine, table: EpochTable, first: int = 0, end: int = STEPS) -> None:
    engine.begin(table)
    for step in range(first, end):
        engine.train_on(step)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("option", [SGD(lr=0.05), Adam()], ids=["sgd", "adam"])
def test_the_graph_equals_the_eager_update_bit_for_bit(
    option: OptimizerOptions, settings: dict[str, object], stand_in: StandIn
) -> None:
    eager, static = Parts(option, **settings), Parts(option, **settings)
    engines = eager.eager(), static.graph()
    for table in eager.tables:
        for engine in engines:
            trained(engine, table)
        assert len(stand_in.graphs) == 2, "the second for the short last batch"
        assert torch.equal(eager.sums.losses, static.sums.losses)
        assert torch.equal(eager.sums.score, static.sums.score)
        for sums in (eager.sums, static.sums):
            assert int(sums.step) == STEPS
            sums.clear()
    for a, b in zip(eager.model.parameters(), static.model.parameters(), strict=True):
        assert torch.equal(a, b)
    if (ours := eager.update.average) and (theirs := static.update.average):
        for name, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name])
            same = torch.equal(value, eager.model.state_dict()[name])
            assert same is not value.is_floating_point()


@pytest.mark.parametrize("done", [3, STEPS])
def test_an_epoch_resumed_in_the_middle_reads_the_right_rows_and_lrs(
    done: int, stand_in: StandIn
) -> None:
    whole, cut, again = (Parts(SGD(lr=0.05)) for _ in range(3))
    trained(whole.graph(), TABLES[0])
    trained(cut.graph(), TABLES[0], 0, done)
    again.model.load_state_dict(cut.model.state_dict())
    again.optimizer.load_state_dict(copy.deepcopy(cut.optimizer.state_dict()))
    again.scheduler.load_state_dict(cut.scheduler.state_dict())
    again.sums.load_state_dict(cut.sums.total(), done)
    trained(again.graph(), TABLES[0], done)
    assert torch.equal(whole.sums.losses, again.sums.losses)
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("option", [SGD(lr=0.05), Adam()], ids=["sgd", "adam"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_update_asks_the_device_for_nothing(
    option: OptimizerOptions, settings: dict[str, object], stand_in: StandIn
) -> None:
    parts = Parts(option, **settings)
    body = parts.static()
    body.begin(parts.tables[0])
    body(BATCH)
    with Watch() as watch:
        body(BATCH)
        body(BATCH)
    assert watch.count > 100


def test_warming_up_changes_nothing(stand_in: StandIn) -> None:
    for option in (SGD(lr=0.05), Adam()):
        used, fresh = Parts(option, extras=True), Parts(option, extras=True)
        body = used.static()
        body.begin(used.tables[0])
        for start in (STEPS, STEPS - 1, 0):  # a run may go on where an epoch's steps are done
            used.sums.step.fill_(start)
            with unchanged(used.update, used.sums):
                for size in body.sizes():
                    for _ in range(3):
                        body.rehearse(size)
            assert not used.sums.losses.any()
            assert int(used.sums.step) == start
        for name, value in fresh.model.state_dict().items():
            assert torch.equal(value, used.model.state_dict()[name])
        assert used.update.average
        assert fresh.update.average
        for name, value in fresh.update.average.state_dict().items():
            assert torch.equal(value, used.update.average.state_dict()[name])
        other = fresh.static()
        for static in (body, other):
            static.begin(used.tables[0])
            static(BATCH)
        for name, value in fresh.model.state_dict().items():
            assert torch.equal(value, used.model.state_dict()[name]), name
    with unchanged(used.update, used.sums):
        body(BATCH)
    assert int(used.sums.step) == 1


def test_the_loader_cuts_the_same_batch_by_a_number_on_the_device() -> None:
    loader = Parts(SGD()).loader
    for step in range(STEPS):
        images, labels = loader.batch(TABLES[1], step)
        again, same = loader.batch_at(torch.tensor(step), min(BATCH, IMAGES - step * BATCH))
        assert torch.equal(images, again)
        assert torch.equal(labels, same)


def test_tables_made_ahead_are_the_same_tables() -> None:
    def make(epoch: int):
        return epoch_table(3, epoch, IMAGES, padding=4, flip=True)

    ahead = EpochTables(make, 3, ahead=True)
    for epoch in (0, 1, 2, 1):  # going back works, too
        taken, made = ahead.take(epoch), make(epoch)
        for name in ("order", "offsets", "flips"):
            assert torch.equal(getattr(taken, name), getattr(made, name))
    ahead.close()


@pytest.mark.parametrize(
    ("engine", "device", "loader", "cycles", "chosen"),
    [
        ("auto", "cpu", "device", False, "eager"),
        ("auto", "cuda", "device", False, "graph"),
        ("auto", "cuda", "torchvision", False, "eager"),
        ("auto", "cuda", "device", True, "eager"),
        ("eager", "cuda", "device", False, "eager"),
        ("graph", "cuda", "device", False, "graph"),
        ("graph", "cpu", "device", False, None),
        ("graph", "cuda", "torchvision", False, None),
        ("graph", "cuda", "device", True, None),
    ],
)
def test_the_graph_is_taken_where_it_applies(
    engine: str, device: str, loader: str, cycles: bool, chosen: str | None
) -> None:
    kind = torch.device(device)
    if chosen is None:
        with pytest.raises(ValueError, match=r"engine=graph: .*; engine=auto takes eager"):
            choose_engine(engine, kind, loader=loader, cycles_momentum=cycles)
    else:
        assert choose_engine(engine, kind, loader=loader, cycles_momentum=cycles) == chosen


def test_a_wrong_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine=fast: must be one of auto, eager, graph"):
        compose_run(["engine=fast", "data=synthetic"])


class Stateful(nn.Module):
    """Has what a user's network may have beside weights, and changes all of it."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, 10)
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("left", torch.zeros(2), persistent=False)
        self.fails_at, self.calls = fails_at, 0

    def get_extra_state(self) -> dict[str, str]:
        return {"of": "the user"}

    def set_extra_state(self, state: object) -> None:
        pass

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("the network's own")
        self.kept += torch.rand(2)
        self.left += torch.rand(2)
        return self.layer(images.flatten(1)) * (1 + self.left[0])


def everything(parts: Parts) -> dict[str, torch.Tensor]:
    slots = {
        f"slot {number}/{name}": value
        for number, slots in enumerate(parts.optimizer.state.values())
        for name, value in slots.items()
    }
    sums = {name: getattr(parts.sums, name) for name in ("step", "losses", "score", "skipped")}
    lrs = {f"lr {n}": group["lr"] for n, group in enumerate(parts.optimizer.param_groups)}
    generators = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(random.getstate()[1], dtype=torch.float64),
    }
    model = dict(parts.model.named_parameters()) | dict(parts.model.named_buffers())
    held = model | slots | sums | lrs | generators
    return {name: value.detach().clone() for name, value in held.items()}


@pytest.mark.parametrize("option", [SGD(lr=0.05), Adam()], ids=["sgd", "adam"])
@pytest.mark.parametrize("fails_at", [None, 1, 2, 3, 4, 6, 7, 8])
def test_a_capture_leaves_everything_as_it_was_whether_it_succeeds_or_fails(
    fails_at: int | None, option: OptimizerOptions, stand_in: StandIn
) -> None:
    """Whole batches and the short one: each is rehearsed three times, then each is captured."""
    parts = Parts(option, model=Stateful())
    trained(parts.eager(), TABLES[0], 0, 3)  # it goes on in the middle of an epoch
    before, stream = everything(parts), stand_in.stream
    parts.model.fails_at, parts.model.calls = fails_at, 0
    engine = parts.graph()
    with pytest.raises(RuntimeError) if fails_at else contextlib.nullcontext():
        engine.begin(TABLES[0])
    for name, value in everything(parts).items():
        assert torch.equal(value, before.get(name, torch.zeros_like(value))), name
    assert stand_in.stream is stream
    assert stand_in.sync_debug_mode == 0
    assert not stand_in.spoilt
    assert before["lr 0"] > 0
