"""The speed comparison in the smallest size, and that it notices unequal contestants."""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import bench  # noqa: E402
from benchmarks import SUITES, equality, memory, scaling, startup  # noqa: E402
from benchmarks import measure as measuring  # noqa: E402
from benchmarks.measure import Contestant  # noqa: E402
from benchmarks.plain import PlainLoop  # noqa: E402
from benchmarks.recipe import Task, tutorial_vgg  # noqa: E402
from benchmarks.resident_loop import ResidentLoop  # noqa: E402
from benchmarks.setting import Setting  # noqa: E402
from benchmarks.trace import Trace  # noqa: E402

PEERS = {"lightning": "Lightning", "accelerate": "Accelerate", "timm": "timm"}


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """One step a block, on a handful of made-up images."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = ["data=synthetic", "data.train_images=64", "data.test_images=10"]
    return Setting(
        steps=2,
        repeats=1,
        images=64,
        equal_steps=3,
        batch_size=8,
        epochs=2,
        workers=[0],
        device="cpu",
        data=data,
        data_name="synthetic",
        folder=tmp_path,
    )


def suite(name: str, setting: Setting) -> dict[str, Any]:
    result = importlib.import_module(f"benchmarks.{SUITES[name][0]}").run(setting, setting.folder)
    json.dumps(result)
    measuring.show(result)
    return result


def command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("CIFAR10_ROOT", None)
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_help_lists_the_suites_and_a_wrong_one_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        bench.main(["--help"])
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in SUITES)
    assert bench.main(["plane", "step"]) == 2
    assert "no suite plane: take plain, lightning" in capsys.readouterr().out


SIZES = ["--steps", "1", "--repeats", "1", "--images", "64", "--batch-size", "8"]


def test_the_command_prints_a_table_and_keeps_the_result_beside_others(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"plain": {"kept": true}}')
    done = command(tmp_path, "step", *SIZES, "--json", "result.json")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob(".bench-*")), "temporary files are left behind"
    results = json.loads((tmp_path / "result.json").read_text())
    assert results["plain"] == {"kept": True}
    result = results["step"]
    assert "synthetic" in result["data"]
    assert f"torch {torch.__version__.partition('+')[0]}" in result["versions"]
    assert result["machine"]
    assert result["date"].startswith("20")
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == ["ours", "frozen batch"]
    for row in result["rows"]:
        assert len(row["all_ms"]) == 2
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["max_ms"]
        assert any(line.startswith(f"{row['name']}  ") for line in done.stdout.splitlines())
    tax = rows["ours"]["median_ms"] / rows["frozen batch"]["median_ms"] - 1
    assert result["figures"][0]["value"] == pytest.approx(tax)
    assert result["figures"][0]["met"] is (tax <= 0.05)
    last = done.stdout.strip().splitlines()[-3:]
    assert last[0].startswith("loader tax"), "the ratios stand last"


@pytest.mark.slow
def test_ours_is_compared_with_the_plain_loop(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    result = suite("plain", dataclasses.replace(setting, workers=[0, 1]))
    names = [row["name"] for row in result["rows"]]
    assert names[0] == "ours"
    assert names[1].startswith("plain loop, fp32, ")
    assert names[2].startswith("plain loop, bf16 + channels_last, ")
    assert names[3] == "ours, torchvision loader"
    for row, tried in zip(result["rows"][1:3], result["workers"], strict=True):
        count = min(tried["ms_by_workers"], key=tried["ms_by_workers"].get)
        assert row["name"] == tried["name"]
        assert row["name"].endswith(f", {count} workers"), "the best number of workers"
    ours, plain, *_ = result["rows"]
    speed = result["figures"][0]
    assert speed["value"] == pytest.approx(plain["median_ms"] / ours["median_ms"])
    assert speed["quartiles"][0] <= speed["quartiles"][1]
    assert "equality: 3 fp32 steps of ours and of plain loop" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", [*(pytest.param(peer, marks=pytest.mark.slow) for peer in PEERS), "resident"]
)
def test_ours_is_compared_with_a_peer(name: str, setting: Setting) -> None:
    if name in PEERS:
        pytest.importorskip(name, reason="the bench extra is not installed")
    result = suite(name, setting)
    assert result["equality"]["steps"] == 3
    assert len(result["equality"]["their_losses"]) == 3
    assert result["rows"][0]["name"] == "ours"
    title = PEERS.get(name, "resident loop")
    assert any(row["name"].startswith(f"{title}, bf16") for row in result["rows"][1:])
    assert len(result["figures"]) == len(result["rows"]) - 1
    if name in PEERS:
        assert result["version"].startswith(f"{name} ")
    else:
        assert "airbench" in result["missing"][0]


@pytest.mark.parametrize("name", list(PEERS))
def test_a_missing_peer_is_named(
    name: str,
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = suite(name, setting)
    assert result["missing"][0].startswith(f"{name}: is not installed")
    assert f"missing: {name}: is not installed" in capsys.readouterr().out


class Misread(PlainLoop):
    """Normalises its third channel with another deviation."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        mistaken = dataclasses.replace(task, std=(*task.std[:2], 0.2020))
        super().__init__(mistaken, workers=workers, fast=fast)


class Undecayed(PlainLoop):
    """Leaves out the weight decay."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        super().__init__(task, workers=workers, fast=fast)
        self.optimizer.param_groups[0]["weight_decay"] = 0.0


class OtherwiseBegun(PlainLoop):
    """Begins with another last layer."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        weights = (*task.weights[:-1], task.weights[-1] * 1.001)
        super().__init__(dataclasses.replace(task, weights=weights), workers=workers, fast=fast)


class Shuffled(PlainLoop):
    """Trains on the batches in another order."""

    def on(self, images: Any) -> list[float]:
        """The last image first."""
        order = torch.arange(len(images) - 1, -1, -1)
        return super().on(
            dataclasses.replace(images, images=images.images[order], labels=images.labels[order])
        )


@pytest.mark.parametrize("wrong", [Misread, Undecayed, OtherwiseBegun, Shuffled])
def test_a_peer_that_computes_something_else_is_noticed(
    wrong: type[PlainLoop], setting: Setting
) -> None:
    with pytest.raises(SystemExit, match="not the same training"):
        equality.check(setting, "peer", lambda task: wrong(task, workers=0, fast=False))


def test_the_resident_loop_crops_and_mirrors_each_image_by_itself(setting: Setting) -> None:
    task = Task.of(setting.build())
    loop = ResidentLoop(task, workers=0, fast=False)
    chosen, seen = torch.zeros(400, dtype=torch.int64), set[tuple[int, int, bool]]()
    padded = loop.images[0]
    for image in loop.augmented(chosen):
        found = [
            (top, left, flip)
            for top in range(9)
            for left in range(9)
            for flip in (False, True)
            if torch.equal(image, _view(padded, top, left, flip))
        ]
        assert len(found) == 1, "a crop of that image"
        seen.update(found)
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(9))
    assert len(seen) > 100, "of 162"


def _view(padded: torch.Tensor, top: int, left: int, flip: bool) -> torch.Tensor:
    view = padded[:, top : top + 32, left : left + 32]
    return view.flip(2) if flip else view


def test_writing_is_timed_with_and_without(setting: Setting) -> None:
    result = suite("writing", setting)
    assert result["bytes"] > 2 * 4 * 688_224, "weights and momentum"
    assert [row["name"] for row in result["rows"]] == [
        "epoch, nothing written",
        "epoch, logs and checkpoint",
    ]
    commits = {row["name"]: row["median_ms"] for row in result["tables"]["commits"]}
    ratio = commits["checkpoint, epoch 1"] / commits["bare write + fsync"]
    assert result["figures"][0]["value"] == pytest.approx(ratio)
    assert not (setting.folder / "Unsaved" / "metrics.jsonl").read_text()
    assert len((setting.folder / "Everything" / "metrics.jsonl").read_text().splitlines()) == 3


def test_scaling_has_a_row_for_each_size(setting: Setting) -> None:
    before = torch.get_num_threads()
    rows = scaling.by_batch(setting, setting.folder, [4, 16], [1])
    assert [(row["batch"], row["threads"]) for row in rows] == [(4, 1), (16, 1)]
    assert all(row["images/s"] > 0 for row in rows)
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_scaling_watches_runs_of_their_own(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"EPOCHS": 3, "FACTORS": (1, 2), "BATCHES": (8, 16)}.items():
        monkeypatch.setattr(scaling, name, value)
    result = suite("scaling", setting)
    tables = result["tables"]
    assert [row["epoch"] for row in tables["epochs"]] == [1, 2, 3]
    assert all(row["MB"] > 100 and row["epoch_ms"] > 0 for row in tables["epochs"])
    assert [row["images"] for row in tables["data"]] == [64, 128]
    assert all(row["peak_MB"] > 100 and row["us_an_image"] > 0 for row in tables["data"])
    assert {row["batch"] for row in tables["batch"]} == {8, 16}
    lasting, growing, *_ = (row["value"] for row in result["figures"])
    assert lasting > 0
    assert growing == pytest.approx(tables["epochs"][-1]["MB"] / tables["epochs"][1]["MB"])


@pytest.mark.slow
def test_the_first_update_of_a_process_is_seen_from_outside(setting: Setting) -> None:
    python_alone = startup.answer(["-c", "pass"])
    assert startup.first_update(setting, setting.folder, iter([7])) > 5 * python_alone
    assert (setting.folder / "run7" / "summary.json").exists(), "it ran to its end"
    preview = startup.imported("preview", startup.ANSWERS["preview"])
    assert preview["modules"] > 100
    assert preview["heavy"] == "hydra"
    wrong = dataclasses.replace(setting, batch_size=0)
    with pytest.raises(SystemExit, match="batch_size=0"):
        startup.first_update(wrong, setting.folder, iter([8]))


def test_memory_is_not_taken_from_the_bench_itself() -> None:
    assert memory.peak(["-c", "import time; time.sleep(0.3)"]) < 50
    grows = "kept = b'x' * 80_000_000; import time; time.sleep(0.3); del kept; time.sleep(0.3)"
    assert 80 < memory.peak(["-c", grows]) < 130
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        memory.peak(["-c", "1 / 0"])


@pytest.mark.slow
def test_peak_memory_of_a_real_run(tmp_path: Path) -> None:
    done = command(tmp_path, "memory", "--images", "256", "--json", "result.json")
    assert done.returncode == 0, done.stderr
    torch_alone, run = json.loads((tmp_path / "result.json").read_text())["memory"]["figures"]
    assert torch_alone["value"] > 0.1
    assert 0.1 < run["value"] < 1.5


@pytest.mark.slow
def test_two_processes_are_compared_with_one(tmp_path: Path) -> None:
    done = command(tmp_path, "distributed", *SIZES, "--json", "result.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())["distributed"]
    rows = {row["name"]: row for row in result["rows"]}
    for count in ("1 process", "2 processes"):
        for what in ("update", "without exchange", "bare exchange", "start"):
            assert rows[f"batch 8, {count}: {what}"]["median_ms"] > 0
    (gain, efficiency, share) = result["figures"]
    assert efficiency["value"] == pytest.approx(gain["value"] / 2)
    assert share["value"] < 1


@pytest.mark.slow
def test_what_a_gpu_must_show_runs_on_a_cpu(setting: Setting) -> None:
    result = suite("cuda", setting)
    assert result["engine"] == "eager"
    assert [row["name"] for row in result["rows"]] == ["ours", "frozen batch", "eager"]
    jobs = {row["name"]: row["median_ms"] for row in result["tables"]["jobs"]}
    assert jobs["all"] < jobs["process start to end"], "which also imports torch"
    work = result["tables"]["work"][0]
    assert work["kernels"] > 20
    assert 0 <= work["idle"] < 1
    kernels = {row["kernel"] for row in result["tables"]["kernels, ours"]}
    assert any("ConvolutionBackward" in name for name in kernels)
    assert not any("target" in row for row in result["figures"]), "they are a GPU's"


@pytest.mark.cuda
@pytest.mark.parametrize(
    "name", ["cuda", "plain", "lightning", "accelerate", "timm", "resident", "step", "writing"]
)
def test_the_suites_run_on_a_gpu(name: str, setting: Setting) -> None:
    if name in PEERS:
        pytest.importorskip(name, reason="the bench extra is not installed")
    result = suite(name, dataclasses.replace(setting, device="cuda:0"))
    assert all(row["median_ms"] > 0 for row in result["rows"])
    assert name != "cuda" or result["engine"] == "graph"


def test_idle_time_is_what_no_work_covers() -> None:
    # Two overlap, one lies inside another, and nothing runs from 10 to 14 and from 16 to 20.
    intervals = [(14.0, 16.0), (0.0, 6.0), (4.0, 10.0), (5.0, 6.0), (20.0, 25.0)]
    trace = Trace(["b", "a", "a", "c", "b"], intervals, steps=2)
    assert trace.busy() == 17
    assert trace.span() == 25
    assert trace.idle_share() == pytest.approx(8 / 25)
    assert trace.gaps() == [4, 4]
    first = trace.table()[0]
    assert first == {"kernel": "a", "a step": 1, "us a step": 6, "share": round(12 / 20, 3)}


def test_blocks_are_interleaved_and_ratios_pair_blocks_of_one_round() -> None:
    order = list[str]()

    def advance(name: str) -> Any:
        def work(steps: int) -> float:
            if steps == 5:
                order.append(name)
                time.sleep(0.001)
            return 1.0

        return work

    contestants = [Contestant(name, advance(name)) for name in "abc"]
    rows = measuring.interleave(contestants, 5, 2, batch=8)
    assert "".join(order) == "abc" + "abccba" * 2, "a warm-up each, then there and back"
    assert [len(row["all_ms"]) for row in rows] == [4, 4, 4]
    over = {"median_ms": 3.0, "all_ms": [2.0, 3.0, 4.0, 30.0]}
    under = {"median_ms": 1.0, "all_ms": [1.0, 1.0, 1.0, 10.0]}
    figure = measuring.figure("x", over, under)
    assert figure["value"] == 3
    assert figure["quartiles"] == [2.25, 3.75]


def test_the_network_of_the_peers_gives_the_same_logits(setting: Setting) -> None:
    run = setting.build("amp=none")
    images, _ = run.loader.batch(equality.first_table(run), 0)
    other = tutorial_vgg(Task.of(run), torch.contiguous_format)
    torch.testing.assert_close(other(images), run.model(images), atol=1e-6, rtol=1e-5)


def test_several_suites_each_get_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[list[str]]()

    def call(command: list[str]) -> int:
        started.append(command[2:])
        return len(started) - 1

    monkeypatch.setattr(subprocess, "call", call)
    assert bench.main(["plain", "--steps", "3", "memory"]) == 1
    assert started == [["plain", "--steps", "3"], ["memory", "--steps", "3"]]
