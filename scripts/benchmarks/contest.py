"""A suite against one peer: first the same training, then times in turn."""

from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

from benchmarks import equality
from benchmarks.measure import Contestant, Row, best_workers, figure, interleave
from benchmarks.ours import ours
from benchmarks.recipe import Peer, Task
from benchmarks.setting import Setting

Make = Callable[..., Peer]  # (task, workers=, fast=)
TITLES = {False: "fp32", True: "bf16 + channels_last"}


def missing(package: str) -> Row | None:
    """What a suite returns if its peer is not installed; says so by name."""
    if util.find_spec(package) is not None:
        return None
    line = f"{package}: is not installed, nothing was compared with it; pip install -e .[bench]"
    return {"missing": [line], "figures": []}


def contestant(name: str, peer: Peer, workers: int) -> Contestant:
    """A peer in the contest."""
    clock = getattr(peer, "clock", None)
    return Contestant(name, peer.advance, False, workers, clock, peer.close)


def contest(
    setting: Setting,
    folder: Path,
    title: str,
    make: Make,
    *,
    package: str | None = None,
    precisions: Sequence[bool] = (False, True),
    workers: Sequence[int] | None = None,
    others: Callable[[Task], Sequence[Contestant]] = lambda task: (),
    at_least: float | None = None,
) -> Row:
    """Ours beside a peer in fp32 and in bf16 + channels_last, each with its best workers.

    Args:
        setting: Sizes, data, device.
        folder: For our run's files.
        title: Of the peer.
        make: Builds it.
        package: Whose version is noted.
        precisions: False: fp32; True: bf16 + channels_last.
        workers: Numbers of workers to try; None: what suits this machine.
        others: Further contestants of the same contest.
        at_least: How many times faster ours must be than the first variant.
    """
    equal = equality.check(setting, title, lambda task: make(task, workers=0, fast=False))
    run = setting.build()
    task = Task.of(run)
    contestants, tried = [ours("ours", run, folder / "ours")], list[Row]()
    for fast in precisions:

        def variant(count: int, fast: bool = fast) -> Contestant:
            name = f"{title}, {TITLES[fast]}, {count} workers"
            return contestant(name, make(task, workers=count, fast=fast), count)

        counts = setting.workers if workers is None else workers
        best, row = best_workers(variant, counts, max(setting.steps // 2, 1))
        contestants.append(best)
        tried.append(row)
    contestants += others(task)
    rows = interleave(contestants, setting.steps, setting.repeats, setting.batch_size)
    mine, *theirs = rows
    figures = [figure(f"speed: ours / {row['name']}", row, mine) for row in theirs]
    if at_least is not None:
        value = figures[0]["value"]
        figures[0] |= {"target": f">= {at_least:g}", "met": value >= at_least}
    print(f"ours computes in {run.precision.replace('none', 'fp32')}")
    versions = {"version": f"{package} {metadata.version(package)}"} if package else {}
    return {
        **versions,
        "precision": run.precision,
        "equality": equal,
        "workers": tried,
        "rows": rows,
        "figures": figures,
    }
