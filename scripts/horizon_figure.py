"""Draws what a schedule does when a run is trained on past its planned end, into docs/horizon.png.

Usage: python scripts/horizon_figure.py [PNG]
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from trainer.cli.plot import save
from trainer.config.overrides import compose_run
from trainer.schedules.horizon import CHOICES
from trainer.schedules.lr_schedule import LRSchedule
from trainer.schedules.schedule import Schedule

TARGET = Path(__file__).resolve().parent.parent / "docs" / "horizon.png"
PLANNED, LONGER, STEPS = 30, 45, 100  # epochs, epochs, steps in each
# Title, schedule, and the epoch at which the run gets its new length.
STEPLR = ["scheduler=steplr", "scheduler.step_size=8", "scheduler.gamma=0.4"]
CASES = (
    ("warmup_cosine,\nat its end", ["scheduler=warmup_cosine"], PLANNED),
    ("warmup_cosine,\nafter 20 epochs", ["scheduler=warmup_cosine"], 20),
    ("steplr (step 8, 0.4),\nat its end", STEPLR, PLANNED),
    ("wsd,\nafter 20 epochs", ["scheduler=wsd"], 20),
)


def lrs_of(option: Schedule, at: int, choice: str | None) -> list[float]:
    """The LR of every step of a run of 30 epochs, raised to 45 after `at` of them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.04)
    schedule = LRSchedule(optimizer, option, steps_per_epoch=STEPS, epochs=PLANNED)
    optimizer.step()
    lrs: list[float] = []
    for k in range((PLANNED if choice is None else LONGER) * STEPS):
        if choice is not None and k == at * STEPS:
            schedule.change_epochs(LONGER, choice)
        lrs.append(schedule.get_last_lr()[0])
        schedule.step()
    return lrs


def main(path: Path) -> int:
    """Writes the figure; returns the exit code."""
    figure = Figure(figsize=(12, 1.9 * len(CASES)), layout="constrained")
    axes = figure.subplots(len(CASES), len(CHOICES), sharex=True, sharey="row")
    for row, (title, arguments, at) in zip(axes, CASES, strict=True):
        option = compose_run([*arguments, f"epochs={PLANNED}"]).config.scheduler
        planned = lrs_of(option, at, None)
        for panel, choice in zip(row, CHOICES, strict=True):
            try:
                lrs = lrs_of(option, at, choice)
            except ValueError:  # a tail from 0
                lrs = planned
                panel.text(0.95, 0.9, "refused", transform=panel.transAxes, ha="right", va="top")
            epochs = [k / STEPS for k in range(len(lrs))]
            panel.plot(epochs[: len(planned)], planned, color="0.6", linewidth=1, linestyle="--")
            panel.plot(epochs[: at * STEPS], lrs[: at * STEPS], color="0.35", linewidth=1.4)
            panel.step(epochs[at * STEPS :], lrs[at * STEPS :], color="C0", linewidth=1.6)
            panel.axvline(at, color="C3", linewidth=0.8)
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=7)
            panel.set_ylim(bottom=0)
        row[0].set_ylabel(title, fontsize=8)
    for panel, choice in zip(axes[0], CHOICES, strict=True):
        panel.set_title(f"on_horizon_change={choice}", fontsize=8)
    figure.supxlabel("epoch (red: epochs=45 is given; dashed: as planned)", fontsize=9)
    save(figure, path)
    print(f"{len(CASES)} schedules under {len(CHOICES)} choices in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET))
