import os
from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cuda_stand_in import StandIn
    from standard_runs import StandardRuns

# Tests share the machine with each other; one thread each is faster than two that wait for one
# another, and results do not depend on what else runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# cuBLAS reads it once in a process, whichever test comes first.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import faults  # noqa: F401  # loads the fault library into every process started from here
import pytest
import torch

# Asked once before anything is hidden: the driver reads CUDA_VISIBLE_DEVICES at the first question
# of a process and never again.
THERE_IS_A_GPU = torch.cuda.is_available()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hides the GPU from a test that is not marked `cuda`, from its fixtures and its children.

    Around the whole test: a fixture of a module comes before those of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("cuda") is None:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setattr(torch.cuda, "device_count", lambda: 0)
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") is not None and not THERE_IS_A_GPU:
        pytest.skip("no CUDA device")


@pytest.fixture
def stand_in() -> "Generator[StandIn]":
    """CUDA graphs on the CPU."""
    from cuda_stand_in import standing_in  # the trainer is not imported for tests without it

    with standing_in() as here:
        yield here


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> "StandardRuns":
    """Finished runs, each trained when it is first asked for."""
    from standard_runs import StandardRuns

    return StandardRuns(tmp_path_factory.mktemp("standard"))
