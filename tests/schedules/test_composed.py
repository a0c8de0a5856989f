"""Schedules that the user spells out: phases one after the other, and a formula."""

from pathlib import Path

import pytest

from trainer.schedules import Cosine, Formula, Linear, Phases, StepLR


def test_phases_follow_one_another_from_their_own_start() -> None:
    phases = [
        {"length": 2, "schedule": {"name": "linear", "start_factor": 0.1, "end_factor": 1.0}},
        {"length": "50%", "schedule": {"name": "steplr", "step_size": 2, "gamma": 0.5}},
        {"length": None, "schedule": {"name": "cosine"}, "factor": 0.5},
    ]
    resolved = Phases(phases=phases).resolve(10, 120)
    rise = Linear(start_factor=0.1, end_factor=1.0).resolve(10, 20)
    steps = StepLR(step_size=2, gamma=0.5).resolve(10, 60)
    fall = Cosine().resolve(10, 40)
    expected = [rise.lr(k, 0.3) for k in range(20)]
    expected += [steps.lr(k, 0.3) for k in range(60)]
    expected += [fall.lr(k, 0.15) for k in range(40)]
    assert [resolved.lr(k, 0.3) for k in range(120)] == expected


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("0.5*(1+cos(pi*t/total))", Cosine()),
        ("1 if t < 10 else (0.1 if t < 20 else 0.1**2)", StepLR(step_size=10)),
        ("max(0, 1 - k/(total*steps_per_epoch))", Linear()),
        ("0.5*(1+cos(pi*k/T)) * E/steps_per_epoch", Cosine()),  # the documentation's letters
    ],
)
def test_a_formula_is_the_schedule_it_spells(text: str, other: Cosine | StepLR | Linear) -> None:
    ours, theirs = Formula(formula=text).resolve(7, 210), other.resolve(7, 210)
    assert [ours.lr(k, 0.3) for k in range(210)] == pytest.approx(
        [theirs.lr(k, 0.3) for k in range(210)], rel=1e-12, abs=1e-15
    )


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('marker')", "t.__class__", "(lambda: 1)()",
        "[t for t in (1, 2)]", "open('marker', 'w')", "'a' * 10", "True", "k << 3", "t if t",
        "foo(t)", "zeit / total", "max(t)", "cos(t, t)", "cos(x=t)", "1" * 2000,
    ],
)  # fmt: skip
def test_a_formula_that_is_not_arithmetic_is_refused_and_never_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"scheduler\.formula="):
        Formula(formula=text).resolve(10, 100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["-1", "1/t", "log(0)", "1e308*10", "9**9**9**9", "5 - t", "(-1)**0.5"]
)
def test_a_formula_without_a_usable_value_names_the_update(text: str) -> None:
    with pytest.raises(ValueError, match=r"at step \d+"):
        Formula(formula=text).resolve(10, 100)
