"""`python -m trainer --help`."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from trainer.config.fields import Config
from trainer.config.overrides import GROUP_NAMES, compose_run, options, quoted
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions

HEAD = """\
Trains a network on CIFAR-10 under a learning-rate schedule.

  python -m trainer                                     the defaults: vgg, sgd, warmup_cosine
  python -m trainer scheduler=steplr scheduler.step_size=8 optimizer.lr=0.02
  python -m trainer experiment=vgg_warmup_steplr        a whole recipe
  python -m trainer data=synthetic epochs=3             without the data set
  python -m trainer -m scheduler=steplr,cosine seed=0,1,2   a sweep
  python -m trainer -m search=lr                        Optuna chooses LR, warm-up and decay
  python -m trainer resume=outputs/<date>/<time>        goes on with a run in its own folder

Lengths (step_size, warmup, milestones, ...): 5 or 2.5 are epochs, "300 steps" optimizer steps,
"10%" a share of the run."""


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for help."""
    return any(argument in ("-h", "--help") for argument in arguments)


def text() -> str:
    """The whole page."""
    lines = [HEAD, "", "Groups (group=option):"]
    for group in GROUP_NAMES:
        names = textwrap.wrap(" ".join(options(group)), 86)
        lines += [
            f"  {head:<10} {row}" for head, row in zip([group, *[""] * 9], names, strict=False)
        ]
    lines += ["", "Keys and their defaults (key=value):"]
    lines += [f"  {key:<28} {value}" for key, value in _defaults().items()]
    lines += ["", "--cfg job prints the composed configuration; an option's keys are in it."]
    return "\n".join(lines)


def configuration(arguments: Sequence[str]) -> str:
    """What the arguments compose to, as YAML.

    Raises:
        ValueError: If they do not compose.
    """
    config = compose_run([quoted(argument) for argument in arguments]).config
    return OmegaConf.to_yaml(config.to_dict()).rstrip()


def _defaults() -> dict[str, str]:
    values: dict[str, Any] = {}
    places = {"": Config, "checkpoint.": CheckpointOptions}
    places |= {"early_stopping.": EarlyStoppingOptions, "log.": LogOptions}
    for place, option in places.items():
        for field in dataclasses.fields(option):
            if field.name in GROUP_NAMES or field.default is dataclasses.MISSING:
                continue
            values[f"{place}{field.name}"] = field.default
    words = {None: "null", True: "true", False: "false"}
    return {k: words[v] if v is None or isinstance(v, bool) else str(v) for k, v in values.items()}
