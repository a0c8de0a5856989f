"""How groups look in every picture."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

# Source: Okabe and Ito, Color universal design, 2008, less its yellow, which white swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[LineStyleType, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
)
MOST_GROUPS = 24  # as many as can be told apart, and named beside the axes
INK, FAINT, RULE = "#1c2430", "#5b6675", "#d9dee5"
LONGEST_LABEL = 40
WIDTH = 10.6  # inches, of every picture
SIZE = 10.0  # points, of its letters


@dataclass(frozen=True, slots=True)
class Look:
    """Colour and line of a group."""

    colour: str
    line: LineStyleType


def look(number: int) -> Look:
    """The look of the n-th group, from 0: colours first, then lines."""
    return Look(COLOURS[number % len(COLOURS)], LINES[number // len(COLOURS) % len(LINES)])


def short(label: str, longest: int = LONGEST_LABEL) -> str:
    """A label for a picture: bounded, and nothing in it taken for a formula or an empty one."""
    if len(label) > longest:
        head = longest * 2 // 3
        label = f"{label[:head]}…{label[len(label) - (longest - head - 1) :]}"
    # Older matplotlib leaves labels that begin with an underscore out of a legend.
    label = label.replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def short_labels(labels: list[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels for a picture; those that become alike get their number, best group first."""
    made = [short(label, longest) for label in labels]
    return [
        f"{n}. {short(label, longest - 4)}" if made.count(text) > 1 else text
        for n, (label, text) in enumerate(zip(labels, made, strict=True), 1)
    ]


def new_figure(height: float) -> Figure:
    """An empty figure; its height in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    return figure


def plain_axes(axes: Axes) -> None:
    """Takes away what is not needed."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(labelsize=SIZE - 0.5, colors=FAINT, length=3)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
