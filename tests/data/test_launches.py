"""How many operations of a batch a GPU would launch: numbers that may only fall."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import Augmentation

CPU = torch.device("cpu")
BATCH = 32
# Cutout and mixup: launches of a batch cut by a number on the device, as a graph does it.
BUDGET = {(False, False): 8, (True, False): 10, (False, True): 13, (True, True): 15}


class Launches(TorchDispatchMode):
    """Notes each operation that computes: all but views and bare memory."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if not func.is_view and not func.__name__.startswith("empty"):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def launches(work: Callable[[], object]) -> list[str]:
    with Launches() as counted:
        work()
    return counted.names


def test_what_computes_is_counted_and_a_view_is_not() -> None:
    values = torch.arange(12.0)
    assert launches(lambda: values.view(3, 4).T[1:].unbind()) == []
    assert launches(lambda: values[::2].add(1).mul_(2).clone()) == [
        "add.Tensor", "mul_.Tensor", "clone.default",
    ]  # fmt: skip


@pytest.mark.parametrize(("cutout", "mixup"), BUDGET)
def test_a_batch_takes_no_more_launches_than_its_budget(cutout: bool, mixup: bool) -> None:
    images = synthetic.make(0, 150, 10)[0]
    loader = DeviceLoader(images, CPU, batch_size=BATCH, padding=4, cutout=8 * cutout, mixup=mixup)
    draw = Augmentation(padding=4, flip=True, cutout=cutout, mixup=1.0 * mixup, batch_size=BATCH)
    loader.load(draw.table(0, 0, len(images)))
    step = torch.tensor(2)
    by_graph = launches(lambda: loader.batch_at(step, BATCH))
    assert len(by_graph) <= BUDGET[cutout, mixup], by_graph
    table = draw.table(0, 1, len(images))
    loader.load(table)
    eagerly = launches(lambda: loader.batch(table, 2))
    assert len(eagerly) <= BUDGET[cutout, mixup] - 2, eagerly
