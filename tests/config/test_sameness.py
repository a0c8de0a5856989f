"""What a field changes, by its mark: what a resume keeps, and what reports tell runs apart by."""

import dataclasses

import pytest

from trainer.config import sameness
from trainer.config.overrides import compose_run
from trainer.data.options import OPTIONS, Synthetic
from trainer.options.keys import flat
from trainer.options.marks import asked, where, within

# Each key that a resumed run may change; the first ones are an experiment's own all the same.
ASKED = {"epochs", "amp", "init", "early_stopping.patience", "early_stopping.min_delta"}
WHERE = {
    *("name", "device", "engine", "resume", "until", "fork", "plugins"),
    *("on_horizon_change", "on_process_change"),
    *("data.root", "data.download", "data.url", "data.loader", "data.workers"),
    *("checkpoint.every_epochs", "checkpoint.every_steps", "checkpoint.keep_last"),
    *("checkpoint.keep_at", "checkpoint.keep_every"),
    *("log.every_steps", "log.progress"),
}


def test_the_marks_are_these_and_no_others() -> None:
    config = compose_run(["data=cifar10", "scheduler=constant"]).config
    every = flat(config.to_dict()).keys()
    assert every - sameness.identity(config).keys() == ASKED | WHERE
    assert every - sameness.experiment(config).keys() == WHERE
    assert sameness.circumstances() == WHERE


def test_a_plugins_own_marks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(kw_only=True)
    class Mine(Synthetic):
        folder: str = where("here")
        start: float = asked(within(0, 1, 0.5))
        shade: int = 3

    config = compose_run(["data=synthetic"]).config
    config.data = Mine(name="mine")
    identity, experiment = sameness.identity(config), sameness.experiment(config)
    assert identity["data.shade"] == 3
    assert "data.start" not in identity
    assert experiment["data.start"] == 0.5
    assert "data.folder" not in experiment
    monkeypatch.setitem(OPTIONS, "mine", Mine)
    assert "data.folder" in sameness.circumstances()


def test_a_mark_keeps_the_range_of_its_field() -> None:
    fields = {field.name: field for field in dataclasses.fields(Synthetic)}
    assert fields["workers"].metadata["range"].text == "at least 0"
    assert fields["workers"].default == 0
