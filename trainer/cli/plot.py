"""Pictures for files; matplotlib without a display."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.storage import files

DPI = 120


def draw_lrs(path: Path, curves: Sequence[tuple[str, Sequence[float], int]]) -> None:
    """LR against the epoch.

    Args:
        path: The PNG file.
        curves: Label, LR of each step, and steps per epoch of each curve.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for label, lrs, steps_per_epoch in curves:
        epochs = [k / steps_per_epoch for k in range(len(lrs))]
        axes.step(epochs, lrs, where="post", label=label, linewidth=1.5)
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate")
    axes.set_title("Learning rate of each step")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
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
