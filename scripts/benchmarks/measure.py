"""Timing in turns, and what is made of the times."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainer.training.device import set_determinism

Row = dict[str, Any]


@dataclass(slots=True)
class Contestant:
    """Something that trains.

    Attributes:
        name: In the table.
        advance: Does so many steps and returns their mean loss.
        deterministic: The process flags that it runs under.
        workers: Of its DataLoader.
        clock: Times a block by itself, where a step cannot be had from outside; its own warm-up
            is in it, but not in the seconds that it returns beside the mean loss.
        close: Ends its workers.
    """

    name: str
    advance: Callable[[int], float]
    deterministic: bool = False
    workers: int = 0
    clock: Callable[[int], tuple[float, float]] | None = None
    close: Callable[[], None] = field(default=lambda: None)

    def block(self, steps: int) -> tuple[float, float]:
        """Times some steps; returns seconds per step and the mean loss.

        Before each timed block come steps that are not timed: one, or more where workers have
        batches in store.
        """
        set_determinism(self.deterministic)
        if self.clock is not None:
            seconds, loss = self.clock(steps)
        else:
            self.advance(1 + 2 * self.workers)
            settle()
            start = time.perf_counter()
            loss = self.advance(steps)
            settle()
            seconds = time.perf_counter() - start
        if self.workers:
            time.sleep(0.5)  # they fill their store again, and must not in another's time
        return seconds / steps, loss


def settle() -> None:
    """Waits for a GPU that is at work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleave(
    contestants: Sequence[Contestant], steps: int, repeats: int, batch: int
) -> list[Row]:
    """A warm-up block each, then blocks in turn, there and back (ABC CBA)."""
    blocks: dict[str, list[tuple[float, float]]] = {c.name: [] for c in contestants}
    for contestant in contestants:
        contestant.block(steps)
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr, flush=True)
        for contestant in (*contestants, *reversed(contestants)):
            blocks[contestant.name].append(contestant.block(steps))
    for contestant in contestants:
        contestant.close()
    rows = [spread(name, [seconds for seconds, _ in timed]) for name, timed in blocks.items()]
    for row in rows:
        row["images/s"] = round(batch / row["median_ms"] * 1000)
        row["last_loss"] = round(blocks[row["name"]][-1][1], 4)
    return rows


def in_turn(actions: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What actions return (seconds, say), called there and back so many times."""
    values: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr, flush=True)
        for name in (*actions, *reversed(actions)):
            values[name].append(actions[name]())
    return values


def spread(name: str, seconds: Sequence[float]) -> Row:
    """Median, minimum and maximum in milliseconds."""
    times = [round(1000 * value, 4) for value in seconds]
    row: Row = {"name": name, "all_ms": times, "median_ms": round(statistics.median(times), 4)}
    return row | {"min_ms": min(times), "max_ms": max(times)}


def best_workers(
    make: Callable[[int], Contestant], counts: Sequence[int], steps: int
) -> tuple[Contestant, Row]:
    """The contestant with the number of workers that is fastest here, and what each took.

    Args:
        make: A contestant with so many workers.
        counts: What is tried.
        steps: Steps in a block; each count has two, there and back.
    """
    contestants = [make(count) for count in counts]
    blocks: dict[int, list[float]] = {contestant.workers: [] for contestant in contestants}
    for contestant in (*contestants, *reversed(contestants)):
        blocks[contestant.workers].append(contestant.block(steps)[0])
    best = min(contestants, key=lambda c: min(blocks[c.workers]))
    for contestant in contestants:
        if contestant is not best:
            contestant.close()
    tried = {str(count): round(1000 * min(times), 3) for count, times in blocks.items()}
    print(f"{best.name}: is the best of (workers: ms a step) {tried}")
    return best, {"name": best.name, "ms_by_workers": tried}


def figure(name: str, over: Row, under: Row, *, less: int = 0, **goal: float) -> Row:
    """A ratio of times by the medians, its quartiles over the rounds, and its target.

    Each of a row's blocks is compared with the other's of the same place in the same round.
    """
    value = over["median_ms"] / under["median_ms"] - less
    pairs = [a / b - less for a, b in zip(over["all_ms"], under["all_ms"], strict=False)]
    low, _, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    return {"name": name, "value": value, "quartiles": [low, high]} | target(value, **goal)


def target(value: float, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A target and whether it is met; nothing without one."""
    if at_least is not None:
        return {"target": f">= {at_least:g}", "met": value >= at_least}
    return {} if at_most is None else {"target": f"<= {at_most:g}", "met": value <= at_most}


def show(result: Row) -> None:
    """Prints the tables of a suite, then its figures."""
    figures = result.get("figures", [])
    if result.get("rows"):
        show_table("name", result["rows"])
    for title, rows in result.get("tables", {}).items():
        show_table(title, rows)
    print()
    width = max((len(row["name"]) for row in figures), default=0) + 2
    for row in figures:
        line = f"{row['name']:{width}}{row['value']:10.4f}"
        if "quartiles" in row:
            line += "  (quartiles {:.4f} to {:.4f})".format(*row["quartiles"])
        line += f"  target {row['target']}" if "target" in row else ""
        line += f"  predicted {row['predicted']}" if "predicted" in row else ""
        print(line + {True: ": met", False: ": MISSED", None: ""}[row.get("met")])
    for line in result.get("missing", []):
        print(f"missing: {line}")


def show_table(title: str, rows: Sequence[Row]) -> None:
    """Prints rows that share their keys, each under its first; lists are for the JSON alone."""
    columns = [key for key, value in rows[0].items() if not isinstance(value, (list, dict))]
    first, rest = columns[0], columns[1:]
    width = max(len(str(row[first])) for row in [*rows, {first: title}]) + 2
    print("\n" + title.ljust(width), *(f"{key:>12}" for key in rest))
    for row in rows:
        cells = (row[key] for key in rest)
        texts = (f"{cell:,}" if isinstance(cell, (int, float)) else str(cell) for cell in cells)
        print(str(row[first]).ljust(width), *(f"{text:>12}" for text in texts))
