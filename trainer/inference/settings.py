"""Settings that a trained model takes: where and how it is used, not what it is."""

from collections.abc import Sequence

from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.options import plugins
from trainer.options.keys import near

PLUGINS = "modules with your own options, by commas"
USE_KEYS = ("device", "amp", "data.root", "data.download", "data.url")


def use_values(overrides: Sequence[str]) -> dict[str, object]:
    """The overrides of a command that uses a trained model, as values.

    Raises:
        ValueError: If a key is not one of `USE_KEYS`.
    """
    values: dict[str, object] = {}
    for override in parse([quoted(argument) for argument in overrides]):
        key, line = override.key_or_group, override.input_line
        if key not in USE_KEYS or override.is_sweep_override():
            raise ValueError(
                f"{line}: is the run's own setting, or none{near(key, USE_KEYS)}; a trained model "
                f"takes {', '.join(USE_KEYS)}"
            )
        values[key] = override.value()
    return values


def load_plugins(names: str | None) -> None:
    """Imports what `--plugins` and `TRAINER_PLUGINS` name; what a checkpoint names never is."""
    plugins.load((names or "").replace(",", " ").split())
