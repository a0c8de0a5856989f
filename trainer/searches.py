"""A search: a sweep whose jobs Optuna chooses. What can be checked of it before the first one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from trainer.arguments import Composed, compose_run, parse
from trainer.config import Config

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
        """Overrides that tell Hydra's sweeper."""
        return (f"{KEY}={self.direction}",)


def find(overrides: Sequence[Override]) -> Search | None:
    """The search that a command asks for; None: its jobs are listed.

    Raises:
        ValueError: If the base, or an end of what is to be searched, cannot be; names the key.
    """
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    if not any(o.key_or_group in ("search", "hydra/sweeper") for o in overrides):
        return None
    base = compose_run(fixed)
    if str(base.hydra.runtime.choices["hydra/sweeper"]) != "optuna":
        return None
    said = {o.key_or_group: o for o in overrides}
    wish = said.get(KEY)
    if wish is not None and str(wish.value()).lower() != base.config.direction():
        raise ValueError(
            f"{wish.input_line}: the direction follows checkpoint.monitor "
            f"({base.config.direction()}); leave it out"
        )
    space = dict(base.hydra.sweeper.params or {})
    space |= {
        o.get_key_element(): str(o.input_line).partition("=")[2]
        for o in overrides
        if o.is_sweep_override()
    }
    keys = {o.get_key_element() for o in overrides if not o.is_sweep_override()}
    space = {str(key): value for key, value in space.items() if key not in keys}
    if not space:
        raise ValueError("search: every key of it is given a value; leave one out")
    base.config.resolve_schedule()
    configs = [base.config]
    for key, value in space.items():
        for argument in _ends(key, value):
            try:
                configs.append(compose_run([*fixed, argument]).config)
                configs[-1].resolve_schedule()
            except ValueError as error:
                raise ValueError(f"search over {key}={value}: {error}") from error
    return Search(base, configs, tuple(space), int(base.hydra.sweeper.n_trials))


def _ends(key: str, value: Any) -> Iterator[str]:
    """Each choice, or both ends of an interval, as an override."""
    (override,) = parse([f"{key}={value}"])
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        yield from (f"{key}={swept.start}", f"{key}={swept.end}")
    elif override.is_sweep_override():
        yield from (f"{key}={choice}" for choice in override.sweep_string_iterator())
    else:
        raise ValueError(f"{key}={value}: give it choice(), range() or interval()")
