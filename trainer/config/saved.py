"""Between plain values, OmegaConf's typed nodes and a `Config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.config.fields import GROUPS, Config
from trainer.options.marks import before
from trainer.options.plugins import VARIABLE
from trainer.schedules.schedule import Schedule


def to_object(config: DictConfig) -> Config:
    """The checked configuration as plain objects.

    Raises:
        ValueError: If a value is out of its range, or a name is not its option's.
    """
    made = OmegaConf.to_object(config)
    if not isinstance(made, Config):
        raise TypeError(f"not a run's configuration: {made!r}")
    for key, options in GROUPS.items():
        option: Any = getattr(made, key)
        while option is not None:
            if options.get(option.name) is not type(option):
                raise ValueError(f"{key}.name={option.name}: choose with {key}=<option> instead")
            option = option.inner() if isinstance(option, Schedule) else None
    made.check()
    return made


def typed(saved: Mapping[str, Any]) -> DictConfig:
    """A saved configuration as a typed node that refuses unknown keys and wrong types.

    Raises:
        ValueError: If it names an unknown option or key, or would be resolved, not read.
    """
    _check_plain(saved)
    values = {key: value for key, value in saved.items() if key not in GROUPS}
    node = OmegaConf.structured(Config)
    for group, options in GROUPS.items():
        node[group] = _typed_option(group, options, saved.get(group, {}), saved.get("plugins"))
    return OmegaConf.merge(node, values)  # pyright: ignore[reportReturnType]


def read_saved(saved: Mapping[str, Any], path: Path) -> DictConfig:
    """A checkpoint's configuration, typed.

    Raises:
        ValueError: If it cannot be read; names the file and the key.
    """
    try:
        return typed(saved)
    except (OmegaConfBaseException, ValueError) as error:
        key = getattr(error, "full_key", None)
        reason = (f"{key}: " if key else "") + str(error).splitlines()[0]
        raise ValueError(f"{path}: its configuration cannot be read: {reason}") from error


def put(node: DictConfig, key: str, value: Any, line: str) -> None:
    """Sets a key to what an argument says.

    Raises:
        ValueError: If the value is not of the key's type; quotes the argument, `line`.
    """
    try:
        OmegaConf.update(node, key, value)
    except OmegaConfBaseException as error:
        raise ValueError(f"{line}: {str(error).splitlines()[0]}") from error


def _check_plain(saved: Any) -> None:
    """What comes from a file is a value: an interpolation would look up the environment."""
    if isinstance(saved, str) and "${" in saved:
        raise ValueError(f"{saved}: is an interpolation, not a value")
    inner: Any = ()
    if isinstance(saved, Mapping):
        inner = saved.values()
    elif isinstance(saved, list):
        inner = saved
    for value in inner:
        _check_plain(value)


def _typed_option(
    key: str, options: Mapping[str, type[Any]], saved: Mapping[str, Any], plugins: Any
) -> Any:
    name = str(saved.get("name"))
    if name not in options:
        if isinstance(plugins, list) and plugins and all(isinstance(p, str) for p in plugins):
            named = ",".join(plugins)  # of a file, so nothing that is imported here
            raise ValueError(
                f"{key}.name={name}: is a plugin's; add plugins='[{named}]', or set "
                f"{VARIABLE}={named}, if these modules are your own"
            )
        raise ValueError(f"{key}.name={name}: must be one of {', '.join(options)}")
    node = OmegaConf.structured(options[name])
    values = before(options[name]) | dict(saved)
    if isinstance(values.get("after"), Mapping):
        node["after"] = _typed_option(f"{key}.after", options, values.pop("after"), plugins)
    return OmegaConf.merge(node, values)
