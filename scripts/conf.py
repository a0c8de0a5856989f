"""Writes `conf/**/*.yaml` and docs/configuration.md from the options: one source of each default.

Recipes, experiments, searches and launchers in `conf/` are written by hand and left alone.

Usage: scripts/conf
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainer.config.fields import GROUPS, Config, warmed_up
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions
from trainer.options import docs

ROOT = Path(__file__).resolve().parent.parent
MADE = "# Written by scripts/conf from the option's docstring and defaults.\n"
SECTIONS = {
    "checkpoint": CheckpointOptions,
    "early_stopping": EarlyStoppingOptions,
    "log": LogOptions,
}
# Where the environment may say it.
ENVIRONMENT = {("cifar10", "root"): "${oc.env:CIFAR10_ROOT,data}"}
HEAD = """\
defaults:
  - /schema/config@_here_
  - _self_
  - data: cifar10
  - model: vgg
  - optimizer: sgd
  - scheduler: warmup_cosine
  - experiment: null
  - search: null
  - override hydra/launcher: processes
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
"""
TAIL = """
hydra:
  job:
    name: trainer
  run:
    dir: outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}
  sweep:
    dir: outputs/sweeps/${now:%Y-%m-%d}_${now:%H-%M-%S}
    subdir: ${hydra.job.num}
"""
PAGE = """\
# Configuration

Every key of a run: `python -m trainer key=value`, or `group=option` and the keys of that option.
`python -m trainer --help` prints the first table, `python -m trainer scheduler=onecycle --help` an
option's keys. Written by `scripts/conf` from the docstrings, as are the files in `conf/`.

Lengths (`step_size`, `warmup`, `milestones`, ...): 5 or 2.5 are epochs, `"300 steps"` optimizer
steps, `"10%"` a share of the run.
"""


def main() -> None:
    """Writes what differs, and removes what no option stands behind any more."""
    wanted = files()
    conf = ROOT / "conf"
    for file in conf.rglob("*.yaml"):
        if file.read_text().startswith(MADE) and file.relative_to(ROOT).as_posix() not in wanted:
            file.unlink()
    for name, text in wanted.items():
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text:
            (ROOT / name).write_text(text)
            print(f"wrote {name}")


def files() -> dict[str, str]:
    """Path from the project's root and content of each file."""
    made = {"conf/config.yaml": config_file(), "docs/configuration.md": page()}
    for group, options in GROUPS.items():
        for name, option in options.items():
            if name != "warmup":  # needs its `after`: warmup_<name> has it
                made[f"conf/{group}/{name}.yaml"] = option_file(group, name, option)
    for name in warmed_up():
        made[f"conf/scheduler/{name}.yaml"] = warmup_file(name.removeprefix("warmup_"))
    return made


def config_file() -> str:
    """`conf/config.yaml`: a run's own keys. They come before the groups: a recipe may set them."""
    parts = [MADE, comment(docs.title(Config)), HEAD, *entries(Config)]
    for section, option in SECTIONS.items():
        parts += ["\n", comment(docs.title(option)), f"{section}:\n"]
        parts += [textwrap.indent(entry, "  ") for entry in entries(option)]
    return "".join([*parts, TAIL])


def option_file(group: str, name: str, option: type[Any]) -> str:
    """An option's keys behind its schema, which knows their types."""
    defaults = f"defaults:\n  - /schema/{group}/{name}@_here_\n  - _self_\n"
    return "".join([MADE, comment(docs.title(option)), defaults, *entries(option, name)])


def warmup_file(inner: str) -> str:
    """A warm-up in front of another schedule, whose keys stand below `after`."""
    option = GROUPS["scheduler"]["warmup"]
    defaults = "defaults:\n  - /schema/scheduler/warmup@_here_\n"
    defaults += f"  - /scheduler@after: {inner}\n  - _self_\n"
    return "".join([MADE, comment(docs.title(option)), defaults, *entries(option)])


def entries(option: type[Any], name: str = "") -> Iterator[str]:
    """Each key below a line that says what it does."""
    for key in docs.keys(option):
        text = key.text if len(key.text) < 90 else re.split(r"(?<!e\.g)[.;] ", key.text)[0]
        words = textwrap.fill(text.rstrip(".") + allowed(key), 98, subsequent_indent="# ")
        value = ENVIRONMENT.get((name, key.name), key.default)
        yield f"\n# {words}\n{key.name}: {written(value)}\n"


def allowed(key: docs.Key) -> str:
    """The range of a key, where its text does not name it."""
    choices = (key.range or "").removeprefix("one of ").removesuffix(", or null")
    named = choices.lower() in key.text.lower() or all(
        f"`{choice}`" in key.text for choice in choices.split(", ")
    )
    return "" if named else f" ({key.range})"


def comment(sentence: str) -> str:
    """A sentence as a comment."""
    return f"# {sentence}\n"


def page() -> str:
    """docs/configuration.md."""
    parts = [PAGE, "\n## A run\n", *table("", docs.keys(Config))]
    for section, option in SECTIONS.items():
        parts += [
            f"\n## {section}\n\n{docs.title(option)}\n",
            *table(f"{section}.", docs.keys(option)),
        ]
    for group, options in GROUPS.items():
        parts += [f"\n## {group}\n\n`{group}=<option>`, its keys with `{group}.` in front.\n"]
        keys = {name: docs.keys(option) for name, option in options.items()}
        shared = [key for key in next(iter(keys.values())) if all(key in k for k in keys.values())]
        parts += ["\nEvery option has:\n" if shared else "", *table("", shared)]
        for name, option in options.items():
            own = [key for key in keys[name] if key not in shared]
            parts += [f"\n### {name}\n\n{docs.title(option)}\n", *table("", own)]
    return "".join(parts)


def table(place: str, keys: Sequence[docs.Key]) -> Iterator[str]:
    """Keys as a table."""
    if keys:
        yield "\n| key | default | what it is |\n| --- | --- | --- |\n"
    for key in keys:
        words = f"{key.text.rstrip('.')}{allowed(key)}".replace("|", "\\|")
        yield f"| `{place}{key.name}` | `{written(key.default)}` | {words} |\n"


def written(value: object) -> str:
    """A value as one would type it."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    )


if __name__ == "__main__":
    main()
