"""Work on the device as CUDA graphs: rehearsed, captured, or why it cannot be."""

import contextlib
import os
import pickle
import random
import warnings
from collections.abc import Callable, Generator, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.training.device import causes, out_of_memory
from trainer.training.peers import ALONE
from trainer.training.random_state import load_random_state, random_state

REHEARSALS = 3  # cuDNN chooses its plans, cuBLAS takes its workspaces; the last two are compared


class NotCapturable(RuntimeError):
    """What cannot be a CUDA graph; says why, and leaves everything as it was."""


class CaptureFailed(NotCapturable):
    """The same, noticed by the capture itself only: earlier graphs must not be replayed any more.

    They draw from the state that the random generator had, which a failed capture spoils.
    """


class Capture:
    """Makes the graphs of a run, which share a stream and their memory.

    They may share it: nothing that one of them leaves there is read by another.

    Args:
        device: Where they run.

    Attributes:
        failed: Whether a capture has failed in this process. Before torch 2.13 the allocator does
            not recover from it (pytorch issue 180395), so there is no other one.
    """

    failed = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def stream(self) -> torch.cuda.Stream:
        """Our own: torch's is made once in a process, on the device of that moment."""
        return torch.cuda.Stream(self.device)

    @cached_property
    def pool(self) -> Any:
        """The memory of the graphs."""
        return torch.cuda.graph_pool_handle()

    def rehearse(self, work: Callable[[], None]) -> None:
        """Runs the work a few times on a stream of its own, as PyTorch wants it before a capture.

        The last time the host must not wait for the device, as in a capture: a capture that fails
        leaves more behind. And it must launch what it launched the time before.

        Raises:
            NotCapturable: If it does not.
        """
        if os.environ.get("CUDA_LAUNCH_BLOCKING", "0") != "0":
            raise NotCapturable("CUDA_LAUNCH_BLOCKING makes the host wait for every operation")
        if Capture.failed:
            raise NotCapturable("an earlier capture has failed in this process")
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        try:
            with torch.cuda.stream(self.stream):
                for _ in range(REHEARSALS - 2):
                    work()
                drawn = _host_generators(self.device)
                with Operations(self.device) as before:
                    work()
                with _explained(), _never_waiting(), Operations(self.device) as after:
                    work()
        finally:
            current.wait_stream(self.stream)
        if drawn != _host_generators(self.device):
            raise NotCapturable("it draws random numbers on the host")
        if (name := before.first_unlike(after)) is not None:
            raise NotCapturable(f"it is not the same from one time to the next ({name})")

    def capture(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """The work as a graph; nothing is computed yet.

        Raises:
            CaptureFailed: If that cannot be.
        """
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        # thread_local: the thread that writes checkpoints may use the device meanwhile.
        where: dict[str, Any] = {"pool": self.pool, "stream": self.stream}
        where["capture_error_mode"] = "thread_local"
        try:
            with _explained(CaptureFailed), torch.cuda.graph(graph, **where):
                work()
        except RuntimeError:
            Capture.failed = True
            # torch leaves the stream in force and, before 2.14, the generator as if in a capture.
            torch.cuda.set_stream(current)
            generator = torch.cuda.default_generators[self.stream.device.index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph


class Operations(TorchDispatchMode):
    """Notes each operation with all that a graph would freeze of it: numbers, shapes, places.

    Args:
        device: Where the work is done; of tensors elsewhere the values are frozen as well.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.noted: list[tuple[str, list[object]]] = []
        self._made: dict[int, int] = {}  # memory by the operation that has made it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls the operation."""
        if func.namespace == "profiler":  # marks of the optimizer for a profiler, no work
            return func(*args, **(kwargs or {}))
        given: list[Any] = tree_leaves((args, kwargs))
        self.noted.append((func.name(), [self._frozen(value) for value in given]))
        result = func(*args, **(kwargs or {}))
        known = {_place(value) for value in given}
        for place in {_place(value) for value in tree_leaves(result)} - known:
            self._made[place] = len(self.noted)
        return result

    def _frozen(self, value: Any) -> object:
        if not isinstance(value, torch.Tensor):
            return repr(value)  # nan, too, is like itself
        place, values = _place(value), None
        if value.device.type == "cpu" != self.device.type:
            values = repr(value.tolist())
        where = ("made", self._made[place]) if place in self._made else place
        return where, value.shape, value.dtype, values

    def first_unlike(self, other: "Operations") -> str | None:
        """The first operation that differs, by its name; None: none does."""
        for ours, theirs in zip(self.noted, other.noted, strict=False):
            if ours != theirs:
                return ours[0]
        same = len(self.noted) == len(other.noted)
        return None if same else max(self.noted, other.noted, key=len)[-1][0]


def _place(value: Any) -> int:
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return 0
    return value.untyped_storage().data_ptr()


def _host_generators(device: torch.device) -> list[object]:
    """Where the generators stand whose numbers a graph would freeze."""
    states: list[object] = [random.getstate(), pickle.dumps(np.random.get_state())]
    return states if device.type == "cpu" else [*states, torch.get_rng_state().tolist()]


@contextlib.contextmanager
def _explained(kind: type[NotCapturable] = NotCapturable) -> Generator[None]:
    """Says of an error why it is one: the innermost, over which torch may raise another."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error) and kind is NotCapturable:
            raise  # too little for the work itself, not for a graph of it alone
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
def put_back(
    model: nn.Module,
    device: torch.device,
    places: Callable[[], Iterable[tuple[object, torch.Tensor]]] = tuple,
) -> Generator[None]:
    """Puts back, in place, a model, what else is named, and the random generators.

    Args:
        model: Its parameters, buffers, and the attributes of its modules.
        device: Whose generator draws.
        places: Other tensors under names; those that are new afterwards are zeroed.
    """

    def held() -> list[tuple[object, torch.Tensor]]:
        return [*tensors(model), *places()]

    before = {key: value.detach().clone() for key, value in held()}
    attributes = [(vars(module), vars(module).copy()) for module in model.modules()]
    drawn, drawn_by_numpy = random_state(device, ALONE), np.random.get_state()
    try:
        yield
    finally:
        for key, value in held():
            value.detach().copy_(before[key]) if key in before else value.zero_()
        for now, then in attributes:
            now.clear()
            now.update(then)
        load_random_state(drawn, device, ALONE)
        np.random.set_state(drawn_by_numpy)


def tensors(model: nn.Module) -> list[tuple[object, torch.Tensor]]:
    """Not its state_dict, which lacks some buffers and may hold what is no tensor."""
    return [*model.named_parameters(), *model.named_buffers()]
