"""scripts/study: which finished runs it takes over, which it refuses, and what it writes."""

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "batch_size=64"]
SMALL += ["epochs=2", "device=cpu"]
NAMES = ["vgg_constant", "vgg_exponential"]
RUN = Path("work/runs/vgg_constant_seed3")


def study(place: Path, *arguments: str) -> int:
    """The command, in a folder; its runs are processes of their own."""
    command = ["study.py", *arguments, "--seeds", "3", "--only", *NAMES, "--set", *SMALL]
    command += ["--work", "work", "--output", "output"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(sys, "argv", command)
        patch.chdir(place)
        code: int = importlib.import_module("study").main()
    return code


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has made its runs."""
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def of_older_code(place: Path) -> Path:
    summary = place / RUN / "summary.json"
    change(summary, json.loads(summary.read_text())["code"], "0" * 64)
    return place


Captured = pytest.CaptureFixture[str]


def test_what_is_missing_is_made_and_taken_over_the_next_time(
    made: Path, place: Path, capfd: Captured
) -> None:
    page = (place / "output" / "study.md").read_text()
    assert "## Which schedule?" in page
    assert "batch 256" not in page  # nothing there that answers it
    assert "`experiment=vgg_constant data=synthetic" in page
    assert "| run |" in page
    for name in ("report.html", "report.csv", "curves.png", "metrics/vgg_constant_seed3.jsonl"):
        assert (place / "output" / name).stat().st_size > 0
    for path in (place / "output").rglob("*.*"):
        if path.suffix in (".md", ".html", ".csv", ".jsonl"):
            assert str(made) not in path.read_text(), path
    assert study(place) == 0
    said = capfd.readouterr().out
    assert "vgg_constant seed 3: hash: work/runs/vgg_constant_seed3" in said
    assert "running in" not in said
    assert "again" not in said


def test_a_run_of_older_code_is_proven_by_its_first_epoch(
    of_older_code: Path, capfd: Captured
) -> None:
    assert study(of_older_code, "--no-run") == 0
    said = capfd.readouterr()
    assert "vgg_constant seed 3: training its first epoch again" in said.out
    assert "vgg_constant seed 3: replay: " in said.out
    assert said.err == ""
    assert study(of_older_code, "--no-run") == 0
    remembered = capfd.readouterr().out
    assert "training" not in remembered
    assert "vgg_constant seed 3: replay: " in remembered


@pytest.mark.parametrize(
    ("name", "old", "new", "differs"),
    [
        ("metrics.jsonl", '"train/loss": ', '"train/loss": 1', "epoch 1: train/loss was 1"),
        ("lr.csv", "\n5,0.01", "\n5,0.0100001", "its lr.csv differs from the schedule at update 5"),
    ],
)
def test_a_run_that_the_code_does_not_make_is_not_taken(
    of_older_code: Path, capfd: Captured, name: str, old: str, new: str, differs: str
) -> None:
    change(of_older_code / RUN / name, old, new)
    assert study(of_older_code, "--no-run") == 1
    said = capfd.readouterr()
    assert f"not work/runs/vgg_constant_seed3: {differs}" in said.out
    assert said.err == "not there: vgg_constant seed 3\n"
    page = (of_older_code / "output" / "study.md").read_text()
    assert "Not there yet: vgg_constant seed 3." in page
    assert study(of_older_code, "--no-run", "--unproven") == 0
    assert "vgg_constant seed 3: unproven: " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.yaml", "momentum: 0.9", "momentum: 0.8"),
        ("summary.json", '"done"', '"running"'),
        ("summary.json", '"device": "', '"device": "another '),
    ],
)
def test_another_unfinished_or_foreign_run_is_not_taken(
    place: Path, capfd: Captured, name: str, old: str, new: str
) -> None:
    change(place / RUN / name, old, new)
    assert study(place, "--no-run") == 1
    assert capfd.readouterr().err == "not there: vgg_constant seed 3\n"


def test_without_any_run_nothing_is_written(tmp_path: Path, capfd: Captured) -> None:
    assert study(tmp_path, "--no-run") == 1
    missing = "vgg_constant seed 3, vgg_exponential seed 3"
    assert capfd.readouterr().err == f"not there: {missing}\n"
    assert os.listdir(tmp_path) == ["work"]


def test_each_question_of_the_study_is_asked_of_runs_that_compose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    wanted = importlib.import_module("studies.wanted")
    want: Callable[..., object] = wanted.want
    for section in wanted.SECTIONS:
        assert {*section.asks} <= {*section.runs} <= {*wanted.RUNS}
    assert {name for section in wanted.SECTIONS for name in section.runs} == {*wanted.RUNS}
    digests = {json.dumps(str(want(name, 0, ["data=synthetic"]))) for name in wanted.RUNS}
    assert len(digests) == len(wanted.RUNS)
