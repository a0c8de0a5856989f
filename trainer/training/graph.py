"""The step and the evaluation as CUDA graphs: one launch instead of a hundred.

What is captured is the very `Update` that runs eagerly. Everything that changes from one step to
the next (the place in the epoch, the rows of the epoch table, the LR) is read from device memory at
a fixed place; a Python number or a new tensor would be frozen into the graph.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator

import torch
from torch import nn

from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import EpochTable
from trainer.data.value_loader import ValueLoader
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.capture import Capture, put_back, tensors
from trainer.training.evaluation import Evaluator
from trainer.training.update import EpochSums, Update


class StaticUpdate:
    """A step that reads its batch and its LR from fixed places on the device.

    Args:
        update: The step; its optimizer's LRs are tensors.
        loader: Holds images and epoch table.
        scheduler: Gives the LRs of an epoch.
        sums: Of the epoch under way; knows the place in it.
        steps_per_epoch: Steps in an epoch.
        images: Images in an epoch.
    """

    def __init__(
        self,
        update: Update,
        loader: DeviceLoader | ValueLoader,
        scheduler: LRSchedule,
        sums: EpochSums,
        *,
        steps_per_epoch: int,
        images: int,
    ) -> None:
        self.update = update
        self.loader = loader
        self.scheduler = scheduler
        self.sums = sums
        self.steps_per_epoch = steps_per_epoch
        self.images = images
        groups = len(update.optimizer.param_groups)
        self.lrs = torch.zeros(groups, steps_per_epoch, device=loader.device)
        self.lr = torch.zeros(groups, 1, device=loader.device)

    def sizes(self) -> list[int]:
        """The batch sizes that occur in an epoch: the whole one, and a short last one."""
        return sorted({self.size(0), self.size(self.steps_per_epoch - 1)}, reverse=True)

    def size(self, step: int) -> int:
        """Images in batch `step`."""
        return min(self.loader.batch_size, self.images - step * self.loader.batch_size)

    def begin(self, table: EpochTable) -> None:
        """Puts the epoch's table and LRs in their places, behind what the device still has to do.

        The LRs of an epoch are fixed when it begins: a plateau changes them between epochs only.
        """
        for group, lr in zip(self.update.optimizer.param_groups, self.lr.view(-1), strict=True):
            group["lr"] = lr.copy_(group["lr"])
        self.loader.load(table)
        start = self.scheduler.last_epoch // self.steps_per_epoch * self.steps_per_epoch
        rows = [self.scheduler.lrs(start + step) for step in range(self.steps_per_epoch)]
        table_of_lrs = torch.tensor(rows, dtype=torch.float32).T.contiguous()
        if self.lrs.is_cuda:
            table_of_lrs = table_of_lrs.pin_memory()
        self.lrs.copy_(table_of_lrs, non_blocking=True)

    def __call__(self, size: int) -> None:
        """Trains on the next batch of the epoch, of `size` images."""
        torch.index_select(self.lrs, 1, self.sums.step.view(1), out=self.lr)
        images, labels = self.loader.batch_at(self.sums.step, size)
        self.update(images, labels, self.sums)

    def rehearse(self, size: int) -> None:
        """Trains on the first images of the epoch, wherever the run stands in it.

        What is left of the epoch may be shorter than a warm-up: a step past its end would read
        past the end of the tables.
        """
        self.sums.step.zero_()
        self(size)


class GraphEngine:
    """Replays a captured `StaticUpdate`, one graph for each batch size that occurs.

    Args:
        static: The step.
        capture: Makes the graphs.
    """

    def __init__(self, static: StaticUpdate, capture: Capture) -> None:
        self.static = static
        self.capture = capture
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def begin(self, table: EpochTable) -> None:
        """An epoch, or what is left of it, is about to be trained; the first one is captured."""
        self.static.begin(table)
        if not self._graphs:
            self._graphs = self._capture()

    def train_on(self, step: int) -> None:
        """Trains on batch `step` of the epoch and moves the schedule on to the next step."""
        self._graphs[self.static.size(step)].replay()
        self.static.scheduler.advance()  # the device has the epoch's LRs already

    def _capture(self) -> dict[int, torch.cuda.CUDAGraph]:
        static = self.static
        graphs: dict[int, torch.cuda.CUDAGraph] = {}
        with unchanged(static.update, static.sums):
            for size in static.sizes():
                self.capture.rehearse(lambda size=size: static.rehearse(size))
            for size in static.sizes():
                static.update.optimizer.zero_grad(set_to_none=True)
                graphs[size] = self.capture.capture(lambda size=size: static(size))
        return graphs


class CapturedEvaluator:
    """An evaluation that is one graph.

    Args:
        evaluator: What is captured.
        capture: Makes the graph.
    """

    def __init__(self, evaluator: Evaluator, capture: Capture) -> None:
        self.evaluator = evaluator
        self.capture = capture
        self._sums = evaluator.zeros()
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, model: nn.Module, check: Callable[[], object] = bool) -> tuple[float, float]:
        """Like `Evaluator`, always of the same model.

        Args:
            model: The network.
            check: Called once, before what takes a few milliseconds; may raise.
        """
        check()
        self.prepare(model).replay()
        (loss, correct), count = self._sums, len(self.evaluator.labels)
        return float(loss) / count, float(correct) / count

    def prepare(self, model: nn.Module) -> torch.cuda.CUDAGraph:
        """The graph; captured unless it is there."""
        if self._graph is None:
            self._graph = self._capture(model)
        return self._graph

    @torch.no_grad()
    def _capture(self, model: nn.Module) -> torch.cuda.CUDAGraph:
        def add_up() -> None:
            for total in self._sums:
                total.zero_()
            self.evaluator.add_all(model, *self._sums)

        model.eval()
        try:
            with put_back(model, self.capture.device):
                self.capture.rehearse(add_up)
                return self.capture.capture(add_up)
        finally:
            model.train()


@contextlib.contextmanager
def unchanged(update: Update, sums: EpochSums) -> Generator[None]:
    """Puts back, in place, whatever running a step changes.

    What the optimizer makes at its first step (Adam's moments) is zeroed: it would have begun at
    zero.
    """
    scaler = update.scaler.state_dict()
    try:
        with put_back(update.model, sums.step.device, lambda: _places(update, sums)):
            yield
    finally:
        if scaler:
            update.scaler.load_state_dict(scaler)


def _places(update: Update, sums: EpochSums) -> Iterator[tuple[object, torch.Tensor]]:
    """Every tensor that a step writes beside the model, under a name."""
    if update.average is not None:
        for name, value in tensors(update.average.model):
            yield ("average", name), value
    for parameter, slots in update.optimizer.state.items():
        for name, value in slots.items():
            if isinstance(value, torch.Tensor):
                yield (id(parameter), name), value
    for number, group in enumerate(update.optimizer.param_groups):
        yield ("lr", number), group["lr"]
    for name in ("step", "losses", "score", "skipped"):
        yield ("sums", name), getattr(sums, name)
