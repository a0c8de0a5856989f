"""Curves as characters, for a terminal."""

from collections.abc import Sequence

MARKS = "*o+x#@%&"
WIDTH, HEIGHT = 72, 16


def draw(curves: Sequence[tuple[str, Sequence[float]]], steps_per_epoch: int) -> str:
    """Curves over a common axis of steps.

    Args:
        curves: Label and values, one per step, of each.
        steps_per_epoch: Steps in an epoch, for the axis.

    Returns:
        Lines of text: the picture, the axis in epochs, and what each mark stands for.
    """
    updates = max(len(values) for _, values in curves)
    top = max(max(values) for _, values in curves) or 1.0
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for number, (_, values) in enumerate(curves):
        mark = MARKS[number % len(MARKS)]
        for column in range(WIDTH):
            k = column * (updates - 1) // (WIDTH - 1)
            if k < len(values):
                row = HEIGHT - 1 - round(values[k] / top * (HEIGHT - 1))
                grid[row][column] = mark
    lines = [
        f"{top * (HEIGHT - 1 - row) / (HEIGHT - 1):>10.3g} |{''.join(cells).rstrip()}"
        if row % 5 == 0
        else f"{'':>10} |{''.join(cells).rstrip()}"
        for row, cells in enumerate(grid)
    ]
    last = f"{updates / steps_per_epoch:g}"
    lines.append(f"{'LR':>10} +{'-' * WIDTH}")
    lines.append(f"{'epoch':>10}  0{last:>{WIDTH - 1}}")
    if len(curves) > 1:
        marks = (f"{MARKS[n % len(MARKS)]} {label}" for n, (label, _) in enumerate(curves))
        lines.append("  ".join(marks))
    return "\n".join(lines)
