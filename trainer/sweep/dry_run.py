"""`python -m trainer.sweep plan`: the jobs, their steps, and about how long they would take."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from trainer.cli import console
from trainer.cli.words import count
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.fields import Config
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.options.keys import flat
from trainer.storage import run_folder
from trainer.sweep import launchers
from trainer.sweep.plan import Planned, planned
from trainer.sweep.table import aligned
from trainer.training.start import check

# What the time of a step does not depend on; the rest of a configuration decides it.
FREE = ("name", "epochs", "seed", "init", "scheduler.", "checkpoint.", "early_stopping.", "log.",
        "optimizer.lr", "optimizer.momentum", "optimizer.weight_decay", "data.root", "data.url",
        "data.download", "resume", "on_", "plugins", "label_smoothing")  # fmt: skip
TIMED = 5  # steps, behind two that warm up
FORWARD = 1 / 3  # of a step's time is its forward pass, which is all that an evaluation does


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast runs of a kind are.

    Attributes:
        seconds: Of a step, evaluations included.
        origin: How that is known.
    """

    seconds: float
    origin: str


def shown(arguments: Sequence[str]) -> list[str]:
    """What a sweep would do, as lines; nothing is run but a few steps where no finished run tells.

    Args:
        arguments: As behind `python -m trainer -m`.

    Raises:
        ValueError: If the sweep cannot be; in one line.
        FileNotFoundError: If a data set or a checkpoint is missing.
    """
    own = [quoted(argument) for argument in with_config_dir(arguments)]
    overrides = parse(own)
    load_plugins(overrides)
    launchers.check_installed(overrides)
    wanted = planned(own, overrides)
    check(wanted.configs)
    places = {wanted.first.sweep_dir.parent, wanted.first.run_dir.parent.parent}
    known = finished_runs(places, wanted.first.config)
    if wanted.search is not None:
        return _sought(wanted, known)
    rows = [("job", "steps", "time", "from", "overrides")]
    steps, seconds = 0, 0.0
    for job, config in zip(wanted.plan.jobs, wanted.configs, strict=True):
        each, took, origin = _cost(config, known)
        steps, seconds = steps + each, seconds + took
        rows.append(
            (str(job.number), f"{each:,}", console.duration(took), origin, " ".join(job.overrides))
        )
    total = count(len(wanted.plan.jobs), "job")
    return [*aligned(rows), _total(f"{total}, {steps:,} steps", seconds)]


def _sought(wanted: Planned, known: dict[str, Pace]) -> list[str]:
    """A search: how many jobs like its base, and what it chooses from."""
    each, took, origin = _cost(wanted.configs[0], known)
    space = (wanted.search.params if wanted.search is not None else {}).items()
    head = f"search: {count(wanted.total, 'job')} of {each:,} steps ({origin})"
    lines = [head, *(f"  {key}: {text}" for key, text in space)]
    total = f"{count(wanted.total, 'job')}, {wanted.total * each:,} steps"
    return [*lines, _total(total, wanted.total * took)]


def _total(what: str, seconds: float) -> str:
    return f"{what}, about {console.duration(seconds)} one after the other; nothing was run"


def _cost(config: Config, known: dict[str, Pace]) -> tuple[int, float, str]:
    """Steps of a job, its seconds, and how they are known; what is measured joins what is known."""
    steps, key = config.epochs * config.steps_per_epoch(), _pace_key(config.to_dict())
    if key not in known:
        known[key] = Pace(timed(config), "timed steps")
    return steps, steps * known[key].seconds, known[key].origin


def _pace_key(values: dict[str, Any]) -> str:
    """What decides the time of a step, as text."""
    kept = {key: value for key, value in flat(values).items() if not key.startswith(FREE)}
    return json.dumps(kept, sort_keys=True, default=str)


def finished_runs(places: Iterable[Path], config: Config) -> dict[str, Pace]:
    """How fast the finished runs below some folders were.

    Args:
        places: Where to look.
        config: Names the device: runs on another one do not count.
    """
    from trainer.training.device import choose_device, describe  # torch takes seconds

    here = describe(choose_device(config.device))
    found: dict[str, list[float]] = {}
    files = {file.resolve() for place in places for file in place.rglob(run_folder.SUMMARY)}
    for file in files:
        summary = run_folder.summary(file.parent)
        steps, seconds = summary.get("updates"), summary.get("seconds")
        if summary.get("status") != "done" or summary.get("device") != here:
            continue
        if not isinstance(steps, int) or not isinstance(seconds, float) or not steps:
            continue
        try:
            values: Any = OmegaConf.load(file.parent / run_folder.CONFIG)
            key = _pace_key(OmegaConf.to_container(values))  # pyright: ignore
        except Exception:  # a stranger's file may be anything
            continue
        found.setdefault(key, []).append(seconds / steps)
    return {key: Pace(sum(all_) / len(all_), "finished runs") for key, all_ in found.items()}


def timed(config: Config) -> float:
    """Seconds a step, by a few of them; evaluations are reckoned as forward passes.

    Raises:
        ValueError: If configuration, data or machine do not fit.
        FileNotFoundError: If the data set is missing.
    """
    from trainer.training.preparation import prepare

    run = prepare(config, None)
    run.engine.begin(run.table(0))
    per_epoch = run.steps_per_epoch
    start = 0.0
    for step in range(min(2 + TIMED, per_epoch)):
        run.engine.train_on(step)
        float(run.sums.losses[step])  # waits for the device
        if step == min(1, per_epoch - 2):
            start = time.perf_counter()
    counted = min(2 + TIMED, per_epoch) - min(2, per_epoch - 1)
    pace = (time.perf_counter() - start) / max(counted, 1)
    evaluated = len(run.data.evaluation) / config.batch_size / config.evaluate_every
    return pace * (1 + FORWARD * evaluated / per_epoch)
