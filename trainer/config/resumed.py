"""The configuration of a resumed run: its checkpoint's, and what the command line may change."""

from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from trainer.config.choices import GROUP_NAMES
from trainer.config.fields import Config
from trainer.config.saved import put, read_saved, to_object
from trainer.options.keys import flat, near

if TYPE_CHECKING:
    from trainer.storage.checkpoint import Checkpoint


def check_resumable(override: Override) -> None:
    """Raises ValueError for an argument that a resumed run cannot take."""
    key, line = override.key_or_group, override.input_line
    if key in GROUP_NAMES or override.package is not None:
        raise ValueError(
            f"{line}: a resumed run keeps its {key}; init=<checkpoint> starts a new run from its "
            "weights"
        )
    if key.startswith("hydra."):
        raise ValueError(f"{line}: a resumed run goes on in its own folder, without Hydra")
    if override.is_sweep_override() or override.is_delete():
        raise ValueError(f"{line}: a resumed run takes plain key=value only")


def saved_config(resumed: "Checkpoint", overrides: list[Override]) -> Config:
    """The configuration of the checkpoint with the values of the command line on top."""
    saved: dict[str, Any] = resumed.state["config"]
    node = read_saved(saved, resumed.path)
    node.resume = None
    node.until = None
    node.on_horizon_change = "error"  # a choice was for the change it was made for
    node.on_process_change = "error"
    known = list(flat(cast(dict[str, Any], OmegaConf.to_container(node))))  # newer keys, too
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            continue
        if key not in known:
            raise ValueError(f"{override.input_line}: there is no key {key}{near(key, known)}")
        put(node, key, override.value(), str(override.input_line))
    config = to_object(node)
    config.anchor()
    return config
