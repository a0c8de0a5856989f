"""`python -m trainer --help`: the commands, then each key with its default and what it does."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from trainer.config.choices import GROUP_NAMES, load_plugins, options, with_config_dir
from trainer.config.fields import GROUPS, Config
from trainer.config.overrides import compose_run, parse
from trainer.config.quoting import quoted
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions
from trainer.options import docs

HEAD = """\
Trains a network on CIFAR-10 under a learning-rate schedule.

  python -m trainer                                     the defaults: vgg, sgd, warmup_cosine
  python -m trainer scheduler=steplr scheduler.step_size=8 optimizer.lr=0.02
  python -m trainer experiment=vgg_warmup_steplr        a whole recipe
  python -m trainer data=synthetic epochs=3             without the data set
  python -m trainer -m scheduler=steplr,cosine seed=0,1,2   a sweep
  python -m trainer -m search=lr                        Optuna chooses LR, warm-up and decay
  python -m trainer resume=outputs/<date>/<time>        goes on with a run in its own folder

Other commands, each with its own --help:
  python -m trainer.preview       the LR of every step, drawn before training
  python -m trainer.find_lr       a range test: which LRs are worth trying
  python -m trainer.report        compares runs; a page, a table and pictures
  python -m trainer.sweep         how far a sweep is; runs what failed or is missing
  python -m trainer.evaluate      accuracy, per class, calibration; also predict, export
  python -m trainer.checkpoints   what checkpoints hold, how two differ, whether they are whole
  python -m trainer.verify_resume kills and resumes a run, and compares it bit for bit

Lengths (step_size, warmup, milestones, ...): 5 or 2.5 are epochs, "300 steps" optimizer steps,
"10%" a share of the run."""


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for help."""
    return any(argument in ("-h", "--help") for argument in arguments)


def text(arguments: Sequence[str] = ()) -> str:
    """The whole page; with options chosen (`scheduler=onecycle --help`), their keys.

    Raises:
        ValueError: If an argument names no option.
    """
    words = [a for a in with_config_dir(arguments) if a not in ("-h", "--help")]
    overrides = parse([quoted(word) for word in words])
    load_plugins(overrides)
    chosen: list[str] = []
    for override in overrides:
        group = override.key_or_group
        if group in GROUPS:
            compose_run([str(override.input_line)])  # refuses a name that is none
            chosen += _option(group, str(override.value()))
    if chosen:
        return "\n".join(chosen)
    lines = [HEAD, "", "Groups (group=option; `<group>=<option> --help` lists the option's keys):"]
    for group in GROUP_NAMES:
        names = textwrap.wrap(" ".join(options(group)), 86)
        lines += [
            f"  {head:<10} {row}" for head, row in zip([group, *[""] * 9], names, strict=False)
        ]
    lines += ["", "Keys, their defaults and what they do (key=value):"]
    places: dict[str, type] = {"": Config, "checkpoint.": CheckpointOptions}
    places |= {"early_stopping.": EarlyStoppingOptions, "log.": LogOptions}
    for place, option in places.items():
        lines += _keys(place, option)
    lines += ["", "--cfg job prints the composed configuration."]
    return "\n".join(lines)


def _option(group: str, choice: str) -> list[str]:
    """An option's keys; of a warm-up, those of what stands behind it, too."""
    known, inner = GROUPS[group], choice.removeprefix("warmup_")
    if choice in known:
        option = known[choice]
        return [f"{group}={choice}: {docs.title(option)}", "", *_keys(f"{group}.", option)]
    if inner in known:
        after = _keys(f"{group}.after.", known[inner])
        title = f"{group}={choice}: {docs.title(known['warmup'])} Behind it, {inner}:"
        front = [line for line in _keys(f"{group}.", known["warmup"]) if ".after" not in line]
        after = [line for line in after if ".after.interval" not in line]  # of the outermost
        return [title, docs.title(known[inner]), "", *front, *after]
    return [f"{group}={choice}: a recipe; --cfg job prints what it sets"]


def _keys(place: str, option: type[Any]) -> Iterator[str]:
    """Key, default and text of each field; the text goes on in lines of its own."""
    for key in docs.keys(option):
        head = f"  {place}{key.name} = {_written(key.default)}"
        words = textwrap.wrap(key.text, 92)
        allowed = f"   ({key.range})" if key.range else ""
        yield "\n".join([head + allowed, *(f"      {line}" for line in words)])


def _written(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def configuration(arguments: Sequence[str]) -> str:
    """What the arguments compose to, as YAML.

    Raises:
        ValueError: If they do not compose.
    """
    config = compose_run([quoted(argument) for argument in arguments]).config
    return OmegaConf.to_yaml(config.to_dict()).rstrip()
