"""What no CUDA graph can hold: `engine=auto` trains it eagerly, bit for bit."""

import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from comparison import assert_equal_runs
from cuda_stand_in import NOT_PERMITTED, SYNCHRONIZING, StandIn
from processes import TINY
from torch import nn

from trainer.config.overrides import compose_run
from trainer.models.options import VGG
from trainer.storage import checkpoint, run_folder
from trainer.training.attempt import attempt
from trainer.training.graph import GraphEngine
from trainer.training.preparation import prepare
from trainer.training.range_test import run_range_test
from trainer.training.update import EagerEngine

RUN = [*TINY, "epochs=2", "log.progress=none", "amp=none", "checkpoint.every_steps=2",
       "checkpoint.keep_last=9", "optimizer=adam", "data.val_size=30",
       "data.drop_last=false"]  # fmt: skip


class Network(nn.Module):
    """With dropout, batch norm and a buffer that is not saved; `part` is what it does beside."""

    def __init__(self, part: Callable[["Network", torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.Dropout(0.2))
        self.last = nn.Linear(256, 10)
        self.register_buffer("images", torch.zeros((), dtype=torch.int64), persistent=False)
        self.part, self.calls = part, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.images += len(images)
        return self.last(self.part(self, self.layers(images)).flatten(1))


# Each comes to the same every time, so nothing but the waiting gives it away.
def item(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x * x.new_full((), 0.5).item()


def mask(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x - x[x == x].mean()  # all of it


def branch(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.square().mean() >= 0 else x


def item_in_evaluations(network: Network, x: torch.Tensor) -> torch.Tensor:
    return x if network.training else item(network, x)


def python_chance(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x if random.random() < 0.5 else x * 2  # and half of the time it does the same twice


def python_number(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x * random.random()


def numpys_number(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x * np.random.rand()


def count(network: Network, x: torch.Tensor) -> torch.Tensor:
    return x / network.calls


def count_by_threes(network: Network, x: torch.Tensor) -> torch.Tensor:
    return x if network.calls % 3 else x + 1


def turns(network: Network, x: torch.Tensor) -> torch.Tensor:
    return x * network.last.weight[network.calls % 2, 0]  # the same shapes in another place


def other_memory(network: Network, x: torch.Tensor) -> torch.Tensor:
    before, network.kept = vars(network).get("kept", x), x.detach().clone()
    return x + before.mean()


def nothing(_: Network, x: torch.Tensor) -> torch.Tensor:
    return x


class Trained:
    """Trains a network of a kind, in a folder for each run."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, stand_in: StandIn) -> None:
        self.folder, self.patch, self.stand_in = folder, patch, stand_in

    def __call__(
        self, part: Callable[[Network, torch.Tensor], torch.Tensor], engine: str, *more: str,
        cut: Path | None = None, expect: int = 0,
    ) -> Path:  # fmt: skip
        self.patch.setattr(VGG, "build", lambda *_: Network(part))
        self.stand_in.new_process()
        np.random.seed(0)
        name = f"{engine}{'_cut' if cut else ''}"
        folder, commit = self.folder / name, None
        if cut is None:
            folder.mkdir()
        else:
            shutil.copytree(cut, folder)
            (commit,) = (c for c in run_folder.checkpoints(folder) if "00000008" in c.name)
            commit = checkpoint.find(commit)
        config = compose_run([*RUN, f"engine={engine}", *more]).config
        assert attempt(config, folder, commit, []).code == expect
        return folder


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> Trained:
    return Trained(tmp_path, monkeypatch, stand_in)


def warnings(folder: Path) -> list[str]:
    lines = (folder / "trainer.log").read_text().splitlines()
    return [line.partition(" WARNING ")[2] for line in lines if " WARNING " in line]


def engine_of(folder: Path) -> str:
    return json.loads((folder / "summary.json").read_text())["engine"]


def test_a_network_that_can_be_captured_is(trained: Trained, stand_in: StandIn) -> None:
    auto = trained(nothing, "auto")
    assert len(stand_in.graphs) == 3, "whole batches, a short one, an evaluation"
    assert warnings(auto) == []
    assert engine_of(auto) == "graph"
    eager = trained(nothing, "eager")
    assert engine_of(eager) == "eager"
    assert_equal_runs(eager, auto)
    assert_equal_runs(eager, trained(nothing, "auto", cut=auto))


@pytest.mark.parametrize("noticed", [True, False], ids=["in the rehearsal", "in the capture"])
@pytest.mark.parametrize("part", [item, mask, branch])
def test_a_network_that_makes_the_host_wait_is_trained_eagerly_with_one_warning(
    part: Callable[[Network, torch.Tensor], torch.Tensor], noticed: bool, trained: Trained,
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not noticed:  # torch's check does not know every operation
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda _: None)
    why = SYNCHRONIZING if noticed else NOT_PERMITTED
    said = f"warning: engine=auto: a step cannot be captured: {why}; the run goes on eagerly"
    eager, auto = trained(part, "eager"), trained(part, "auto")
    resumed = trained(part, "auto", cut=auto)
    assert not stand_in.graphs
    assert not stand_in.spoilt
    assert warnings(eager) == []
    assert warnings(auto) == [said]
    assert warnings(resumed) == [said, said], "of the run before it is copied, and its own"
    assert "Traceback" in (auto / "trainer.log").read_text(), "for who wants to know where"
    assert [engine_of(folder) for folder in (eager, auto, resumed)] == ["eager"] * 3
    assert_equal_runs(eager, auto)
    assert_equal_runs(eager, resumed)


DRAWN = "it draws random numbers on the host"
CHANGES = "it is not the same from one time to the next (aten::{})"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (python_chance, DRAWN),
        (python_number, DRAWN),
        (numpys_number, DRAWN),
        (count, CHANGES.format("div.Tensor")),
        (count_by_threes, CHANGES.format("clone")),
        (turns, CHANGES.format("select.int")),
        (other_memory, CHANGES.format("mean")),
    ],
)
def test_what_a_network_decides_in_python_is_not_frozen(
    part: Callable[[Network, torch.Tensor], torch.Tensor], why: str, trained: Trained,
    stand_in: StandIn,
) -> None:  # fmt: skip
    eager, auto = trained(part, "eager"), trained(part, "auto")
    assert not stand_in.graphs
    assert warnings(auto) == [
        f"warning: engine=auto: a step cannot be captured: {why}; the run goes on eagerly"
    ]
    assert_equal_runs(eager, auto)


def test_blocking_launches_are_not_captured(
    trained: Trained, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    eager, auto = trained(nothing, "eager"), trained(nothing, "auto")
    assert not stand_in.graphs
    assert warnings(auto) == [
        "warning: engine=auto: a step cannot be captured: CUDA_LAUNCH_BLOCKING makes the host wait "
        "for every operation; the run goes on eagerly"
    ]
    assert_equal_runs(eager, auto)


def test_after_a_failed_capture_there_is_none_in_the_same_process(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for part in (fails_at(7, NO_MEMORY), nothing):
        monkeypatch.setattr(VGG, "build", lambda *_, part=part: Network(part))
        run = prepare(compose_run(RUN).config, None)
        assert isinstance(run.engine, EagerEngine)
    first, second = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "cannot be captured: CUDA out of memory. Tried to allocate 2 GiB.;" in first
    assert "cannot be captured: an earlier capture has failed in this process;" in second
    stand_in.new_process()
    assert isinstance(prepare(compose_run(RUN).config, None).engine, GraphEngine)


@pytest.mark.parametrize("noticed", [True, False], ids=["in the rehearsal", "in the capture"])
def test_an_evaluation_alone_runs_eagerly_unless_its_capture_spoilt_the_others(
    noticed: bool, trained: Trained, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not noticed:
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda _: None)
    eager, auto = trained(item_in_evaluations, "eager"), trained(item_in_evaluations, "auto")
    why = f"{SYNCHRONIZING}; it runs" if noticed else f"{NOT_PERMITTED}; the run goes on"
    said = f"warning: engine=auto: the evaluation cannot be captured: {why} eagerly"
    assert warnings(auto) == [said]
    assert engine_of(auto) == ("graph" if noticed else "eager")
    assert_equal_runs(eager, auto)


@pytest.mark.parametrize(
    ("part", "what"), [(item, "a step"), (item_in_evaluations, "the evaluation")]
)
def test_engine_graph_refuses_in_one_line(
    part: Callable[[Network, torch.Tensor], torch.Tensor], what: str, trained: Trained,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = trained(part, "graph", expect=2)
    assert capsys.readouterr().err == (
        f"trainer: error: engine=graph: {what} cannot be captured: {SYNCHRONIZING}; engine=auto "
        "takes eager\n"
    )
    assert not run_folder.checkpoints(folder)
    assert not (folder / "summary.json").exists()


def fails_at(call: int, error: Exception) -> Callable[[Network, torch.Tensor], torch.Tensor]:
    calls = itertools.count(1)

    def part(_: Network, x: torch.Tensor) -> torch.Tensor:
        if next(calls) == call:
            raise error
        return x

    return part


NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (1, NO_MEMORY),
        (3, NO_MEMORY),  # the strict rehearsal
        (3, torch.AcceleratorError("CUDA error: out of memory\nCompile with ...")),
    ],
)
def test_too_little_memory_is_said_to_be_that(
    call: int, error: Exception, engine: str, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(fails_at(call, error), engine, expect=1)
    assert capsys.readouterr().err == (
        "trainer: error: batch_size=20: the GPU is out of memory; accumulate=2 or a smaller batch "
        "needs less\n"
    )


def test_too_little_memory_for_a_graph_alone_trains_eagerly(trained: Trained) -> None:
    eager, auto = trained(nothing, "eager"), trained(fails_at(7, NO_MEMORY), "auto")
    assert warnings(auto) == [
        "warning: engine=auto: a step cannot be captured: CUDA out of memory. Tried to allocate 2 "
        "GiB.; the run goes on eagerly"
    ]
    assert_equal_runs(eager, auto)


def test_a_networks_own_error_is_not_hidden(trained: Trained) -> None:
    with pytest.raises(RuntimeError, match=r"^shapes$"):
        trained(fails_at(1, RuntimeError("shapes")), "auto")


def test_a_range_test_falls_back_as_well(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setattr(VGG, "build", lambda *_: Network(item))
    tests = []
    for engine in ("eager", "auto"):
        config = compose_run([*RUN, f"engine={engine}"]).config
        tests.append(run_range_test(config, lowest=1e-4, highest=1e-1, updates=20))
    assert tests[0] == tests[1]
