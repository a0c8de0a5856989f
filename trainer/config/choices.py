"""What a group may name, and where that comes from: conf/, folders of one's own, plugins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from trainer.config.fields import CONF, GROUPS, warmed_up
from trainer.config.quoting import quote
from trainer.options import plugins

GROUP_NAMES = (*GROUPS, "experiment", "search")
SEARCHPATH = "hydra.searchpath"


def options(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """What `<group>=` may name: files of `conf/` and of other folders, and what is registered."""
    found = {name: None for folder in (CONF, *folders) for name in _files(folder / group)}
    more = [*GROUPS.get(group, ()), *(warmed_up() if group == "scheduler" else ())]
    hidden = {"warmup"}  # needs its `after`: warmup_<name> has it
    return sorted(found | {name: None for name in more if name not in hidden})


def _files(folder: Path) -> list[str]:
    files = folder.glob("**/*.yaml")
    return [file.relative_to(folder).with_suffix("").as_posix() for file in files]


def with_config_dir(arguments: Sequence[str]) -> list[str]:
    """Arguments with `--config-dir FOLDER` as the override that says the same.

    Raises:
        ValueError: If it names no folder.
    """
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, folder = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            rest.append(word)
            continue
        place = Path(folder if equals else next(words, "")).expanduser().absolute()
        if not (folder or not equals) or not place.is_dir():
            raise ValueError(f"{word}: there is no folder {place}")
        rest.append(f"{SEARCHPATH}=[{quote(f'file://{place}')}]")
    return rest


def searched(overrides: Sequence[Override]) -> list[Path]:
    """The folders that `hydra.searchpath` adds to `conf/`.

    Raises:
        ValueError: If one is not there: Hydra would go on without it.
    """
    folders: list[Path] = []
    for override in overrides:
        value = override.value() if override.key_or_group == SEARCHPATH else []
        for place in value if isinstance(value, list) else [value]:
            folder = Path(str(place).removeprefix("file://")).expanduser()
            if not str(place).startswith("pkg://") and not folder.is_dir():
                raise ValueError(f"{override.input_line}: there is no folder {folder}")
            folders.append(folder)
    return folders


def load_plugins(overrides: Sequence[Override]) -> None:
    """Imports the plugins that a command line names, or the experiment that it chooses.

    The experiment's own YAML is looked at before anything is composed: it may choose an option that
    its plugin registers.

    Raises:
        ValueError: If one cannot be imported.
    """
    names: list[str] = []
    for override in overrides:
        if override.key_or_group == "plugins" and override.value() is not None:
            value = override.value()
            names += map(str, value) if isinstance(value, list) else str(value).split(",")
        if override.key_or_group == "experiment" and not override.is_sweep_override():
            for folder in (CONF, *searched(overrides)):
                file = folder / "experiment" / f"{override.value()}.yaml"
                if file.is_file():
                    values: Any = OmegaConf.load(file)
                    names += map(str, values.get("plugins") or [])
    plugins.load(names)
