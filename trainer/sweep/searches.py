"""A search: a sweep whose jobs Optuna chooses. What can be checked of it before the first one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from trainer.config.fields import Config
from trainer.config.overrides import Composed, compose_run, parse
from trainer.sweep import sweep_plan

KEY = "hydra.sweeper.direction"


@dataclass(frozen=True, slots=True)
class Search:
    """What a search is to do.

    Attributes:
        base: What all its jobs start from.
        configs: The base, and one configuration for each end and choice of each searched key.
        searched: The keys that it chooses.
        trials: How many jobs it is to have.
    """

    base: Composed
    configs: list[Config]
    searched: tuple[str, ...]
    trials: int

    @property
    def direction(self) -> str:
        """`maximize` an accuracy, `minimize` a loss."""
        return self.base.config.direction()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Overrides that tell Hydra's sweeper: how many, which way, and the same way each time."""
        sampler = self.base.hydra.sweeper.sampler
        seed = ("hydra.sweeper.sampler.seed=0",) if sampler.get("seed", 0) is None else ()
        return (f"{KEY}={self.direction}", f"hydra.sweeper.n_trials={self.trials}", *seed)


def find(overrides: Sequence[Override]) -> Search | None:
    """The search that a command asks for; None: its jobs are listed.

    Raises:
        ValueError: If the base, or an end of what is to be searched, cannot be; names the key.
    """
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not any(o.key_or_group in ("search", "hydra/sweeper") for o in overrides):
        return None
    base = compose_run(fixed)
    base.config.anchor()
    if str(base.hydra.runtime.choices["hydra/sweeper"]) != "optuna":
        return None
    given_keys = {o.key_or_group: o for o in overrides}
    wish = given_keys.get(KEY)
    if wish is not None and str(wish.value()).lower() != base.config.direction():
        raise ValueError(
            f"{wish.input_line}: the direction follows checkpoint.monitor "
            f"({base.config.direction()}); leave it out"
        )
    sweeper = base.hydra.sweeper
    for name in ("n_trials", "n_jobs"):
        if sweeper[name] < 1:
            raise ValueError(f"hydra.sweeper.{name}={sweeper[name]}: must be at least 1")
    space = dict(sweeper.params or {})
    space |= {
        o.get_key_element(): str(o.input_line).partition("=")[2]
        for o in overrides
        if o.is_sweep_override()
    }
    keys = {o.get_key_element() for o in overrides if not o.is_sweep_override()}
    given = {str(key): value for key, value in space.items() if key in keys}
    space = {str(key): value for key, value in space.items() if key not in keys}
    if not space:
        raise ValueError("search: every key of it is given a value; leave one out")
    trials = int(sweeper.n_trials)
    if str(sweeper.sampler.get("_target_")).endswith(".GridSampler"):
        trials = _grid(space, given, trials if "hydra.sweeper.n_trials" in given_keys else None)
    sweep_plan.check_folders([base, compose_run(fixed, 1)][:trials])
    base.config.resolve_schedule()
    configs = [base.config]
    for key, value in space.items():
        for argument in _ends(key, value):
            try:
                configs.append(compose_run([*fixed, argument]).config)
                configs[-1].resolve_schedule()
            except ValueError as error:
                raise ValueError(f"search over {key}={value}: {error}") from error
    return Search(base, configs, tuple(space), trials)


def _grid(space: Mapping[str, Any], given: Mapping[str, Any], most: int | None) -> int:
    """How many jobs Optuna's grid has.

    Raises:
        ValueError: If a key has no choices, or has them and a value, too.
    """
    for key, value in given.items():
        raise ValueError(f"search over {key}={value}: a grid takes every choice; leave out {key}")
    sizes: list[int] = []
    for key, value in space.items():
        swept = parse([f"{key}={value}"])[0].value()
        if isinstance(swept, IntervalSweep):
            raise ValueError(f"{key}={value}: a grid takes choices; give it choice() or range()")
        if isinstance(swept, RangeSweep):  # as Optuna counts: whole steps
            start, stop, step = (float(n or 0) for n in (swept.start, swept.stop, swept.step))
            sizes.append(int((stop - start) // step))
        elif isinstance(swept, ChoiceSweep):
            sizes.append(len(swept.list))
    whole = math.prod(sizes)
    return whole if most is None else min(whole, most)


def _ends(key: str, value: Any) -> Iterator[str]:
    """Each choice, or both ends of an interval, as an override."""
    (override,) = parse([f"{key}={value}"])
    sweep_plan.check([override])
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        yield from (f"{key}={swept.start}", f"{key}={swept.end}")
    elif override.is_sweep_override():
        yield from (f"{key}={choice}" for choice in override.sweep_string_iterator())
    else:
        raise ValueError(f"{key}={value}: give it choice(), range() or interval()")
