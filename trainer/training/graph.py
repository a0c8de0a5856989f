"""The step and the evaluation as CUDA graphs: one launch instead of a hundred.

What is captured is the very `Update` that runs eagerly. Everything that changes from one step to
the next (the place in the epoch, the rows of the epoch table, the LR) is read from device memory at
a fixed place; a Python number or a new tensor would be frozen into the graph.
"""

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import nn

from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import EpochTable
from trainer.data.value_loader import ValueLoader
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.device import causes, out_of_memory
from trainer.training.evaluation import Evaluator
from trainer.training.peers import ALONE
from trainer.training.random_state import load_random_state, random_state
from trainer.training.update import EpochSums, Update

WARM_UP = 3  # runs before a capture: cuDNN chooses its plans, cuBLAS takes its workspaces


class NotCapturable(RuntimeError):
    """What cannot be a CUDA graph; says why, and leaves everything as it was."""


class CaptureFailed(NotCapturable):
    """The same, noticed by the capture itself only: earlier graphs must not be replayed any more.

    They draw from the state that the random generator had, which a failed capture spoils.
    """


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
        groups = update.optimizer.param_groups
        self.lrs = torch.zeros(len(groups), steps_per_epoch, device=loader.device)

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
        self.loader.load(table)
        start = self.scheduler.last_epoch // self.steps_per_epoch * self.steps_per_epoch
        rows = [self.scheduler.lrs(start + step) for step in range(self.steps_per_epoch)]
        table_of_lrs = torch.tensor(rows, dtype=torch.float32).T.contiguous()
        if self.lrs.is_cuda:
            table_of_lrs = table_of_lrs.pin_memory()
        self.lrs.copy_(table_of_lrs, non_blocking=True)

    def __call__(self, size: int) -> None:
        """Trains on the next batch of the epoch, of `size` images."""
        lrs = self.lrs.index_select(1, self.sums.step.view(1)).view(-1)
        for group, lr in zip(self.update.optimizer.param_groups, lrs.unbind(), strict=True):
            group["lr"].copy_(lr)
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
    """

    def __init__(self, static: StaticUpdate) -> None:
        self.static = static
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
        stream = torch.cuda.Stream(static.loader.device)
        graphs: dict[int, torch.cuda.CUDAGraph] = {}
        with unchanged(static.update, static.sums):
            for size in static.sizes():
                _warm_up(lambda size=size: static.rehearse(size), stream)
            pool = torch.cuda.graph_pool_handle()
            for size in static.sizes():
                static.update.optimizer.zero_grad(set_to_none=True)
                graphs[size] = _captured(lambda size=size: static(size), pool, stream)
        return graphs


class CapturedEvaluator:
    """An evaluation that is one graph.

    Args:
        evaluator: What is captured.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._sums = evaluator.zeros()
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, model: nn.Module, check: Callable[[], object] = bool) -> tuple[float, float]:
        """Like `Evaluator`, always of the same model.

        Args:
            model: The network.
            check: Called once, before what takes a few milliseconds; may raise.
        """
        check()
        self.capture(model).replay()
        (loss, correct), count = self._sums, len(self.evaluator.labels)
        return float(loss) / count, float(correct) / count

    def capture(self, model: nn.Module) -> torch.cuda.CUDAGraph:
        """The graph; captured unless it is there."""
        if self._graph is None:
            self._graph = self._capture(model)
        return self._graph

    @torch.no_grad()
    def _capture(self, model: nn.Module) -> torch.cuda.CUDAGraph:
        def add_up() -> None:
            for total in self._sums:
                total.zero_()
            for batch in self.evaluator.batches():
                self.evaluator.add(model, *batch, *self._sums)

        model.eval()
        try:
            stream = torch.cuda.Stream(self.evaluator.images.device)
            with _put_back(lambda: _tensors(model), stream.device):
                _warm_up(add_up, stream)
                return _captured(add_up, torch.cuda.graph_pool_handle(), stream)
        finally:
            model.train()


def _warm_up(work: Callable[[], None], stream: torch.cuda.Stream) -> None:
    """Runs the work a few times on a stream of its own, as PyTorch wants it before a capture.

    The last time the host must not wait for the device, as in a capture: a capture that fails
    leaves more behind.
    """
    current = torch.cuda.current_stream(stream.device)
    stream.wait_stream(current)
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP - 1):
                work()
            with _explained(), _never_waiting():
                work()
    finally:
        current.wait_stream(stream)


def _captured(
    work: Callable[[], None], pool: Any, stream: torch.cuda.Stream
) -> torch.cuda.CUDAGraph:
    graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(stream.device)
    # Our own stream: torch's default one is made once in a process, on the device of that moment,
    # and a sweep's next job may be on another.
    # thread_local: the thread that writes checkpoints may use the device meanwhile.
    where: dict[str, Any] = {"pool": pool, "stream": stream, "capture_error_mode": "thread_local"}
    try:
        with _explained(CaptureFailed), torch.cuda.graph(graph, **where):
            work()
    except RuntimeError:
        # torch leaves the stream in force and, before 2.14, the generator as if in a capture.
        torch.cuda.set_stream(current)
        generator = torch.cuda.default_generators[stream.device.index]
        generator.graphsafe_set_state(generator.clone_state())
        raise
    return graph


@contextlib.contextmanager
def _explained(kind: type[NotCapturable] = NotCapturable) -> Generator[None]:
    """Says of an error why it is one: the innermost, over which torch may raise another."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        *_, cause = causes(error)
        raise kind(str(cause).partition("\n")[0]) from error


@contextlib.contextmanager
def _never_waiting() -> Generator[None]:
    """Makes an error of what makes the host wait, as far as torch notices."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextlib.contextmanager
def unchanged(update: Update, sums: EpochSums) -> Generator[None]:
    """Puts back, in place, whatever running a step changes.

    What the optimizer makes at its first step (Adam's moments) is zeroed: it would have begun at
    zero.
    """
    scaler = update.scaler.state_dict()
    try:
        with _put_back(lambda: _places(update, sums), sums.step.device):
            yield
    finally:
        if scaler:
            update.scaler.load_state_dict(scaler)


@contextlib.contextmanager
def _put_back(
    places: Callable[[], Iterator[tuple[object, torch.Tensor]]], device: torch.device
) -> Generator[None]:
    """Puts tensors and random generators back; tensors that are new are zeroed."""
    before = {key: value.detach().clone() for key, value in places()}
    random = random_state(device, ALONE)
    try:
        yield
    finally:
        for key, value in places():
            value.detach().copy_(before[key]) if key in before else value.zero_()
        load_random_state(random, device, ALONE)


def _places(update: Update, sums: EpochSums) -> Iterator[tuple[object, torch.Tensor]]:
    """Every tensor that a step writes, under a name."""
    yield from _tensors(update.model)
    if update.average is not None:
        for name, value in _tensors(update.average.model):
            yield ("average", name), value
    for parameter, slots in update.optimizer.state.items():
        for name, value in slots.items():
            if isinstance(value, torch.Tensor):
                yield (id(parameter), name), value
    for number, group in enumerate(update.optimizer.param_groups):
        yield ("lr", number), group["lr"]
    for name in ("step", "losses", "score", "skipped"):
        yield ("sums", name), getattr(sums, name)


def _tensors(model: nn.Module) -> Iterator[tuple[object, torch.Tensor]]:
    """Not its state_dict, which lacks some buffers and may hold what is no tensor."""
    yield from model.named_parameters()
    yield from model.named_buffers()
