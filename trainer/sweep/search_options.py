"""What the user says about a search: `search=<file in conf/search>` and `search.<key>=<value>`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
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
    key = override.key_or_group
    return key == GROUP or key.startswith(f"{GROUP}.")


def asked_for(overrides: Sequence[Override]) -> SearchOptions | None:
    """The search that a command asks for; None: its jobs are listed.

    A key that the command gives a value is not searched; one that it gives several is, there.

    Raises:
        ValueError: If there is no such search or key, or nothing is left to search.
    """
    own = [override for override in overrides if concerns(override)]
    chosen = [override for override in own if override.key_or_group == GROUP]
    name = chosen[-1].value() if chosen else None
    for override in own:
        if override.is_sweep_override() or override.is_delete():
            raise ValueError(f"{override.input_line}: is for the whole sweep; give it one value")
        if name is None and override.key_or_group != GROUP:
            raise ValueError(f"{override.input_line}: is for a search; add search=lr")
    if name is None:
        return None
    line = str(chosen[-1].input_line)
    node = _loaded(str(name), line, searched(overrides))
    for override in own:
        if override.key_or_group != GROUP:
            key = override.key_or_group.removeprefix(f"{GROUP}.")
            _put(node, key, override.value(), str(override.input_line))
    made: Any = OmegaConf.to_object(node)
    check(made, GROUP)
    jobs = [override for override in overrides if not concerns(override)]
    for override in jobs:
        key = override.get_key_element()
        made.params.pop(key, None)
        if override.is_sweep_override():
            made.params[key] = str(override.input_line).partition("=")[2]
    if not made.params:
        raise ValueError(f"{line}: every key of it is given a value; leave one out")
    return made


def _loaded(name: str, line: str, folders: Sequence[Path]) -> DictConfig:
    known = options(GROUP, folders)
    if name not in known:
        meant = near(name, known) or f"; choose one of {', '.join(known)}"
        raise ValueError(f"{line}: there is no search {name}{meant}")
    node = OmegaConf.structured(SearchOptions)
    for folder in (CONF, *folders):
        file = folder / GROUP / f"{name}.yaml"
        if file.is_file():
            values: Any = OmegaConf.load(file)
            for key, value in values.items():
                _put(node, str(key), value, f"{file}: {key}")
    return node


def _put(node: DictConfig, key: str, value: Any, line: str) -> None:
    if key.partition(".")[0] not in node:
        raise ValueError(
            f"{line}: there is no key {GROUP}.{key}{near(key, [str(k) for k in node])}"
        )
    try:
        OmegaConf.update(node, key, value)
    except OmegaConfBaseException as error:
        raise ValueError(f"{line}: {str(error).splitlines()[0]}") from error
