"""`python -m trainer.sweep plan`: the jobs, their steps, and about how long they would take."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.cli import console
from trainer.cli.words import count
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.fields import Config
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.options.keys import flat
from trainer.storage import records, run_folder
from trainer.sweep import launchers
from trainer.sweep.plan import planned
from trainer.sweep.table import aligned
from trainer.training.start import check

# What the time of a step does not depend on; the rest of a configuration decides it.
FREE = ("name", "epochs", "seed", "init", "scheduler.", "checkpoint.", "early_stopping.", "log.",
        "optimizer.lr", "optimizer.momentum", "optimizer.weight_decay", "data.root", "data.url",
        "data.download", "resume", "on_", "plugins", "label_smoothing")  # fmt: skip
TIMED = 5  # steps, behind two that warm up
FORWARD = 1 / 3  # of a step's time is its forward pass, which is all that an evaluation does
FINISHED = "finished runs"
Paces = dict[str, tuple[float, str]]  # seconds a step, evaluations included; how that is known


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
    first = wanted.first
    known = finished_runs({first.sweep_dir.parent, first.run_dir.parent.parent}, first.config)
    jobs = [(str(job.number), " ".join(job.overrides), 1) for job in wanted.plan.jobs]
    if wanted.search is not None:
        space = " ".join(f"{key}={text}" for key, text in wanted.search.params.items())
        jobs = [(f"each of {wanted.total}", space, wanted.total)]
    rows = [("job", "steps", "time", "from", "overrides")]
    all_steps, seconds = 0, 0.0
    for (name, words, times), config in zip(jobs, wanted.configs, strict=False):
        steps, key = config.epochs * config.steps_per_epoch(), _pace_key(config.to_dict())
        if key not in known:
            known[key] = timed(config), "timed steps"
        pace, origin = known[key]
        all_steps, seconds = all_steps + times * steps, seconds + times * steps * pace
        rows.append((name, f"{steps:,}", console.duration(steps * pace), origin, words))
    total = f"{count(wanted.total, 'job')}, {all_steps:,} steps"
    about = f"about {console.duration(seconds)} one after the other"
    return [*aligned(rows), f"{total}, {about}; nothing was run"]


def _pace_key(values: dict[str, Any]) -> str:
    """What decides the time of a step, as text."""
    kept = {key: value for key, value in flat(values).items() if not key.startswith(FREE)}
    return json.dumps(kept, sort_keys=True, default=str)


def finished_runs(places: Iterable[Path], config: Config) -> Paces:
    """How fast the finished runs below some folders were.

    Args:
        places: Where to look.
        config: Names the device: runs on another one do not count.
    """
    from trainer.training.device import choose_device, describe  # torch takes seconds

    here = describe(choose_device(config.device))
    found: dict[str, list[float]] = {}
    for file in {file.resolve() for place in places for file in place.rglob(run_folder.SUMMARY)}:
        summary = run_folder.summary(file.parent)
        steps, seconds = summary.get("updates"), summary.get("seconds")
        if (summary.get("status"), summary.get("device")) != ("done", here):
            continue
        if not isinstance(steps, int) or not isinstance(seconds, float) or not steps:
            continue
        values = records.read_yaml(file.parent / run_folder.CONFIG, [])
        if not values:  # damaged
            continue
        try:
            found.setdefault(_pace_key(values), []).append(seconds / steps)
        except (KeyError, TypeError, ValueError):  # not a configuration of this version
            continue
    return {key: (sum(paces) / len(paces), FINISHED) for key, paces in found.items()}


def timed(config: Config) -> float:
    """Seconds a step, by a few of them; evaluations are reckoned as forward passes.

    Raises:
        ValueError: If configuration, data or machine do not fit.
        FileNotFoundError: If the data set is missing.
    """
    from trainer.training.preparation import prepare

    run = prepare(config, None)
    run.engine.begin(run.table(0))
    ends = [time.perf_counter()]
    for step in range(min(2 + TIMED, run.steps_per_epoch)):
        run.engine.train_on(step)
        float(run.sums.losses[step])  # waits for the device
        ends.append(time.perf_counter())
    warm = min(2, len(ends) - 2)
    pace = (ends[-1] - ends[warm]) / (len(ends) - 1 - warm)
    evaluated = len(run.data.evaluation) / config.batch_size / config.evaluate_every
    return pace * (1 + FORWARD * evaluated / run.steps_per_epoch)
