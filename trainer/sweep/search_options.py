"""What the user says about a search: `search=<file in conf/search>`, `search.<key>=<value>`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.config.choices import options, searched
from trainer.config.fields import CONF
from trainer.options.keys import near
from trainer.options.marks import at_least, check, one_of

GROUP = "search"


@dataclass(kw_only=True)
class SearchOptions:
    """A search.

    Attributes:
        n_trials: How many jobs it is to have.
        sampler: `tpe` (tree-structured Parzen estimator: the next job by those before it) or
            `random`.
        n_startup_trials: With `tpe`, how many jobs are drawn at random first.
        seed: Decides what is drawn.
        params: What each key is drawn from: `interval(a, b)`, `choice(a, b)`, `range(a, b)`,
            with `tag(log, ...)` on a logarithmic scale.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011 (NeurIPS 24).
    """

    n_trials: int = at_least(1, 20)
    sampler: str = one_of(("tpe", "random"), "tpe")
    n_startup_trials: int = at_least(0, 10)
    seed: int = at_least(0, 0)
    params: dict[str, str] = field(default_factory=dict[str, str])


def concerns(override: Override) -> bool:
    """Whether an override is about the search, and not about its jobs."""
    return override.key_or_group.partition(".")[0] == GROUP


def asked_for(overrides: Sequence[Override]) -> SearchOptions | None:
    """The search that a command asks for; None: its jobs are listed.

    A key that the command gives a value is not searched; one that it gives several is, there.

    Raises:
        ValueError: If there is no such search or key, or nothing is left to search.
    """
    own = [override for override in overrides if concerns(override)]
    chosen = [o for o in own if o.key_or_group == GROUP and o.value() is not None]
    for override in own:
        if override.is_sweep_override():
            raise ValueError(f"{override.input_line}: is for the whole sweep; give it one value")
        if not chosen and override.key_or_group != GROUP:
            raise ValueError(f"{override.input_line}: is for a search; add search=lr")
    if not chosen:
        return None
    name, line, folders = str(chosen[-1].value()), chosen[-1].input_line, searched(overrides)
    if name not in options(GROUP, folders):
        raise ValueError(f"{line}: there is no search {name}{near(name, options(GROUP, folders))}")
    places = [folder / GROUP / f"{name}.yaml" for folder in (CONF, *folders)]
    node = OmegaConf.structured(SearchOptions)
    try:
        for place in places:
            node = OmegaConf.merge(node, OmegaConf.load(place)) if place.is_file() else node
        for override in own:
            if override.key_or_group != GROUP:
                line = override.input_line
                key = override.key_or_group.removeprefix(f"{GROUP}.")
                OmegaConf.update(node, key, override.value())  # pyright: ignore
    except OmegaConfBaseException as error:
        raise ValueError(f"{line}: {str(error).splitlines()[0]}") from error
    made: Any = OmegaConf.to_object(node)
    check(made, GROUP)
    for override in overrides:
        key = override.get_key_element()
        made.params.pop(key, None)
        if override.is_sweep_override():
            made.params[key] = str(override.input_line).partition("=")[2]
    if not made.params:
        raise ValueError(f"{line}: every key of it is given a value; leave one out")
    return made
