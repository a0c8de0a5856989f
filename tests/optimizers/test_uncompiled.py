"""Our optimizers, which leave the compiler out, beside torch's own."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from trainer.optimizers.uncompiled import uncompiled

KINDS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True, "fused": True}),
    (torch.optim.Adam, {"weight_decay": 5e-4, "fused": True}),
    (torch.optim.AdamW, {"weight_decay": 0.1}),
]


def trained(kind: type[torch.optim.Optimizer], options: dict[str, Any], model: nn.Module) -> Any:
    """Some steps with falling LRs, and a state that was saved and loaded in between."""
    optimizer = kind(model.parameters(), lr=0.1, **options)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    images = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    for step in range(6):
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
        scheduler.step()
        if step == 2:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return optimizer


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_it_computes_what_torchs_own_does(kind: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    mine = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    theirs = copy.deepcopy(mine)
    optimizer, expected = trained(uncompiled(kind), options, mine), trained(kind, options, theirs)
    assert isinstance(optimizer, kind)
    for ours, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, other)
    states = zip(optimizer.state.values(), expected.state.values(), strict=True)
    for ours, other in states:
        assert ours.keys() == other.keys()
        assert all(torch.equal(ours[key], other[key]) for key in ours)
    assert optimizer.state_dict()["param_groups"] == expected.state_dict()["param_groups"]


def test_hooks_around_an_update_are_called() -> None:
    weight, called = nn.Parameter(torch.ones(2)), list[str]()
    optimizer = uncompiled(torch.optim.SGD)([weight], lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    weight.square().sum().backward()
    optimizer.step()
    assert called == ["before", "after"]
    assert weight.requires_grad
    assert optimizer.step.__wrapped__ is not None, "torch's profiling is around it"
