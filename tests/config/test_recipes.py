"""The published recipes: composed by name, their LR in each of the 30 epochs, to the step."""

import functools
import math
from collections.abc import Callable

import pytest
import torch

from trainer.config.choices import options
from trainer.config.fields import Config
from trainer.config.overrides import compose_run
from trainer.schedules import Cosine, MultiStep, StepLR, Warmup

EPOCHS = 30
WARM = 5
OTHERS = {"vgg_bn", "vgg16_bn", "resnet18", "vgg_noam"}
# tests/data/test_regression.py holds their LRs.
REGRESSIONS = {f"linear_regression{v}" for v in ("", "_exponential", "_cosine", "_plateau")}


def count(milestones: list[int], epoch: int) -> int:
    """How many milestones lie at or before the epoch."""
    return sum(milestone <= epoch for milestone in milestones)


def warm(after: Callable[[int], float]) -> Callable[[int], float]:
    """0.001 in epoch 0, 0.0078 more in each, 0.04 in epoch 5, then `after` from its epoch 0."""
    return lambda e: 0.001 + 0.0078 * e if e <= WARM else after(e - WARM)


TRACES: dict[str, Callable[[int], float]] = {
    "vgg_constant": lambda e: 0.01,
    "vgg_steplr": lambda e: 0.01 * 0.2 ** (e // 16),
    "vgg_multistep": lambda e: 0.02 * 0.5 ** count([10, 20], e),
    "vgg_exponential": lambda e: 0.04 * 0.885**e,
    "vgg_warmup_steplr": warm(lambda e: 0.04 * 0.2 ** (e // 10)),
    "vgg_warmup_multistep": warm(lambda e: 0.04 * 0.5 ** count([5, 10, 15, 20, 25], e)),
    "vgg_warmup_exponential": warm(lambda e: 0.04 * 0.885**e),
    "vgg_warmup_cosine": warm(lambda e: 0.04 * (1 + math.cos(math.pi * e / 25)) / 2),
}


@functools.cache
def config_of(*arguments: str) -> Config:
    return compose_run(arguments).config


def lrs_of(config: Config) -> list[float]:
    resolved = config.resolve_schedule()
    return [resolved.lr(k, config.optimizer.lr) for k in range(resolved.updates)]


@pytest.mark.parametrize("name", TRACES)
def test_a_recipe_has_the_published_lr_in_each_epoch_and_at_every_update_of_it(name: str) -> None:
    config = config_of(f"experiment={name}")
    steps = config.steps_per_epoch()
    assert (config.epochs, config.batch_size, steps) == (EPOCHS, 128, 390)
    lrs = lrs_of(config)
    assert len(lrs) == 11_700
    for epoch in range(EPOCHS):
        within = set(lrs[epoch * steps : (epoch + 1) * steps])
        assert len(within) == 1
        assert math.isclose(within.pop(), TRACES[name](epoch), rel_tol=1e-14, abs_tol=1e-17)


def test_the_numbers_that_the_recipes_are_quoted_by() -> None:
    quoted = {
        ("vgg_steplr", 15): 0.01,
        ("vgg_steplr", 16): 0.002,
        ("vgg_multistep", 29): 0.005,
        ("vgg_exponential", 29): 0.00116,
        ("vgg_warmup_steplr", 0): 0.001,
        ("vgg_warmup_steplr", 1): 0.0088,
        ("vgg_warmup_steplr", 5): 0.04,
        ("vgg_warmup_steplr", 14): 0.04,
        ("vgg_warmup_steplr", 15): 0.008,
    }
    for (name, epoch), lr in quoted.items():
        ours = lrs_of(config_of(f"experiment={name}"))[390 * epoch]
        assert float(f"{ours:.3g}") == lr


@pytest.mark.parametrize("name", TRACES)
def test_a_recipe_trains_the_published_network_with_the_published_optimizer(name: str) -> None:
    config = config_of(f"experiment={name}")
    assert config.model.name == "vgg"
    optimizer = config.to_dict()["optimizer"]
    assert optimizer["name"] == "sgd"
    assert (optimizer["momentum"], optimizer["weight_decay"]) == (0.9, 5e-4)


@pytest.mark.parametrize("name", TRACES)
def test_only_the_milestone_at_the_end_of_the_run_is_doubted(name: str) -> None:
    notes = config_of(f"experiment={name}").resolve_schedule().notes
    assert notes.rounded == []
    if name == "vgg_warmup_multistep":
        (line,) = notes.warnings
        assert line.startswith("scheduler.after.milestones: 25 is at or beyond the end")
    else:
        assert notes.warnings == []


def test_every_experiment_is_a_recipe_tested_here() -> None:
    assert set(options("experiment")) == {*TRACES, *OTHERS, *REGRESSIONS}


def test_the_long_recipes_are_those_of_the_best_known_public_code() -> None:
    """CosineAnnealingLR(T_max=200) stepped once an epoch; the short last batch is trained on."""
    for name in ("vgg16_bn", "resnet18"):
        config = config_of(f"experiment={name}")
        assert config.model.name == name
        steps, lrs = config.steps_per_epoch(), lrs_of(config)
        assert (config.epochs, steps, len(lrs)) == (200, 391, 78_200)
        optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
        for epoch in range(200):
            within = set(lrs[epoch * steps : (epoch + 1) * steps])
            assert len(within) == 1
            assert within.pop() == pytest.approx(cosine.get_last_lr()[0], rel=1e-9)
            optimizer.step()
            cosine.step()
        made = config.to_dict()["optimizer"]
        assert (made["name"], made["momentum"], made["weight_decay"]) == ("sgd", 0.9, 5e-4)


def test_noam_trains_the_vgg_by_the_published_curve() -> None:
    """Vaswani et al., 2017, eq. 3 with d_model 512 and 4000 steps of warm-up; Adam as in 5.3."""
    config = config_of("experiment=vgg_noam")
    assert config.model.name == "vgg"
    adam = config.to_dict()["optimizer"]
    assert (adam["name"], adam["lr"], adam["beta1"], adam["beta2"], adam["eps"]) == (
        "adam", 1.0, 0.9, 0.98, 1e-9
    )  # fmt: skip
    lrs = lrs_of(config)
    for k in range(0, 11_700, 13):
        step = k + 1
        assert lrs[k] == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5), rel=1e-12)
    assert max(lrs) == lrs[3999] == pytest.approx((512 * 4000) ** -0.5)


def test_the_vgg_with_batch_norm_has_thirty_epochs() -> None:
    config = config_of("experiment=vgg_bn")
    assert (config.model.name, config.epochs, config.optimizer.lr) == ("vgg_bn", 30, 0.1)
    assert config.scheduler == Warmup(after=Cosine())


def test_a_schedule_named_beside_a_recipe_takes_its_place_whole() -> None:
    config = config_of("experiment=vgg_steplr", "scheduler=cosine")
    assert config.scheduler == Cosine()
    assert (config.optimizer.lr, config.epochs) == (0.01, 30)
    for k, lr in enumerate(lrs_of(config)):
        expected = 0.005 * (1 + math.cos(math.pi * k / 11_700))
        assert math.isclose(lr, expected, rel_tol=1e-12, abs_tol=1e-16)


def test_the_order_of_recipe_and_schedule_on_the_command_line_does_not_matter() -> None:
    one = config_of("experiment=vgg_warmup_steplr", "scheduler=recipe/multistep")
    other = config_of("scheduler=recipe/multistep", "experiment=vgg_warmup_steplr")
    assert one == other
    assert one.scheduler == MultiStep(interval="epoch", milestones=[10, 20], gamma=0.5)


def test_a_parameter_of_a_recipe_can_be_changed() -> None:
    config = config_of("experiment=vgg_warmup_steplr", "scheduler.after.gamma=0.5", "epochs=40")
    assert config.scheduler == Warmup(
        interval="epoch", warmup=5, start_factor=0.025, after=StepLR(step_size=10, gamma=0.5)
    )
    lrs = lrs_of(config)
    assert len(lrs) == 40 * 390
    assert [lrs[390 * epoch] for epoch in (14, 15, 39)] == [0.04, 0.02, 0.04 * 0.5**3]


def test_the_schedule_within_a_warm_up_can_be_exchanged() -> None:
    config = config_of("scheduler=warmup_cosine", "scheduler@scheduler.after=multistep")
    assert config.scheduler == Warmup(after=MultiStep())


def test_the_default_is_a_smooth_cosine_behind_a_tenth_of_warm_up() -> None:
    config = config_of()
    assert config.scheduler == Warmup(warmup="10%", after=Cosine())
    resolved = config.resolve_schedule()
    lr = config.optimizer.lr
    assert [resolved.lr(k, lr) for k in (0, 1170)] == [0.025 * lr, lr]
    assert resolved.lr(11_700, lr) == 0.0
    assert len({resolved.lr(k, lr) for k in range(1171)}) == 1171
