"""The command line, before Hydra sees it: quoting, key check, nearest names, composition."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from trainer.config.choices import GROUP_NAMES, SEARCHPATH, load_plugins, options, searched
from trainer.config.fields import CONF, GROUPS, Config, register, warmed_up
from trainer.config.quoting import quote
from trainer.config.saved import to_object
from trainer.options.keys import flat, near
from trainer.storage import files, run_folder

COMMANDS = (
    *("preview", "checkpoints", "verify_resume", "report", "sweep"),
    *("evaluate", "predict", "export", "find_lr"),
)


def parse(arguments: Sequence[str]) -> list[Override]:
    """The overrides that the arguments say.

    Raises:
        ValueError: If one is not of the form key=value.
    """
    parser = OverridesParser.create()
    overrides: list[Override] = []
    for argument in arguments:
        if argument.startswith("-"):
            raise ValueError(f"{argument}: there is no such option; see --help")
        if "=" not in argument and not argument.startswith("~"):
            raise ValueError(f"{argument}: is not of the form key=value{_meant(argument)}")
        try:
            overrides += parser.parse_overrides([argument])
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{argument}: cannot be read: {reason}; try quotes") from error
    return overrides


def _meant(argument: str) -> str:
    if argument in COMMANDS:
        return f"; the command is python -m trainer.{argument}"
    return ""


@dataclass(frozen=True, slots=True)
class Composed:
    """A configuration, and what Hydra will do with it.

    Attributes:
        config: The run.
        run_dir: Where a single run goes.
        sweep_dir: Where a sweep goes.
        job_dir: Where the job goes within the sweep's folder.
        hydra: Hydra's own configuration.
        node: The run as it was composed.
    """

    config: Config
    run_dir: Path
    sweep_dir: Path
    job_dir: Path
    hydra: DictConfig
    node: DictConfig

    def write(self, folder: Path) -> None:
        """Writes Hydra's record of a run, `.hydra/`, as Hydra does.

        Raises:
            OSError: If a file cannot be written; names it.
        """
        with read_write(self.hydra), open_dict(self.hydra):
            self.hydra.run.dir = self.hydra.runtime.output_dir = str(folder)
            self.hydra.mode = "RUN"
        record = folder / run_folder.HYDRA
        files.make_folder(record)
        files.write_text(record / run_folder.CONFIG, OmegaConf.to_yaml(self.node))
        files.write_text(record / "hydra.yaml", OmegaConf.to_yaml({"hydra": self.hydra}))
        overrides = OmegaConf.to_yaml(self.hydra.overrides.task)
        files.write_text(record / "overrides.yaml", overrides)


def jobs(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep, in Hydra's order."""
    choices: list[list[str]] = []
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in _values(override)])
        else:
            choices.append([override.input_line or ""])
    return map(list, itertools.product(*choices))


def _values(override: Override) -> list[str]:
    """The values of one key in a sweep, as Hydra's grammar writes them."""
    value = override.value()
    if isinstance(value, Glob):
        group = override.key_or_group
        names = value.filter(options(group)) if group in GROUP_NAMES else []
        if not names:
            raise ValueError(f"{override.input_line}: matches no {group}")
        return names
    if override.is_interval_sweep():
        raise ValueError(f"{override.input_line}: has no end of values; list them, or use range()")
    values = list(override.sweep_string_iterator())
    if not values:
        raise ValueError(f"{override.input_line}: has no values")
    return values


def compose_run(arguments: Sequence[str], number: int = 0) -> Composed:
    """Composes one run, checked to the last value.

    Args:
        arguments: Quoted overrides without sweeps.
        number: Its place in a sweep.

    Raises:
        ValueError: In one line, for an unknown key or option or an impossible value.
    """
    overrides = parse(arguments)
    load_plugins(overrides)
    for override in overrides:
        _check_form(override)
    folders = searched(overrides)
    groups = [o for o in overrides if _is_group(o)]
    for override in groups:
        _check_option(override, folders)
    search = [str(o.input_line) for o in overrides if o.key_or_group == SEARCHPATH]
    chosen = (*search, *(str(o.input_line) for o in groups))
    known = _keys(chosen)
    for override in overrides:
        if not _is_group(override):
            _check_key(override, known, chosen)
    whole = _compose(list(arguments), hydra=True)
    hydra = whole.hydra
    with read_write(hydra):
        hydra.job.num, hydra.job.id = number, str(number)
    run_dir, sweep_dir = Path(str(hydra.run.dir)), Path(str(hydra.sweep.dir))
    job_dir = Path(str(hydra.sweep.subdir))
    with open_dict(whole):
        del whole["hydra"]
    return Composed(to_object(whole), run_dir, sweep_dir, job_dir, hydra, whole)


@functools.cache
def _keys(groups: tuple[str, ...]) -> list[str]:
    """The keys that there are under a choice of options; the jobs of a sweep often share it."""
    plain = _compose(list(groups), hydra=False)
    return list(flat(OmegaConf.to_container(plain, resolve=False)))  # pyright: ignore


def _compose(arguments: list[str], *, hydra: bool) -> DictConfig:
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="trainer"):
            return compose("config", overrides=arguments, return_hydra_config=hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_one_line(error, arguments)) from error


def _one_line(error: BaseException, arguments: Sequence[str]) -> str:
    """The innermost reason, behind the argument that it belongs to."""
    reason: BaseException = error
    while reason.__cause__ is not None:
        reason = reason.__cause__
    first, *more = str(reason).splitlines()
    text = f"{first} {more[0]}" if more and first.endswith(":") else first
    key = getattr(reason, "full_key", None)
    for argument in reversed(arguments):  # the last one of several for a key counts
        name = argument.partition("=")[0].lstrip("+")
        if name == key or f"'{name}'" in str(error) or argument in str(error):
            return f"{argument}: {text}"
    return f"{key}: {text}" if key else text


def _is_group(override: Override) -> bool:
    return override.key_or_group in GROUP_NAMES or override.package is not None


def _check_form(override: Override) -> None:
    line = override.input_line
    if override.is_sweep_override():
        raise ValueError(f"{line}: several values are a sweep; add -m")
    if override.is_delete():
        raise ValueError(f"{line}: a key cannot be deleted; set it to null")


def _check_option(override: Override, folders: Sequence[Path]) -> None:
    group, value = override.key_or_group, override.value()
    if group not in GROUP_NAMES:
        raise ValueError(
            f"{override.input_line}: there is no group {group}{near(group, GROUP_NAMES)}"
        )
    known = options(group, folders)
    if group in ("experiment", "search") and value is None:
        return
    if not isinstance(value, str) or value not in known:
        text = f"{override.input_line}: there is no {group} {value}"
        plain = [name for name in known if not name.startswith("recipe/")]
        meant = near(str(value), plain) or f"; choose one of {', '.join(plain)}"
        raise ValueError(f"{text}{meant}")


def _check_key(override: Override, known: Sequence[str], groups: tuple[str, ...]) -> None:
    key = override.key_or_group
    if key in known or key.startswith("hydra.") or key == "hydra":
        return
    if any(name.startswith(f"{key}.") for name in known):
        raise ValueError(f"{override.input_line}: {key} holds several keys; set {key}.<key>")
    if "/" in key:
        return  # a group of Hydra's own, such as hydra/launcher
    if elsewhere := _of_another_option(key, known, groups):
        raise ValueError(f"{override.input_line}: {elsewhere}")
    raise ValueError(
        f"{override.input_line}: there is no key {key}{near(key, [*GROUP_NAMES, *known])}"
    )


def _of_another_option(key: str, known: Sequence[str], groups: tuple[str, ...]) -> str | None:
    """Which options of its group have a key that the chosen one has not."""
    group, _, asked = key.partition(".")
    options = {n: o for n, o in GROUPS.get(group, {}).items() if n != "warmup"}
    alike = {  # `stepsize` is `step_size`
        f.name: None
        for option in options.values()
        for f in dataclasses.fields(option)
        if f.name.replace("_", "").lower() == asked.replace("_", "").lower()
    }
    name = next(iter(alike), None)
    having = [n for n, o in options.items() if name is not None and hasattr(o, name)]
    if not having or f"{group}.{name}" in known:
        return None
    choice = _compose(list(groups), hydra=True).hydra.runtime.choices[group]
    behind = [n for n in having if f"warmup_{n}" in warmed_up() and group == "scheduler"]
    text = f"{group}={choice} has no {name}; {', '.join(having)} {_has(having)}"
    more = ", ".join(f"warmup_{n}" for n in behind)
    return text + (f", and {more} as scheduler.after.{name}" if behind else "")


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def given(overrides: Sequence[Override], key: str) -> bool:
    """Whether the overrides set a key."""
    return any(override.key_or_group == key for override in overrides)


def with_folder(arguments: Sequence[str], key: str, folder: Path) -> list[str]:
    """The arguments with a folder put down as it was reserved."""
    others = [a for a in arguments if not a.lstrip("+").startswith(f"{key}=")]
    return [*others, f"{key}={quote(str(folder))}"]
