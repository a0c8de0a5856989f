"""Doubtful schedules are named before anything is trained."""

import pytest

from trainer.config.overrides import compose_run
from trainer.config.quoting import quoted
from trainer.schedules import Plateau
from trainer.schedules.linter import lint


def warnings(*arguments: str) -> list[str]:
    config = compose_run([quoted(a) for a in arguments]).config
    resolved = config.resolve_schedule()
    bases = config.optimizer.base_lrs()
    return lint(config.scheduler, resolved, bases, has_validation=config.data.val_size > 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scheduler=multistep", "scheduler.milestones=[10,30]"], "30 is at or beyond the end"),
        (
            ["scheduler=warmup_multistep", "scheduler.warmup=5", "scheduler.after.milestones=[25]"],
            "scheduler.after.milestones: 25 is at or beyond the end (9750 steps)",
        ),
        (["scheduler=cosine", "scheduler.eta_min=0.1"], "its floor 0.1 is above the base LR 0.04"),
        (["scheduler.start_factor=0", "scheduler.interval=epoch"], "0 for the whole of epoch 1"),
        (["scheduler=cosine", "scheduler.length=20"], "0 for the whole of epoch 21"),
        (["scheduler=linear", "scheduler.length=40"], "is cut off before it lands"),
        (["scheduler=polynomial", "scheduler.length=40"], "is cut off before it lands"),
        (["scheduler=wsd", "scheduler.stable=28"], "is cut off before it lands"),
        (["scheduler=hold_linear", "scheduler.decay=20"], "is cut off before it lands"),
        (["scheduler=cosine_restarts", "scheduler.t_0=7"], "the run ends within a cycle"),
        (["scheduler=steplr", "scheduler.step_size=30"], "the LR never drops"),
        (["scheduler=noam", "scheduler.warmup=31"], "never comes to the decay"),
        (["scheduler=plateau"], "the plateau watches the test set"),
        (["scheduler=warmup_plateau"], "the plateau watches the test set"),
    ],
)
def test_a_doubtful_schedule_gets_one_line_with_its_key(
    arguments: list[str], expected: str
) -> None:
    found = warnings(*arguments)
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("scheduler")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["scheduler=plateau", "data.val_size=5000"],
        ["scheduler=plateau", "scheduler.monitor=train/loss"],
        ["scheduler=cosine", "scheduler.eta_min=0.001"],
        ["scheduler=onecycle"],
        ["scheduler=cosine_restarts", "scheduler.t_0=2", "scheduler.t_mult=2"],
        ["scheduler.start_factor=0"],
        ["experiment=vgg_steplr"],
        ["scheduler=steplr", "scheduler.step_size=29"],
        ["scheduler=multistep", "scheduler.milestones=[10,29]"],
        ["scheduler=warmup_steplr", "scheduler.clock=absolute", "scheduler.after.step_size=29"],
    ],
)
def test_a_sound_schedule_gets_none(arguments: list[str]) -> None:
    assert warnings(*arguments) == []


def test_a_plateau_that_was_shown_a_negative_metric_by_its_share_gets_one() -> None:
    option = Plateau(monitor="train/loss")
    for metrics, count in (([2.0, 1.0], 0), ([2.0, -1.0, -0.9999999], 1), ([-1.0, -2.0], 1)):
        resolved = option.resolve(1, 9)
        assert resolved.plateau is not None
        for k, metric in enumerate(metrics, 1):
            resolved.plateau.observe(metric, k)
        found = lint(option, resolved, [("", 0.1)], has_validation=False)
        assert len(found) == count
        assert all("threshold_mode=abs" in line for line in found)


def test_each_group_is_looked_at_on_its_own_base() -> None:
    found = warnings(
        "scheduler=cosine",
        "scheduler.eta_min=0.01",
        "optimizer.groups=[{match: '^fc', lr_scale: 0.1}]",
    )
    assert len(found) == 1
    assert "of group ^fc" in found[0]
