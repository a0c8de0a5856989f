"""`python -m trainer.find_lr`: which learning rates are worth trying."""

from trainer.cli import signals
from trainer.cli.words import count

if __name__ == "__main__":
    signals.end_at_once()  # files are written at the end, whole

import json
import math
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.cli import console
from trainer.cli.command import Parser, framed, leave, show
from trainer.config.choices import with_config_dir
from trainer.config.fields import Config
from trainer.config.overrides import compose_run, parse
from trainer.config.quoting import quoted
from trainer.storage import files, folders
from trainer.training import start

if TYPE_CHECKING:
    from trainer.training.range_test import RangeTest

EXAMPLES = """\
examples:
  python -m trainer.find_lr
  python -m trainer.find_lr model=vgg optimizer=adamw --to 1
  python -m trainer.find_lr init=outputs/2026-11-21/10-00-00 --out range_test

Trains with an LR that rises exponentially, step by step, until the loss runs away (four times
its best) or --to is reached, on the batches and with the steps of a training with the same
key=value; optimizer.lr and the schedule are left out. Nothing is kept of the weights. Suggests the
smaller of two LRs: that of the steepest fall of the smoothed loss, and a tenth of that of its
lowest point. Writes find_lr.png, find_lr.csv and find_lr.json."""
LEFT_OUT = ("optimizer.lr", "on_horizon_change")


@framed
def main(arguments: list[str]) -> int:
    """Tests, prints and writes; returns the exit code."""
    parser = Parser(
        "find_lr",
        "[key=value ...] [--from LR] [--to LR] [--steps N] [--out FOLDER]",
        "The learning-rate range test: a plot of the loss against the LR, and a suggestion.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--from", type=float, default=1e-5, dest="lowest", metavar="LR", help="first (%(default)g)")
    add("--to", type=float, default=10.0, dest="highest", metavar="LR", help="last (%(default)g)")
    add("--steps", "--updates", dest="updates", type=int, default=300, metavar="N",
        help="how many (%(default)s)")  # fmt: skip
    add("--out", type=Path, metavar="FOLDER", help="default: outputs/find_lr/<date>_<time>")
    words = parser.read(with_config_dir(arguments))
    if words.paths:
        raise ValueError(f"{words.paths[0]}: is not key=value; init=<checkpoint> starts there")
    flags = words.flags
    check_range(flags.lowest, flags.highest, flags.updates)
    config = configured(words.overrides)
    out: Path = flags.out or Path("outputs/find_lr", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    folders.check_writable(out)
    from trainer.training.range_test import run_range_test  # torch takes seconds
    from trainer.training.session import explained

    drawn = console.shows_bar(config.log.progress)
    try:
        with console.StepBar("range test", flags.updates, show=drawn) as bar:
            test = run_range_test(
                config,
                lowest=flags.lowest,
                highest=flags.highest,
                updates=flags.updates,
                report=lambda loss: bar.advance(f"loss {loss:.3f}"),
            )
    except (RuntimeError, OSError) as error:
        if (known := explained(error, config)) is not None:
            raise known from error
        raise
    lines = conclusions(test, [w for w in words.overrides if _key(w) not in LEFT_OUT])
    write(out, test, config, lines)
    from trainer.training.range_figure import characters

    text = "\n".join([characters(test, suggested(test)), *lines, f"written: {out}"])
    return show(text)


def check_range(lowest: float, highest: float, updates: int) -> None:
    """Raises ValueError unless an LR can rise from one to the other."""
    if not 0 < lowest < math.inf:
        raise ValueError(f"--from {lowest:g}: must be above 0")
    if not lowest < highest < math.inf:
        raise ValueError(f"--to {highest:g}: must be above --from {lowest:g}")
    if not math.isfinite(highest / lowest):
        raise ValueError(f"--to {highest:g}: is too many times --from {lowest:g} for a number")
    if not 20 <= updates <= 100_000:
        raise ValueError(f"--steps {updates}: must be in 20..100000")


def configured(overrides: Sequence[str]) -> Config:
    """The training that the overrides ask for, its data found and its values checked.

    Raises:
        ValueError: If it cannot be.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
    """
    arguments = [quoted(argument) for argument in overrides]
    for override in parse(arguments):
        key = override.key_or_group
        if key == "resume":
            raise ValueError(f"{override.input_line}: a range test starts anew; init=<checkpoint>")
        if key.startswith("hydra"):
            raise ValueError(f"{override.input_line}: a range test has no run folder; --out FOLDER")
        if override.is_sweep_override():
            raise ValueError(f"{override.input_line}: one range test at a time")
    config = compose_run(arguments).config
    start.check([config])
    config.anchor()
    return config


def suggested(test: "RangeTest") -> float | None:
    """The smaller of the two LRs, to two digits; None: the loss did not fall."""
    if test.steepest is None or test.tenth is None:
        return None
    return float(f"{min(test.steepest, test.tenth):.2g}")


def conclusions(test: "RangeTest", overrides: Sequence[str]) -> list[str]:
    """What the test says, and the commands that follow from it."""
    lowest = test.lrs[test.lowest]
    end = f"the loss ran away at LR {test.lrs[-1]:.2g}, " if test.diverged else "no divergence, "
    lines = [f"{end}after {count(len(test.lrs), 'step')}"]
    if test.skipped:
        lines.append(f"note: the GradScaler skipped {count(test.skipped, 'step')}")
    suggestion = suggested(test)
    if suggestion is None:
        return [
            *lines,
            "no suggestion: the loss did not fall by more than noise; try more --steps",
        ]
    if test.lowest > len(test.lrs) - 3 and not test.diverged:
        lines.append("note: the loss was still falling at the end; a higher --to sees more")
    words = shlex.join(overrides)
    command = f"python -m trainer{f' {words}' if words else ''}"
    around = ",".join(f"{suggestion * factor:.2g}" for factor in (1 / 3, 1, 3))
    return [
        *lines,
        f"steepest fall at LR {test.steepest:.2g}; lowest at {lowest:.2g}, a tenth of it is "
        f"{lowest / 10:.2g}",
        f"suggestion: {suggestion:g}, the smaller of the two; an order of magnitude, no more: one "
        "seed, its first steps, no warm-up and no decay",
        f"  {command} optimizer.lr={suggestion:g}",
        f"  {command.replace('trainer', 'trainer -m', 1)} optimizer.lr={around}",
    ]


def write(out: Path, test: "RangeTest", config: Config, lines: Sequence[str]) -> None:
    """Makes the folder; writes the picture, the table and the numbers.

    Raises:
        OSError: If one cannot be written.
    """
    from trainer.cli import plot
    from trainer.training import range_figure

    files.make_folder(out.absolute())
    suggestion = suggested(test)
    title = f"{config.model.name}, {config.optimizer.name}, batch {config.batch_size}"
    plot.save(range_figure.draw(test, suggestion, f"Range test: {title}"), out / "find_lr.png")
    files.write_text(out / "find_lr.csv", range_figure.csv_text(test))
    values: dict[str, Any] = {
        "suggestion": suggestion,
        "steepest": test.steepest,
        "lowest": test.lrs[test.lowest],
        "diverged": test.diverged,
        "updates": len(test.lrs),
        "said": list(lines),
        "config": config.to_dict(),
    }
    files.write_text(out / "find_lr.json", json.dumps(values, indent=2) + "\n")


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


if __name__ == "__main__":
    leave(main())
