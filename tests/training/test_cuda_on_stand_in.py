"""The tests that a GPU must pass, through the stand-in for one: under `scripts/test --all`."""

import functools
from collections.abc import Generator

import pytest
import test_cuda
import torch
from cuda_stand_in import as_cuda, stay_as_cuda
from processes import Trainer, train
from test_cuda import *  # noqa: F403  # the tests themselves

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    if "evaluation_repeats" in request.node.name and "fp16" in request.node.name:
        pytest.skip("what was trained in fp16 is evaluated in fp32 on a CPU")
    monkeypatch.setattr(test_cuda, "DEVICE", torch.device("cpu"))
    monkeypatch.setattr(test_cuda, "train", functools.partial(train, prepare=stay_as_cuda))
    monkeypatch.setattr(test_cuda, "Trainer", functools.partial(Trainer, prepare=stay_as_cuda))
    if "killed" in request.node.name:  # whole runs, some of them
        more = ["data.train_images=100", "batch_size=20"]
    elif "agree" in request.node.name or "resumed" in request.node.name:  # of three steps
        more = []
    else:
        more = ["data.train_images=500", "batch_size=20"]
    monkeypatch.setattr(test_cuda, "RECIPE", [*test_cuda.RECIPE, *more])
    with as_cuda():
        yield
