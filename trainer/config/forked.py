"""The configuration of a fork: its parent's, with another schedule from a step on."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from trainer.config.choices import GROUP_NAMES
from trainer.config.fields import Config
from trainer.config.overrides import Composed
from trainer.config.sameness import changeable
from trainer.config.saved import put, read_saved, to_object
from trainer.schedules.durations import parse

if TYPE_CHECKING:
    from trainer.storage.checkpoint import Checkpoint


def parse_fork(text: str) -> tuple[Path, str | None]:
    """Splits what `fork` says into a place and a position: `RUN@10` is after 10 epochs.

    Returns:
        The run folder or checkpoint, and the position as a duration; None: the newest.
    """
    place, at, position = text.rpartition("@")
    if at and not Path(text).exists():
        try:
            parse(position, "fork")
        except ValueError:
            return Path(text), None
        return Path(place), position
    return Path(text), None


def position(fork: str, parent: dict[str, Any], place: Path) -> int | None:
    """The completed steps that `fork` starts from; None: the newest checkpoint.

    Args:
        fork: The whole value.
        parent: A configuration saved by the parent, which knows its steps.
        place: Where that came from.

    Raises:
        ValueError: If it is no duration, or before the first step.
    """
    at = parse_fork(fork)[1]
    if at is None:
        return None
    return to_object(read_saved(parent, place)).span().length(at, f"fork={fork}", least=1)


def forked(parent: "Checkpoint", composed: Composed, overrides: list[Override]) -> Composed:
    """What the arguments compose to, as a branch of another run.

    Args:
        parent: Where it branches off.
        composed: The arguments as if they were a run's own.
        overrides: The same, parsed.

    Raises:
        ValueError: If an argument changes more than the schedule, or the parent's cannot be cut;
            names key, saved and current value.
    """
    state, step = parent.state, int(parent.state["progress"]["step"])
    node = read_saved(state["config"], parent.path)
    for key in ("name", "resume", "until", "init"):
        node[key] = None
    for key in ("on_horizon_change", "on_process_change"):  # were for what they were given to
        node[key] = "error"
    before = to_object(node)
    if not any(o.key_or_group.partition(".")[0] == "scheduler" for o in overrides):
        raise ValueError(
            f"fork={composed.config.fork}: needs the schedule to go on with: scheduler="
        )
    for override in overrides:
        key, line = override.key_or_group, str(override.input_line)
        if key.partition(".")[0] in ("scheduler", "hydra", "fork", "resume", "plugins"):
            continue
        if key in GROUP_NAMES:
            name = state["config"].get(key, {}).get("name")
            if override.value() != name:
                raise ValueError(f"{line}: a fork keeps its parent's {key}, {name}")
        elif key in changeable(before) and key != "init":
            put(node, key, override.value(), line)
        elif (saved := OmegaConf.select(node, key)) != override.value():
            raise ValueError(
                f"{line}: the parent was trained with {key}={saved}, and a fork changes its "
                "schedule alone"
            )
    past = _past(before, parent, f"fork={composed.config.fork}")
    rest = {"length": None, "schedule": asdict(composed.config.scheduler)}
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)
    values["scheduler"] = {"name": "phases", "phases": [past, rest]}
    values["fork"] = f"{parent.run_folder}@{step}steps"
    config = to_object(read_saved(values, parent.path))  # pyright: ignore[reportArgumentType]
    if step >= config.span().updates:
        raise ValueError(
            f"epochs={config.epochs}: the fork begins at step {step}, and nothing is left to train"
        )
    config.anchor()
    return replace(composed, config=config, node=OmegaConf.create(config.to_dict()))


def _past(before: Config, parent: "Checkpoint", line: str) -> dict[str, Any]:
    """The parent's schedule as a phase that is cut from its whole length.

    Raises:
        ValueError: If its LRs are more than a function of the step.
    """
    state, path = parent.state, parent.path
    resolved, name = before.resolve_schedule(), before.scheduler.name
    if resolved.plateau is not None or resolved.momentum is not None:
        why = "follows the metrics" if resolved.plateau is not None else "cycles the momentum"
        raise ValueError(
            f"{line}: the parent's schedule, {name}, {why}; only a schedule that is a function of "
            f"the step can be forked; init={path} starts a new run from its weights"
        )
    if state["scheduler"]["revisions"]:
        raise ValueError(
            f"{line}: the length of the parent was changed on the way, so its LRs are not one "
            f"schedule; init={path} starts a new run from its weights"
        )
    step, whole = state["progress"]["step"], f"{resolved.updates} steps"
    return {"length": f"{step} steps", "of": whole, "schedule": asdict(before.scheduler)}
