"""The code hash of a run changes with what decides its numbers, and with nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TINY, train

PACKAGE = Path(__file__).parents[2] / "trainer"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    place = tmp_path / "copy"
    shutil.copytree(PACKAGE, place / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def hash_of(copy: Path) -> str:
    code = "from trainer.training.code_hash import code_sha256; print(code_sha256())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=True
    )
    return done.stdout


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_comment_a_docstring_and_what_is_shown_do_not_count(copy: Path) -> None:
    before = hash_of(copy)
    engine = copy / "trainer" / "training" / "update.py"
    changed(engine, '"""', '"""Another text. ')
    engine.write_text(f"# a comment\n{engine.read_text()}")
    changed(engine, "import", "import  ")
    changed(copy / "trainer" / "training" / "record.py", "the last good", "the newest good")
    assert hash_of(copy) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("data/epoch_table.py", "seed", "seed_"),
        ("optimizers/options.py", "momentum", "momentum_"),
        ("schedules/decay.py", "gamma", "gamma_"),
        ("training/epoch_row.py", "train/loss", "train/loss_"),
    ],
)
def test_what_decides_numbers_counts(copy: Path, file: str, old: str, new: str) -> None:
    before = hash_of(copy)
    path = copy / "trainer" / file
    path.write_text(path.read_text().replace(old, new))
    assert hash_of(copy) != before


def test_a_run_of_two_codes_has_none(tmp_path: Path) -> None:
    train([*TINY, "epochs=1", "hydra.run.dir=run"], tmp_path)
    summary = tmp_path / "run" / "summary.json"
    entries = json.loads(summary.read_text())
    assert entries["code"] is not None
    summary.write_text(json.dumps({**entries, "code": "0" * 64}))
    train(["resume=run", "epochs=2", "on_horizon_change=continue"], tmp_path)
    assert json.loads(summary.read_text())["code"] is None
