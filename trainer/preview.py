"""`python -m trainer.preview`: see the LR before training.

Every curve comes from the function that trains. Needs no data set, no GPU and no torch.
"""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # there is nothing to save

import json
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.cli import terminal_plot
from trainer.cli.command import Parser, framed, leave, show
from trainer.config.choices import with_config_dir
from trainer.config.fields import Config
from trainer.config.overrides import compose_run, jobs, parse
from trainer.config.quoting import quoted
from trainer.schedules.linter import lint
from trainer.schedules.schedule import ResolvedSchedule
from trainer.storage import files

EXAMPLES = """\
examples:
  python -m trainer.preview scheduler=steplr,multistep,warmup_cosine epochs=30
  python -m trainer.preview experiment=vgg_warmup_steplr --png lr.png --csv lr.csv
  python -m trainer.preview scheduler=onecycle,exponential --log
  python -m trainer.preview scheduler=plateau scheduler.patience=2,5 --metrics metrics.jsonl"""


@dataclass(frozen=True, slots=True)
class PreviewCurve:
    """The LR of one parameter group at every step of one configuration.

    Attributes:
        label: What sets it apart from the others.
        steps_per_epoch: Steps in an epoch.
        lrs: The LR in force for step 0, 1, ...
        schedule: The label without the parameter group.
        momenta: The momentum likewise, the same for all groups; empty: it is not cycled.
    """

    label: str
    steps_per_epoch: int
    lrs: list[float]
    schedule: str
    momenta: list[float]


@framed
def main(arguments: list[str]) -> int:
    """Prints, and writes where asked, the curves; returns the exit code."""
    parser = Parser(
        "preview",
        "[key=value ...] [--log] [--csv FILE] [--png FILE] [--metrics FILE]",
        "Draws the LR, and a momentum that is cycled, of each step for one or many schedules.",
        EXAMPLES,
    )
    parser.add_argument("-m", "--multirun", action="store_true", help=SUPPRESS)  # as in a sweep
    parser.add_argument("--log", action="store_true", help="a logarithmic axis for the LR")
    parser.add_argument("--csv", type=Path, help="write step, epoch and a column per curve")
    parser.add_argument("--png", type=Path, help="write a picture")
    parser.add_argument(
        "--metrics",
        type=Path,
        help="what a plateau would have seen: a run's metrics.jsonl, or one number a line",
    )
    flags = parser.read(with_config_dir(arguments)).flags
    curves, lines = previews(flags.words, flags.metrics)
    lrs = [(c.label, c.lrs, c.steps_per_epoch) for c in curves]
    first = {c.schedule: c for c in reversed(curves)}  # all groups have the same momentum
    momenta = [
        (c.schedule, c.momenta if c is first[c.schedule] else [], c.steps_per_epoch) for c in curves
    ]
    cycled = [momentum for _, values, _ in momenta for momentum in values]
    axis: dict[str, Any] = {"bottom": lowest_shown(curves) if flags.log else 0.0, "log": flags.log}
    lines.append(terminal_plot.draw(lrs, "LR", **axis))
    if cycled:
        lines += ["", terminal_plot.draw(momenta, "momentum", bottom=min(cycled))]
    code = show("\n".join([*lines, *map(describe, curves)]))
    if flags.csv:
        files.write_text(flags.csv, csv_text(curves))
        code = show(f"written: {flags.csv}") or code
    if flags.png:
        from trainer.cli.plot import draw_schedules  # matplotlib takes half a second

        panels = {"learning rate": lrs} | ({"momentum": momenta} if cycled else {})
        draw_schedules(flags.png, panels, **axis)
        code = show(f"written: {flags.png}") or code
    return code


def lowest_shown(curves: Sequence[PreviewCurve]) -> float:
    """Where a logarithmic axis begins: at the lowest LR above 0, or six decades below the highest.

    A cosine comes closer to 0 in its last steps than anybody wants to see.
    """
    top = max(max(c.lrs) for c in curves) or 1.0
    return min((lr for c in curves for lr in c.lrs if lr > top * 1e-6), default=top * 1e-6)


def previews(
    arguments: Sequence[str], metrics: Path | None = None
) -> tuple[list[PreviewCurve], list[str]]:
    """The curves of every configuration that the arguments ask for, and what was noticed.

    Args:
        arguments: Overrides; several values for a key give several curves.
        metrics: File that a plateau takes its metrics from.

    Raises:
        ValueError: If a configuration, or a file of metrics, cannot be.
    """
    if metrics is not None and metrics.exists() and not metrics.is_file():
        raise ValueError(f"--metrics {metrics}: is not a regular file")  # it may have no end
    overrides = parse([quoted(argument) for argument in arguments])
    swept = [o.get_key_element() for o in overrides if o.is_sweep_override()]
    curves: list[PreviewCurve] = []
    notes: list[str] = []
    for job in jobs(overrides):
        config = compose_run(job).config
        differing = [a for a in job if a.partition("=")[0] in swept]
        label = ", ".join(differing) or config.scheduler.label()
        resolved = config.resolve_schedule()
        if metrics is not None and resolved.plateau is not None:
            replay(resolved, config, metrics)
        groups = config.optimizer.base_lrs()
        warnings = lint(config.scheduler, resolved, groups, has_validation=config.data.val_size > 0)
        lines = [*resolved.notes.rounded, *(f"warning: {line}" for line in warnings)]
        notes += [f"{label}: {line}" if swept else line for line in lines]
        steps, momentum = range(resolved.updates), resolved.momentum
        momenta = [] if momentum is None else [momentum(k) for k in steps]
        for name, base_lr in groups:
            lrs = [resolved.lr(k, base_lr) for k in steps]
            full = label if len(groups) == 1 else f"{label} [{name}]"
            curves.append(PreviewCurve(full, resolved.steps_per_epoch, lrs, label, momenta))
    return curves, notes


def replay(resolved: ResolvedSchedule, config: Config, metrics: Path) -> None:
    """Shows a plateau the metrics of a finished run, epoch by epoch.

    Raises:
        ValueError: If a line is neither a number nor a row with the monitored metric.
    """
    if resolved.plateau is None:
        return
    for number, line in enumerate(metrics.read_text().splitlines(), 1):
        epoch, value = number, _parsed(line)
        if isinstance(value, dict):
            epoch = int(value.get("epoch", number))
            value = resolved.plateau.option.monitored(value, resolved.plateau.key)
        if not isinstance(value, int | float):
            raise ValueError(f"{metrics}: line {number} is neither a number nor a row")
        if epoch <= config.epochs:
            resolved.plateau.observe(float(value), epoch * resolved.steps_per_epoch)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def describe(curve: PreviewCurve) -> str:
    """One line: first, highest and last LR, and the range of a momentum that is cycled."""
    lrs, per_epoch = curve.lrs, curve.steps_per_epoch
    top = max(range(len(lrs)), key=lrs.__getitem__)
    line = (
        f"{curve.label}: {len(lrs):,} steps ({per_epoch} an epoch); first {lrs[0]:.6g}, highest "
        f"{lrs[top]:.6g} at step {top} (epoch {top / per_epoch:.4g}), last {lrs[-1]:.6g}"
    )
    if curve.momenta:
        line += f"; momentum {min(curve.momenta):.6g} to {max(curve.momenta):.6g}"
    return line


def csv_text(curves: Sequence[PreviewCurve]) -> str:
    """Columns step, epoch (of the first curve), one per curve and per momentum; exact decimals."""
    columns = {c.label: c.lrs for c in curves}
    columns |= {f"{c.schedule} momentum": c.momenta for c in curves if c.momenta}
    labels = [json.dumps(label) if "," in label else label for label in columns]
    lines = [",".join(["step", "epoch", *labels])]
    for k in range(max(map(len, columns.values()))):
        values = [repr(column[k]) if k < len(column) else "" for column in columns.values()]
        lines.append(",".join([str(k), repr(k / curves[0].steps_per_epoch), *values]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    leave(main())
