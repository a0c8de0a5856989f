"""CUDA graphs on the CPU: what is frozen into a graph is frozen here, too.

A capture notes the operations of its body, below autograd, and computes nothing: every tensor that
they wrote is put back, and what they made holds rubbish. A replay calls the same operations on the
same memory, and copies what they make into the places where the first ones lay. A Python number of
the body is thus replayed as it was; what makes the host wait for the device is refused in a capture
and under `torch.cuda.set_sync_debug_mode("error")`. Streams order nothing here.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import trainer.inference.trained
import trainer.optimizers.build
import trainer.training.build
import trainer.training.device
import trainer.training.run
from trainer.training.capture import Capture

# Their results, or the size of their results, are read by the host.
WAITS = ("_local_scalar_dense", "equal", "nonzero", "masked_select", "bincount", "_unique",
         "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave")  # fmt: skip
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")  # waits if by a mask
READ_BY_THE_HOST = ("cpu", "numpy", "tolist")  # which are no operations where all is on the CPU
SYNCHRONIZING = "called a synchronizing CUDA operation"
NOT_PERMITTED = "CUDA error: operation not permitted when stream is capturing"
INVALIDATED = "CUDA error: operation failed due to a previous error during capture"


def waits(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation makes the host wait for the device."""
    name = function._schema.name.partition("::")[2]
    if name in INDEXED and not (name != "index" and args[2].numel() == 1):  # a filled mask
        return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return name in WAITS


class Watch(TorchDispatchMode):
    """Refuses what makes the host wait; counts the operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._reading = pytest.MonkeyPatch()

    def __enter__(self) -> Any:
        for name in READ_BY_THE_HOST:
            self._reading.setattr(torch.Tensor, name, lambda *_, **__: self.refuse())
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._reading.undo()
        super().__exit__(*error)

    def refuse(self) -> None:
        raise RuntimeError(SYNCHRONIZING)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.count += 1
        if waits(function, args):
            self.refuse()
        return self.call(function, args, kwargs or {})

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        return function(*args, **kwargs)


@dataclass
class Call:
    """An operation, the memory it reads and writes, and where its fresh results lay: None: none."""

    function: Any
    args: Any
    kwargs: Any
    places: list[torch.Tensor | None]

    def replay(self) -> None:
        results = tree_leaves(self.function(*self.args, **self.kwargs))
        for place, result in zip(self.places, results, strict=True):
            if place is not None:
                place.copy_(result)


class Recording(Watch):
    """Notes operations, and at its end undoes them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._made: dict[int, torch.Tensor] = {}  # by their storage, as below
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._random = torch.get_rng_state()

    def refuse(self) -> None:
        raise torch.AcceleratorError(NOT_PERMITTED)

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        # Whatever is read is put aside, written or not: batch norm's schema says nothing of the
        # running statistics that it writes.
        read = [t.untyped_storage() for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)]
        for storage in read:
            if storage._cdata not in self._made and storage._cdata not in self._before:
                self._before[storage._cdata] = storage, storage.clone()
        result = function(*_within(function, args), **kwargs)
        known = {storage._cdata for storage in read}
        places: list[torch.Tensor | None] = []
        for made in tree_leaves(result):
            fresh = torch.is_tensor(made) and made.untyped_storage()._cdata not in known
            places.append(made.detach() if fresh else None)
            if fresh:
                self._made[made.untyped_storage()._cdata] = places[-1]
        args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs))
        self.calls.append(Call(function, args, kwargs, places))
        return result

    def undo(self) -> None:
        for storage, before in self._before.values():
            storage.copy_(before)
        for made in self._made.values():
            made.fill_(float("nan") if made.is_floating_point() else 1)
        torch.set_rng_state(self._random)


def _within(function: Any, args: Any) -> Any:
    """The arguments of a capture, whose indices may be rubbish: nothing is computed there."""
    if function._schema.name != "aten::index_select":
        return args
    values, dim, index = args
    return values, dim, index.clamp(0, values.shape[dim] - 1)


class Graph:
    """In place of `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.calls: list[Call] | None = None
        self.made = set[int]()  # memory that belongs to it

    def replay(self) -> None:
        assert self.calls is not None, "not captured, or its generator has another state now"
        with torch.no_grad():
            for call in self.calls:
                call.replay()


class Stream:
    """In place of `torch.cuda.Stream`."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_stream(self, other: "Stream") -> None:
        pass


@dataclass
class StandIn:
    """What the stand-in for CUDA has seen.

    Attributes:
        graphs: All that were captured.
        stream: The one in force.
        spoilt: Whether a failed capture has left the random generator unusable.
        failed: Whether one has failed: before torch 2.13 the next one in the process asserts.
        sync_debug_mode: 2: waiting is an error.
    """

    graphs: list[Graph] = field(default_factory=list)
    stream: Stream = field(default_factory=Stream)
    spoilt: bool = False
    failed: bool = False
    sync_debug_mode: int = 0
    _watch: Watch | None = None

    @contextlib.contextmanager
    def on(self, stream: Stream) -> Generator[None]:
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextlib.contextmanager
    def graph(self, graph: Graph, pool: Any, stream: Stream, **_: Any) -> Generator[None]:
        """Like torch's, a failed one leaves its stream in force and speaks of something else."""
        assert not self.failed, "INTERNAL ASSERT FAILED: captures_underway.empty()"
        before, self.stream = self.stream, stream
        recording = Recording()
        try:
            with recording:
                yield
        except Exception:
            self.spoilt = self.failed = True
            raise torch.AcceleratorError(INVALIDATED)  # noqa: B904  # its cause is a context only
        finally:
            recording.undo()
        self.stream, graph.calls = before, recording.calls
        graph.made = {made.untyped_storage().data_ptr() for made in recording._made.values()}
        self.graphs.append(graph)

    def new_process(self) -> None:
        """Forgets that a capture has failed."""
        self.failed = Capture.failed = False

    def set_sync_debug_mode(self, mode: int | str) -> None:
        self.sync_debug_mode = {"default": 0, "warn": 1, "error": 2}.get(mode, mode)  # type: ignore
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._watch = Watch() if self.sync_debug_mode == 2 else None
        if self._watch is not None:
            self._watch.__enter__()

    # of the random generator
    def clone_state(self) -> "StandIn":
        return self

    def graphsafe_set_state(self, _: object) -> None:
        self.spoilt = False
        for graph in self.graphs:  # they draw from the state before
            graph.calls = None


def _as_on_cuda(choose_engine: Callable[..., str]) -> Callable[..., str]:
    return lambda engine, _, **more: choose_engine(engine, torch.device("cuda"), **more)


def _lrs_in_tensors(place_lrs: Callable[..., None]) -> Callable[..., None]:
    def place(optimizer: torch.optim.Optimizer) -> None:
        place_lrs(optimizer)
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]))

    return place


@contextlib.contextmanager
def as_cuda() -> Generator[StandIn]:
    """Runs with `device=cuda` train here, in the precisions that they would have there."""
    with standing_in() as here, pytest.MonkeyPatch.context() as patch:
        taken = trainer.training.build, trainer.inference.trained, trainer.training.device
        for module in taken:
            patch.setattr(module, "choose_device", lambda *_: torch.device("cpu"))
            patch.setattr(module, "choose_precision", _precision)
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        patch.setattr(torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state())
        yield here


def _precision(amp: str, _: torch.device) -> str:
    return "bf16" if amp == "auto" else amp


def stay_as_cuda() -> None:
    """For a process of its own: as CUDA from here to its end."""
    STAYING.enter_context(as_cuda())


STAYING = contextlib.ExitStack()


@contextlib.contextmanager
def standing_in() -> Generator[StandIn]:
    """Runs with `device=cpu` take the engine that they would take on CUDA, LRs in tensors."""
    here = StandIn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Capture, "failed", False)
        for name, value in {
            "CUDAGraph": Graph,
            "Stream": Stream,
            "graph": here.graph,
            "graph_pool_handle": object,
            "stream": here.on,
            "current_stream": lambda _=None: here.stream,
            "set_stream": lambda stream: setattr(here, "stream", stream),
            "set_sync_debug_mode": here.set_sync_debug_mode,
            "get_sync_debug_mode": lambda: here.sync_debug_mode,
            "default_generators": {None: here},
        }.items():
            patch.setattr(torch.cuda, name, value)
        chosen = _as_on_cuda(trainer.training.device.choose_engine)
        for module in (trainer.training.build, trainer.training.device):
            patch.setattr(module, "choose_engine", chosen)
        placed = _lrs_in_tensors(trainer.optimizers.build.place_lrs)
        for module in (trainer.optimizers.build, trainer.training.run):
            patch.setattr(module, "place_lrs", placed)
        yield here
