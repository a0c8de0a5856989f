"""The stand-in for CUDA graphs notices what a graph would freeze, and what a capture forbids."""

from collections.abc import Callable

import pytest
import torch
from cuda_stand_in import INVALIDATED, NOT_PERMITTED, SYNCHRONIZING, Recording, StandIn
from torch import nn

from trainer.optimizers.uncompiled import uncompiled

RATES = (0.1, 0.2, 0.4)


class Work:
    """A training in four lines, the way its body is to be written for a graph, and otherwise."""

    def __init__(self, *, momentum: float = 0.0) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.optimizer = uncompiled(torch.optim.SGD)(
            self.model.parameters(), torch.tensor(0.1), momentum=momentum, fused=True
        )
        self.images = torch.randn(len(RATES), 8, 4)
        self.rates = torch.tensor(RATES)
        self.step = torch.zeros((), dtype=torch.int64)
        self.place = 0  # the same in Python

    def update(self, images: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.model(images).square().sum().backward()
        self.optimizer.step()
        self.step += 1

    def place_lr(self) -> None:
        lr = self.rates.index_select(0, self.step.view(1))[0]
        self.optimizer.param_groups[0]["lr"].copy_(lr)

    def right(self) -> None:
        self.place_lr()
        self.update(self.images.index_select(0, self.step.view(1))[0])

    def python_lr(self) -> None:
        self.optimizer.param_groups[0]["lr"] = RATES[self.place]
        self.update(self.images.index_select(0, self.step.view(1))[0])

    def python_place(self) -> None:
        self.place_lr()
        self.update(self.images[self.place])

    def item(self) -> None:
        self.update(self.images[int(self.step)])

    def mask(self) -> None:
        self.update(self.images[0][self.images[0, :, 0] > 0])

    def branch(self) -> None:
        self.update(self.images[0] if self.step > 0 else self.images[1])

    def to_list(self) -> None:
        self.update(self.images[self.step.tolist()])

    def train(self, body: Callable[[], None]) -> list[torch.Tensor]:
        for self.place in range(len(RATES)):
            body()
        return self.state()

    def state(self) -> list[torch.Tensor]:
        return [value.clone() for value in self.model.state_dict().values()]


def captured(body: Callable[[], None]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=None, stream=torch.cuda.Stream()):
        body()
    return graph


def differs(name: str, *, momentum: float = 0.0) -> bool:
    """Whether a body comes to other numbers as a graph than run by run."""
    eager, graph = Work(momentum=momentum), Work(momentum=momentum)
    random = torch.get_rng_state()
    ours = eager.train(getattr(eager, name))
    torch.set_rng_state(random)
    theirs = graph.train(captured(getattr(graph, name)).replay)
    return not all(map(torch.equal, ours, theirs))


def test_a_graph_that_reads_from_memory_gives_the_same_numbers(stand_in: StandIn) -> None:
    assert not differs("right")
    assert len(stand_in.graphs) == 1


def test_a_python_lr_is_frozen(stand_in: StandIn) -> None:
    assert differs("python_lr")


def test_a_python_place_is_frozen(stand_in: StandIn) -> None:
    assert differs("python_place")


def test_an_optimizers_first_step_is_frozen(stand_in: StandIn) -> None:
    assert differs("right", momentum=0.9)


@pytest.mark.parametrize("name", ["item", "mask", "branch", "to_list"])
def test_what_waits_fails_as_on_cuda(name: str, stand_in: StandIn) -> None:
    work = Work()
    body = getattr(work, name)
    before, random = work.state(), torch.get_rng_state()
    stream = stand_in.stream
    with pytest.raises(torch.AcceleratorError, match=INVALIDATED) as failed:
        captured(body)
    assert NOT_PERMITTED in str(failed.value.__context__)
    assert stand_in.spoilt
    assert stand_in.stream is not stream, "torch leaves that of the capture in force"
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match=SYNCHRONIZING):
        body()
    torch.cuda.set_sync_debug_mode(0)
    body()  # and elsewhere it may
    work = Work()
    stand_in.new_process()
    with pytest.raises(torch.AcceleratorError):
        captured(getattr(work, name))
    assert all(map(torch.equal, before, work.state()))
    assert work.step == 0
    torch.set_rng_state(random)


def test_a_capture_computes_nothing(stand_in: StandIn) -> None:
    work = Work()
    before, random = work.state(), torch.get_rng_state()
    kept = list[torch.Tensor]()

    def body() -> None:
        work.step.fill_(len(RATES))  # past the end, as a run that goes on there
        work.update(work.images.index_select(0, work.step.view(1))[0])
        kept.append(work.images.sum())

    captured(body)
    assert all(map(torch.equal, before, work.state())), "nor the running statistics of a batch norm"
    assert work.step == 0
    assert torch.equal(random, torch.get_rng_state())
    assert kept[0].isnan(), "what it made holds nothing before a replay"


def test_a_filled_mask_does_not_wait(stand_in: StandIn) -> None:
    values = torch.arange(4.0)

    def body() -> None:
        values[values > 1] = 0.0

    captured(body).replay()
    assert values.tolist() == [0, 1, 0, 0]


def test_a_replay_gives_other_random_numbers(stand_in: StandIn) -> None:
    drawn = torch.zeros(8)
    graph = captured(lambda: drawn.copy_(torch.rand(8)))
    graph.replay()
    first = drawn.clone()
    graph.replay()
    assert not torch.equal(first, drawn)


def test_the_recording_goes_through_every_operation() -> None:
    values = torch.ones(3)
    with Recording() as recording:
        (values * 2).add_(1).view(3, 1)
    assert [call.function._schema.name for call in recording.calls] == [
        "aten::mul", "aten::add_", "aten::view",
    ]  # fmt: skip
