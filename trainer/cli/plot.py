"""Pictures for files; matplotlib without a display."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.storage import files

DPI = 120


def draw_schedules(
    path: Path,
    panels: Mapping[str, Sequence[tuple[str, Sequence[float], int]]],
    *,
    bottom: float,
    log: bool,
) -> None:
    """Curves against the epoch, one panel below the other; a place in the list is a colour.

    Args:
        path: The PNG file.
        panels: By what is drawn, the LR first: label, value of each step, and steps per epoch of
            each curve; one without values keeps its colour.
        bottom: Where the axis of the LR begins.
        log: Whether that axis is logarithmic.
    """
    figure = Figure(figsize=(8, 2 + 2.5 * len(panels)), layout="constrained")
    ratios = (2, *[1] * (len(panels) - 1))
    rows = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=ratios)
    for axes, (name, curves) in zip(rows.flat, panels.items(), strict=True):
        for number, (label, values, steps_per_epoch) in enumerate(curves):
            if not values:
                continue
            epochs = [k / steps_per_epoch for k in range(len(values))]
            line: dict[str, Any] = {"color": f"C{number}", "linewidth": 1.5, "label": label}
            axes.step(epochs, values, where="post", **line)
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        axes.legend()
    if log:
        rows[0, 0].set_yscale("log")
    rows[0, 0].set_ylim(bottom=bottom)
    rows[0, 0].set_title(f"{' and '.join(panels).capitalize()} of each step")
    rows[-1, 0].set_xlabel("epoch")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG.

    Raises:
        OSError: If the file cannot be written; names it.
    """
    files.write(path, png(figure))


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
