"""CUDA tensors without a GPU: shapes, types, layouts and devices, and no numbers.

The real build of a run, its loader, step and evaluation go over fake tensors that say they are on
CUDA. torch refuses what mixes devices and what depends on data. Three things are replaced, because
they ask a driver or have no fake kernel: the engine of the backward pass (here the same nodes in
the same order), moving a model, and the fused optimizers (here their tensors are checked).
"""

import contextlib
import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.cuda.amp.common
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

import trainer.training.build
import trainer.training.update
from trainer.config.overrides import compose_run
from trainer.training.graph import CapturedEvaluator, GraphEngine, StaticUpdate
from trainer.training.run import Run

CUDA = torch.device("cuda:0")
KEPT = list[Any]()  # modes: a tensor that outlives its own crashes the process when it is freed
FUSED = ("_fused_sgd_", "_fused_adam_", "_fused_adamw_")
# New memory and new names for old memory: nothing is launched.
NOT_LAUNCHED = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach",
                "lift_fresh", "_unsafe_view", "_reshape_alias")  # fmt: skip
# Operations of two kernels; more that they launch for some shapes is not counted.
TWO_KERNELS = ("cudnn_batch_norm", "cudnn_batch_norm_backward", "max_pool2d_with_indices_backward",
               "nll_loss_backward")  # fmt: skip


@dataclass
class Launches:
    """What is launched on the device, in its order: an operation, twice if it has two kernels.

    Attributes:
        names: As `convolution`.
    """

    names: list[str] = field(default_factory=list)

    def note(self, function: Any, args: Any) -> None:
        schema = function._schema
        view = any(r.alias_info and not r.alias_info.is_write for r in schema.returns)
        space, _, name = schema.name.partition("::")
        if space == "aten" and not view and name not in NOT_LAUNCHED:
            if name == "clone" and args[0].dtype == torch.uint8:
                return  # cuDNN's notes of a batch norm: only a node asked by hand keeps its own
            self.names.append(name)
            both = name == "convolution_backward" and all(args[-1][:2])  # of weights and of inputs
            if name in TWO_KERNELS or both:
                self.names.append(name)


class Device(TorchDispatchMode):
    """Stands above the fake tensors: counts, and does what they have no meaning for."""

    def __init__(self, launches: Launches) -> None:
        super().__init__()
        self.launches = launches

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.launches.note(function, args)
        name = function._schema.name.partition("::")[2]
        if name in FUSED or name.startswith("_foreach"):  # of which fake tensors do not ask it
            given = [leaf for leaf in tree_leaves((args, kwargs)) if torch.is_tensor(leaf)]
            assert {tensor.device for tensor in given} == {CUDA}, "a tensor is not on the device"
        if name in FUSED:
            _check_layouts(*(leaf for leaf in args if isinstance(leaf, list | tuple)))
            return None
        return function(*args, **(kwargs or {}))


def _check_layouts(parameters: list[torch.Tensor], *others: list[torch.Tensor]) -> None:
    for other in others:
        for parameter, tensor in zip(parameters, other, strict=False):
            assert not tensor.ndim or tensor.stride() == parameter.stride(), "layouts differ"


def backward(loss: torch.Tensor, *_: object, **__: object) -> None:
    """As `Tensor.backward`, by its nodes, the one made last first."""
    assert loss.device == CUDA
    due = {loss.grad_fn: {0: torch.ones_like(loss)}}
    waiting = [(-loss.grad_fn._sequence_nr(), 0, loss.grad_fn)]
    number = 0
    while waiting:
        node = heapq.heappop(waiting)[2]
        given = due.pop(node)
        if hasattr(node, "variable"):
            _accumulate(node.variable, given[0])
            continue
        results = node(*(given.get(n) for n in range(len(node._input_metadata))))
        results = results if isinstance(results, tuple) else (results,)
        for (target, place), result in zip(node.next_functions, results, strict=False):
            if target is None or result is None:
                continue
            if target not in due:
                number += 1
                heapq.heappush(waiting, (-target._sequence_nr(), number, target))
            places = due.setdefault(target, {})
            asked = target.variable if hasattr(target, "variable") else None
            asked = target._input_metadata[place] if asked is None else asked
            result = result.sum_to_size(asked.shape).to(asked.dtype)
            places[place] = places[place] + result if place in places else result


def _accumulate(leaf: torch.Tensor, gradient: torch.Tensor) -> None:
    """As autograd's last node, which takes a first gradient as it is if its layout is right."""
    if isinstance(leaf, nn.Parameter):
        assert gradient.stride() == leaf.stride(), "layouts differ"
    with torch.no_grad():
        if leaf.grad is None:
            leaf.grad = gradient.detach()
        else:
            leaf.grad += gradient


def _apply(module: nn.Module, change: Callable[..., Any], recurse: bool = True) -> nn.Module:
    for child in module.children():
        child._apply(change)
    with torch.no_grad():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(change(value), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = change(value)
    return module


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def fake_cuda() -> Generator[Launches]:
    """Runs with `device=cuda` are built of fake tensors; gives what they launch."""
    launches = Launches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeTensorMode, "avoid_device_init", True)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        # of the same size; torch asks the driver whether cuDNN convolves in the other
        patch.setitem(trainer.training.update.PRECISIONS, "bf16", torch.float16)
        patch.setattr(torch.Tensor, "backward", backward)
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: tensor)
        patch.setattr(nn.Module, "_apply", _apply)
        patch.setattr(trainer.training.build, "choose_device", lambda *_: CUDA)
        patch.setattr(trainer.training.build, "load_data", _real(trainer.training.build.load_data))
        patch.setattr(Run, "table", _real(Run.table))
        modes = FakeTensorMode(allow_non_fake_inputs=True), Device(launches)
        KEPT.append(modes)
        with modes[0], modes[1]:
            yield launches


@dataclass
class FakeRun:
    """A run on fake CUDA tensors.

    Attributes:
        run: The run.
        launches: Of everything so far.
    """

    run: Run
    launches: Launches

    @property
    def static(self) -> StaticUpdate:
        """The step."""
        assert isinstance(self.run.engine, GraphEngine)
        return self.run.engine.static

    def load(self) -> list[str]:
        """Cuts a batch; gives what it launches."""
        before = len(self.launches.names)
        self.static.loader.batch_at(self.static.sums.step, self.static.size(0))
        return self.launches.names[before:]

    def step(self) -> list[str]:
        """Takes a step as a graph would hold it; gives what it launches."""
        before = len(self.launches.names)
        self.static(self.static.size(0))
        return self.launches.names[before:]

    @torch.no_grad()
    def evaluate(self) -> list[str]:
        """Evaluates as a graph would; gives what it launches."""
        evaluator, before = self.run.evaluator, len(self.launches.names)
        assert isinstance(evaluator, CapturedEvaluator)
        model = self.run.evaluated.eval()
        evaluator.evaluator.add_all(model, *evaluator._sums)
        model.train()
        return self.launches.names[before:]


@contextlib.contextmanager
def fake_run(*arguments: str) -> Generator[FakeRun]:
    """A run with `device=cuda`, its first epoch's table and LRs in their places."""
    with fake_cuda() as launches:
        run = trainer.training.build.build_run(compose_run(["device=cuda", *arguments]).config)
        fake = FakeRun(run, launches)
        fake.static.begin(run.table(0))
        yield fake
