"""A range test as a picture, a table and characters."""

import math

from matplotlib.figure import Figure

from trainer.training.range_test import RangeTest

WIDTH, HEIGHT = 72, 14


def draw(test: RangeTest, suggestion: float | None, title: str) -> Figure:
    """Loss against LR, the LR on a logarithmic axis.

    Args:
        test: What to draw.
        suggestion: An LR to mark.
        title: The heading.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.plot(test.lrs, test.losses, color="#56B4E9", linewidth=0.8, alpha=0.8, label="each batch")
    axes.plot(test.lrs, test.smoothed, color="#0072B2", linewidth=2, label="smoothed")
    marks = (("suggested", suggestion, "#D55E00", "-"), ("steepest", test.steepest, "#009E73", ":"))
    for label, lr, colour, line in marks:
        if lr is not None:
            axes.axvline(lr, color=colour, linestyle=line, label=f"{label} {lr:.2g}")
    low = test.lrs[test.lowest]
    axes.plot([low], [test.smoothed[test.lowest]], "o", color="#0072B2", label=f"lowest {low:.2g}")
    axes.set_xscale("log")
    axes.set_ylim(*limits(test))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def limits(test: RangeTest) -> tuple[float, float]:
    """Lowest and highest loss worth showing: a loss that runs away would flatten all others."""
    finite = [loss for loss in test.losses if math.isfinite(loss)]
    start, low = test.smoothed[0], min(finite)
    high = max(start, max(finite[: test.lowest + 1]))
    room = 0.15 * max(high - low, 0.02 * abs(start))
    return low - room, high + 3 * room


def csv_text(test: RangeTest) -> str:
    """Columns step, lr, loss, smoothed; exact decimals."""
    rows = zip(test.lrs, test.losses, test.smoothed, strict=True)
    lines = [f"{k},{lr!r},{loss!r},{mean!r}" for k, (lr, loss, mean) in enumerate(rows)]
    return "\n".join(["step,lr,loss,smoothed", *lines]) + "\n"


def characters(test: RangeTest, suggestion: float | None) -> str:
    """The smoothed loss against the logarithm of the LR, for a terminal; `|` marks an LR."""
    low, high = limits(test)
    count = len(test.lrs)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    span = math.log(test.lrs[-1] / test.lrs[0])
    if suggestion is not None and span > 0:
        at = round(math.log(suggestion / test.lrs[0]) / span * (WIDTH - 1))
        for cells in grid if 0 <= at < WIDTH else []:
            cells[at] = "|"
    for column in range(WIDTH):  # the LRs are equally far apart on this axis
        value = test.smoothed[column * (count - 1) // (WIDTH - 1)]
        if math.isfinite(value):
            height = (min(value, high) - low) / (high - low)
            grid[HEIGHT - 1 - round(height * (HEIGHT - 1))][column] = "*"
    lines = [
        f"{high - (high - low) * row / (HEIGHT - 1):>10.3f} |{''.join(cells).rstrip()}"
        if row % 4 == 0
        else f"{'':>10} |{''.join(cells).rstrip()}"
        for row, cells in enumerate(grid)
    ]
    ends = f"{test.lrs[0]:.2g}", f"{test.lrs[-1]:.2g}"
    lines.append(f"{'loss':>10} +{'-' * WIDTH}")
    lines.append(f"{'LR':>10}  {ends[0]}{ends[1]:>{WIDTH - len(ends[0])}}")
    return "\n".join(lines)
