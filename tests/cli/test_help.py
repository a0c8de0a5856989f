"""What --help says: each key with its default and a line of its docstring."""

import dataclasses

import pytest

from trainer.__main__ import main
from trainer.config.fields import GROUPS, Config
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions
from trainer.options import docs


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main([*arguments, "--help"]) == 0
    return capsys.readouterr().out.splitlines()


OPTIONS = [Config, CheckpointOptions, EarlyStoppingOptions, LogOptions,
           *(option for options in GROUPS.values() for option in options.values())]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__)
def test_every_field_has_a_line(option: type) -> None:
    texts = docs.fields(option)
    assert docs.title(option)
    assert all(texts[field.name] for field in dataclasses.fields(option))


def test_the_page_lists_commands_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    lines = helped(capsys)
    assert any(line.startswith("  python -m trainer.preview ") for line in lines)
    place = lines.index("  epochs = 30   (at least 1)")
    assert lines[place + 1] == "      Passes over the training images."
    assert "  checkpoint.every_steps = null   (at least 1, or null)" in lines
    assert not any(line.startswith("  scheduler.") for line in lines)
    for word in ("warmup_cosine", "vgg_steplr", "synthetic", "adamw"):  # of each group
        assert any(word in line for line in lines)


def test_an_options_keys_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    lines = helped(capsys, "scheduler=onecycle")
    place = lines.index("  scheduler.pct_start = 0.3   (in [0, 1])")
    assert lines[place + 1] == "      Share of the run spent rising, in [0, 1]."
    assert not any("epochs" in line for line in lines if line.startswith("  ") and "=" in line)


def test_a_warm_up_shows_what_stands_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = helped(capsys, "scheduler=warmup_steplr", "optimizer=adam")
    after, beta = "scheduler.after.gamma = 0.1   (in (0, 1])", "optimizer.beta1 = 0.9   (in [0, 1))"
    for key in ("scheduler.warmup = 10%", after, beta):
        assert f"  {key}" in lines
    assert not any("after.interval" in line for line in lines)


def test_help_for_what_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scheduler=StepLRR", "--help"]) == 2
    assert "did you mean steplr?" in capsys.readouterr().err
