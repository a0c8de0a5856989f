"""What a device did during some steps, out of torch.profiler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Row, settle

Interval = tuple[float, float]  # start and end in microseconds


@dataclass(frozen=True, slots=True)
class Trace:
    """Work of a device in the order of time.

    Attributes:
        names: Of each piece of work: a kernel or a copy; on the CPU an outermost operation.
        intervals: When it ran.
        steps: Steps that it belongs to.
    """

    names: Sequence[str]
    intervals: Sequence[Interval]
    steps: int

    def busy(self) -> float:
        """Microseconds in which at least one piece of work ran."""
        total, end = 0.0, float("-inf")
        for start, stop in sorted(self.intervals):
            total += max(stop - max(start, end), 0.0)
            end = max(end, stop)
        return total

    def span(self) -> float:
        """Microseconds from the first start to the last end."""
        return max(stop for _, stop in self.intervals) - min(start for start, _ in self.intervals)

    def idle_share(self) -> float:
        """The share of the span in which nothing ran."""
        return 1 - self.busy() / self.span()

    def gaps(self) -> list[float]:
        """Microseconds between pieces of work in which nothing ran, the longest first."""
        found, end = list[float](), float("inf")
        for start, stop in sorted(self.intervals):
            if start > end:
                found.append(start - end)
            end = stop if end == float("inf") else max(end, stop)
        return sorted(found, reverse=True)

    def table(self, most: int = 15) -> list[Row]:
        """The pieces that took longest: how often and how long in a step."""
        spent: dict[str, list[float]] = {}
        for name, (start, stop) in zip(self.names, self.intervals, strict=True):
            spent.setdefault(name, []).append(stop - start)
        total = sum(map(sum, spent.values()))
        ranked = sorted(spent.items(), key=lambda item: -sum(item[1]))
        return [
            {
                "kernel": name[:70],
                "a step": round(len(times) / self.steps, 2),
                "us a step": round(sum(times) / self.steps, 2),
                "share": round(sum(times) / total, 3),
            }
            for name, times in ranked[:most]
        ]


def traced(work: Callable[[int], object], steps: int, device: torch.device) -> Trace:
    """Profiles some steps; what they do once was done before."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    work(steps)
    settle()
    with profile(activities=activities, acc_events=True) as profiler:
        work(steps)
        settle()
    events: Any = profiler.events()
    kind = DeviceType.CUDA if cuda else DeviceType.CPU
    chosen = [e for e in events if e.device_type == kind and (cuda or e.cpu_parent is None)]
    chosen = [e for e in chosen if e.time_range.end > e.time_range.start]
    if cuda:  # a name for a stretch of time is not work
        chosen = [e for e in chosen if not getattr(e, "is_user_annotation", False)]
    if not chosen:  # as where a driver lets only an administrator see its counters
        raise SystemExit("bench: error: the profiler saw no work of the device; the driver may not "
                         "let this user (ERR_NVGPUCTRPERM)")  # fmt: skip
    intervals = [(e.time_range.start, e.time_range.end) for e in chosen]
    return Trace([e.name for e in chosen], intervals, steps)
