"""Suite `step`: our training beside our own step on one frozen batch: what loading costs."""

from pathlib import Path

from benchmarks.measure import Row, figure, interleave
from benchmarks.ours import frozen_batch, ours
from benchmarks.setting import Setting


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    whole = setting.build()
    contestants = [ours("ours", whole, folder / "ours"), frozen_batch(setting.build())]
    rows = interleave(contestants, setting.steps, setting.repeats, setting.batch_size)
    most = 0.03 if whole.device.type == "cuda" else 0.05
    name = "loader tax: time of ours / frozen batch - 1"
    figures = [figure(name, *rows, less=1, at_most=most)]
    return {"precision": whole.precision, "rows": rows, "figures": figures}
