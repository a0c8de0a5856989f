"""Draws every option of the scheduler group into docs/schedules.png, and each into docs/schedules/.

Usage: python scripts/schedule_figure.py
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.cli.plot import save
from trainer.config.choices import options
from trainer.config.overrides import compose_run

DOCS = Path(__file__).resolve().parent.parent / "docs"
# Settings that show what an option does within 30 epochs.
SHOWN = {
    "noam": ["optimizer.lr=1", "scheduler.warmup=4"],
    "inverse_sqrt": ["scheduler.timescale=3"],
    "cosine_restarts": ["scheduler.t_0=2", "scheduler.t_mult=2"],
    "warmup_cosine_restarts": ["scheduler.after.num_cycles=3", "scheduler.after.peak_decay=0.7"],
    "polynomial": ["scheduler.power=2"],
    "warmup_polynomial": ["scheduler.after.power=2"],
    "formula": ["scheduler.formula='exp(-2*t/total) * (0.7 + 0.3*cos(2*pi*t/5))'"],
    "plateau": ["scheduler.patience=2", "scheduler.factor=0.3"],
    "warmup_plateau": ["scheduler.after.patience=2", "scheduler.after.factor=0.3"],
}
# What the plateaus are shown: a loss that stops falling for six epochs.
LOSSES = [1 / (1 + 0.5 * min(e, 9) + (1.0 * (e - 14) if e > 14 else 0)) for e in range(30)]


def main() -> int:
    """Writes the figures; returns the exit code."""
    (DOCS / "schedules").mkdir(exist_ok=True)
    names = [name for name in options("scheduler") if not name.startswith("recipe/")]
    columns = 5
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(12, 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True).flatten()
    for panel, name in zip(axes, names, strict=False):
        draw(panel, name)
        panel.set_title(name, fontsize=10)
        if not name.startswith("warmup_") or name == "warmup_cosine":
            single = Figure(figsize=(2.6, 1.5), layout="constrained")
            draw(single.subplots(), name)
            save(single, DOCS / "schedules" / f"{name}.png")
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel("epoch")
    figure.supylabel("learning rate")
    save(figure, DOCS / "schedules.png")
    print(f"{len(names)} options in {DOCS / 'schedules.png'} and {DOCS / 'schedules'}")
    return 0


def draw(panel: Axes, name: str) -> None:
    """The LR of an option at every step of 30 epochs."""
    config = compose_run([f"scheduler={name}", *SHOWN.get(name, [])]).config
    resolved = config.resolve_schedule()
    steps, base = resolved.steps_per_epoch, config.optimizer.lr
    if resolved.plateau is not None:
        for epoch, loss in enumerate(LOSSES, 1):
            resolved.plateau.observe(loss, epoch * steps)
    lrs = [resolved.lr(k, base) for k in range(resolved.updates)]
    panel.step([k / steps for k in range(len(lrs))], lrs, where="post", linewidth=1.2)
    panel.set_ylim(0, max(lrs) * 1.08)
    panel.grid(alpha=0.3)
    panel.tick_params(labelsize=7)


if __name__ == "__main__":
    sys.exit(main())
