"""Curves as characters, for a terminal."""

import math
from collections.abc import Sequence

MARKS = "*o+x#@%&"
WIDTH, HEIGHT = 72, 16


def draw(
    curves: Sequence[tuple[str, Sequence[float], int]],
    name: str,
    *,
    bottom: float = 0.0,
    log: bool = False,
) -> str:
    """Curves over a common axis of steps.

    Args:
        curves: Label, values, one per step, and steps per epoch of each; the first one's are those
            of the axis. One without values keeps its mark.
        name: What the values are.
        bottom: Where the vertical axis begins; what lies below is not drawn.
        log: Whether that axis is logarithmic; `bottom` is above 0 then.

    Returns:
        Lines of text: the picture, the axis in epochs, and what each mark stands for.
    """
    updates = max(len(values) for _, values, _ in curves)
    top = max(value for _, values, _ in curves for value in values) or 1.0
    low, high = (math.log(bottom), math.log(top)) if log else (bottom, top)
    span = (high - low) or 1.0
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for number, (_, values, _) in enumerate(curves):
        for column in range(WIDTH):
            k = column * (updates - 1) // (WIDTH - 1)
            if k < len(values) and values[k] >= bottom:
                height = ((math.log(values[k]) if log else values[k]) - low) / span
                row = HEIGHT - 1 - round(height * (HEIGHT - 1))
                grid[row][column] = MARKS[number % len(MARKS)]
    lines: list[str] = []
    for row, cells in enumerate(grid):
        at = low + span * (HEIGHT - 1 - row) / (HEIGHT - 1)
        number = f"{math.exp(at) if log else at:.3g}" if row % 5 == 0 else ""
        lines.append(f"{number:>10} |{''.join(cells).rstrip()}")
    last = f"{updates / curves[0][2]:g}"
    lines.append(f"{name:>10} +{'-' * WIDTH}")
    lines.append(f"{'epoch':>10}  0{last:>{WIDTH - 1}}")
    if len(curves) > 1:
        drawn = ((n, label) for n, (label, values, _) in enumerate(curves) if values)
        lines.append("  ".join(f"{MARKS[n % len(MARKS)]} {label}" for n, label in drawn))
    return "\n".join(lines)
