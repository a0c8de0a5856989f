"""scripts/study: which finished runs it takes over, which it refuses, and what it writes."""

import functools
import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from processes import train

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "batch_size=64"]
SMALL += ["epochs=2", "device=cpu"]
NAMES = ["vgg_constant", "vgg_exponential"]
RUN = Path("work/runs/vgg_constant_seed3")


def study(place: Path, *arguments: str, seeds: tuple[str, ...] = ("--seeds", "3")) -> int:
    """The command, in a folder; its runs are processes of their own."""
    command = ["study.py", "--only", *NAMES, "--set", *SMALL, *seeds, "--work", "work"]
    command += ["--output", "output", *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(sys, "argv", command)
        patch.chdir(place)
        code: int = importlib.import_module("study").main()
    return code


@functools.cache
def parts() -> tuple[ModuleType, ModuleType, ModuleType, Any]:
    """found, reuse, wanted; and what is wanted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        names = ("found", "reuse", "wanted")
        found, reuse, wanted = (importlib.import_module(f"studies.{name}") for name in names)
    return found, reuse, wanted, wanted.want("vgg_constant", 3, SMALL)


def counted(folder: Path, proofs: Path) -> str | None:
    """Why the run counts that lies there, if nothing is trained to prove it."""
    found, reuse, _, run = parts()
    accepted = reuse.reuse(run, found.finished([folder]), reuse.Proofs(proofs, True, False))
    return None if accepted is None else accepted.how


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that found one of its runs there and has made the other."""
    place = tmp_path_factory.mktemp("study")
    train(
        [f"experiment={NAMES[1]}", *SMALL, "seed=3", f"hydra.run.dir=work/runs/{NAMES[1]}_seed3"],
        place,
    )
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
    for name in ("foreign", "vgg_constant_seed3_mine", "vgg_constant_seed4"):
        (place / "output" / "metrics" / f"{name}.jsonl").touch()
    assert study(place, "--seeds", "3", "3") == 0
    said = capfd.readouterr().out
    assert said.count(f"vgg_constant seed 3: hash: {place / RUN}") == 1
    assert "running in" not in said
    assert "again" not in said
    assert sorted(path.stem for path in (place / "output" / "metrics").iterdir()) == [
        "foreign",
        "vgg_constant_seed3",
        "vgg_constant_seed3_mine",
        "vgg_exponential_seed3",
    ]


def test_a_run_of_older_code_is_proven_by_its_first_epoch(
    of_older_code: Path, capfd: Captured
) -> None:
    assert study(of_older_code, "--no-run") == 1
    said = capfd.readouterr()
    assert "training" not in said.out
    assert f"not {of_older_code / RUN}: not proven: older code made it" in said.out
    assert said.err == "not there, or not proven: vgg_constant seed 3\n"
    page = (of_older_code / "output" / "study.md").read_text()
    assert "Not there, or not proven: vgg_constant seed 3." in page
    assert study(of_older_code) == 0
    said = capfd.readouterr()
    assert "vgg_constant seed 3: training its first epoch again" in said.out
    assert "vgg_constant seed 3: replay: " in said.out
    assert said.err == ""
    assert study(of_older_code, "--no-run") == 0
    remembered = capfd.readouterr().out
    assert "training" not in remembered
    assert "vgg_constant seed 3: replay: " in remembered


@pytest.mark.slow
def test_a_run_that_the_code_does_not_make_is_not_taken(
    of_older_code: Path, capfd: Captured
) -> None:
    change(of_older_code / RUN / "metrics.jsonl", '"train/loss": ', '"train/loss": 1')
    assert study(of_older_code, "--no-run", "--unproven") == 0
    assert "vgg_constant seed 3: unproven: " in capfd.readouterr().out
    assert study(of_older_code) == 1  # its folder is taken: nothing is trained over it
    said = capfd.readouterr()
    assert f"not {of_older_code / RUN}: epoch 1: train/loss was 1" in said.out
    assert f"{RUN}: is another run; move it away" in said.err


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("config.yaml", "momentum: 0.9", "momentum: 0.8", ""),
        ("summary.json", '"done"', '"running"', ""),
        ("summary.json", '"device": "', '"device": "another ', "made on another "),
        ("config.yaml", "init: null", "init: /another.pt", "the weights of another run (init)"),
        ("metrics.jsonl", '{"epoch": 2', '{"epoch": 3', "it ended with epoch 3, not 2"),
        ("lr.csv", "\n5,0.01", "\n5,0.001", "its lr.csv differs from the schedule at step 5"),
    ],
)
def test_another_unfinished_or_foreign_run_is_not_taken(
    made: Path, tmp_path: Path, capfd: Captured, name: str, old: str, new: str, why: str
) -> None:
    """Although its code is the present one: a resume may have changed what it computed."""
    run = shutil.copytree(made / RUN, tmp_path / "run")
    assert counted(run, tmp_path) == "hash"
    change(run / name, old, new)
    assert counted(run, tmp_path) is None
    assert why in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "a: ["),
        ("config.yaml", ""),
        ("config.yaml", "data: [1]"),
        ("summary.json", "[]"),
        ("summary.json", "{}"),
        ("summary.json", '{"status": "done", "seconds": 1}'),
        ("metrics.jsonl", ""),
        ("metrics.jsonl", '{"epoch": 2, "step": 8}\n'),
        ("lr.csv", ""),
    ],
)
def test_a_damaged_run_is_left_out(made: Path, tmp_path: Path, name: str, content: str) -> None:
    run = shutil.copytree(made / RUN, tmp_path / "run")
    (run / name).write_text(content)
    assert counted(run, tmp_path) is None
    (run / name).unlink()
    assert counted(run, tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["--seeds", "3", "x"], "seed x: must be a whole number"),
        (["--set", "foo=1"], "foo=1: there is no key foo"),
        (["--set", *SMALL, "data.val_size=64"], "data.val_size=64, loss=cross_entropy: the study"),
        (["--set", *SMALL, "init=x.pt"], "init=x.pt: the study's runs begin with"),
        (["--set", *SMALL, "early_stopping.patience=1"], "early_stopping.patience=1: the study"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_done(
    tmp_path: Path, capfd: Captured, arguments: list[str], expected: str
) -> None:
    assert study(tmp_path, *arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"scripts/study: error: {expected}")
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_seeds_may_come_from_the_environment(
    tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDS", "1 two")
    assert study(tmp_path, seeds=()) == 2
    assert "seed two: must be a whole number" in capfd.readouterr().err


def test_without_any_run_nothing_is_written(tmp_path: Path, capfd: Captured) -> None:
    assert study(tmp_path, "--no-run") == 1
    missing = "vgg_constant seed 3, vgg_exponential seed 3"
    assert capfd.readouterr().err == f"not there, or not proven: {missing}\n"
    assert os.listdir(tmp_path) == ["work"]


def test_each_question_of_the_study_is_asked_of_runs_that_compose() -> None:
    _, _, wanted, _ = parts()
    for section in wanted.SECTIONS:
        assert {*section.asks} <= {*section.runs} <= {*wanted.RUNS}
    assert {name for section in wanted.SECTIONS for name in section.runs} == {*wanted.RUNS}
    digests = {str(wanted.want(name, 0, ["data=synthetic"])) for name in wanted.RUNS}
    assert len(digests) == len(wanted.RUNS)
