"""What a CUDA graph will replay, run on the CPU: the same numbers, and nothing it would freeze."""

import copy

import pytest
import torch
from torch.amp.grad_scaler import GradScaler
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.config.overrides import compose_run
from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import Augmentation, EpochTables, epoch_table
from trainer.models.build import build_model
from trainer.models.options import VGG, VGGBN
from trainer.optimizers.build import build_optimizer
from trainer.optimizers.options import SGD, Adam, OptimizerOptions
from trainer.schedules import Cosine, Warmup
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.device import choose_engine
from trainer.training.graph import StaticUpdate, unchanged
from trainer.training.losses import Classification
from trainer.training.update import EagerEngine, EpochSums, Update
from trainer.training.weight_average import WeightAverage

CPU = torch.device("cpu")
IMAGES, BATCH = 110, 20  # the last batch has 10
STEPS = 6
TABLES = [epoch_table(3, epoch, IMAGES, padding=4, flip=True) for epoch in range(3)]


SETTINGS = [{}, {"accumulate": 2, "clip_norm": 1.0}, {"accumulate": 2, "extras": True}]


class Parts:
    """An update with its LRs in tensors, as on CUDA."""

    def __init__(
        self, option: OptimizerOptions, *, extras: bool = False, **settings: object
    ) -> None:
        torch.manual_seed(0)
        self.model = build_model(VGGBN() if extras else VGG(), 10)
        if extras:
            settings |= {"average": WeightAverage(self.model, 0.9)}
            settings |= {"objective": Classification(label_smoothing=0.1)}
        self.optimizer = build_optimizer(option, self.model)
        for group in self.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
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

    def static(self) -> StaticUpdate:
        return StaticUpdate(
            self.update,
            self.loader,
            self.scheduler,
            self.sums,
            steps_per_epoch=STEPS,
            images=IMAGES,
        )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("option", [SGD(lr=0.05), Adam()], ids=["sgd", "adam"])
def test_an_update_that_reads_fixed_places_equals_the_eager_one_bit_for_bit(
    option: OptimizerOptions, settings: dict[str, object]
) -> None:
    eager, static = Parts(option, **settings), Parts(option, **settings)
    engine = EagerEngine(eager.update, eager.loader, eager.scheduler, eager.sums)
    body = static.static()
    assert body.sizes() == [20, 10]
    for table in eager.tables:
        engine.begin(table)
        body.begin(table)
        for step in range(STEPS):
            engine.train_on(step)
            body(body.size(step))
            body.scheduler.advance()
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


def test_an_epoch_resumed_in_the_middle_reads_the_right_rows_and_lrs() -> None:
    whole, cut = Parts(SGD(lr=0.05)), Parts(SGD(lr=0.05))
    first, second = whole.static(), cut.static()
    first.begin(TABLES[0])
    for step in range(STEPS):
        first(first.size(step))
        first.scheduler.advance()
    second.begin(TABLES[0])
    for step in range(3):
        second(second.size(step))
        second.scheduler.advance()
    again = Parts(SGD(lr=0.05))
    again.model.load_state_dict(cut.model.state_dict())
    again.optimizer.load_state_dict(copy.deepcopy(cut.optimizer.state_dict()))
    again.scheduler.load_state_dict(cut.scheduler.state_dict())
    again.sums.load_state_dict(cut.sums.total(), 3)
    third = again.static()
    third.begin(TABLES[0])
    for step in range(3, STEPS):
        third(third.size(step))
        third.scheduler.advance()
    assert torch.equal(whole.sums.losses, again.sums.losses)
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


class Watch(TorchDispatchMode):
    """Notes operations that make the host wait, or whose result depends on a host value."""

    WAITS = (
        "_local_scalar_dense",
        "item",
        "nonzero",
        "masked_select",
        "unique",
        "equal",
        "is_nonzero",
    )

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = function._schema.name.partition("::")[2]
        self.count += 1
        if name in self.WAITS:
            self.waited.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("option", [SGD(lr=0.05), Adam()], ids=["sgd", "adam"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_update_asks_the_device_for_nothing(
    option: OptimizerOptions, settings: dict[str, object]
) -> None:
    parts = Parts(option, **settings)
    body = parts.static()
    body.begin(parts.tables[0])
    body(BATCH)
    with Watch() as watch:
        body(BATCH)
        body(BATCH)
    assert watch.count > 100
    assert not watch.waited
    with Watch() as watch:  # and the watch does see one
        float(parts.sums.losses.sum())
    assert watch.waited


def test_warming_up_changes_nothing() -> None:
    for option in (SGD(lr=0.05), Adam()):
        used, fresh = Parts(option, extras=True), Parts(option, extras=True)
        body = used.static()
        body.begin(used.tables[0])
        for start in (STEPS, STEPS - 1, 0):  # a run may go on where an epoch's updates are done
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
        assert torch.equal(ahead.take(epoch).packed(), make(epoch).packed())
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
