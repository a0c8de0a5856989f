"""The preview: the curves that train, in a terminal, a CSV file and a picture."""

import csv
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import TINY, train

from trainer.preview import main


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def test_the_csv_holds_the_lr_of_every_update_of_every_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lr.csv"
    assert main(["scheduler=steplr,warmup_cosine", "epochs=30", "--csv", str(path)]) == 0
    table = rows(path)
    assert table[0] == ["step", "epoch", "scheduler=steplr", "scheduler=warmup_cosine"]
    assert len(table) == 1 + 11_700
    assert table[1 + 3900] == ["3900", "10.0", repr(0.04 * 0.1), table[3901][3]]
    assert table[3900][2] == "0.04"
    text = capsys.readouterr().out
    assert "11,700 steps (390 an epoch)" in text
    assert "* scheduler=steplr  o scheduler=warmup_cosine" in text


def test_what_the_preview_draws_is_what_trains(tmp_path: Path) -> None:
    recipe = [*TINY, "scheduler=warmup_multistep", "scheduler.warmup=7%"]
    recipe += [
        "scheduler.after.milestones=[1,10 steps]",
        "optimizer.groups=[{match: '^fc', lr_scale: 0.1}]",
    ]
    train([*recipe, "hydra.run.dir=run"], tmp_path)
    assert main([*recipe, "--csv", str(tmp_path / "lr.csv")]) == 0
    trained = rows(tmp_path / "run" / "lr.csv")
    drawn = rows(tmp_path / "lr.csv")
    assert trained[0] == ["step", "lr_^fc", "lr_rest"]
    assert [row[1:] for row in trained[1:]] == [row[2:] for row in drawn[1:]]
    assert len(trained) == 25


def test_the_csv_holds_the_momentum_of_every_step_where_it_is_cycled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lr.csv"
    groups = "optimizer.groups=[{match: '^fc', lr_scale: 0.1}]"
    words = ["scheduler=onecycle,steplr", "epochs=2", groups, "--csv", str(path)]
    assert main(words) == 0
    head, *table = rows(path)
    names = [f"scheduler={name} [{group}]" for name in ("onecycle", "steplr")
             for group in ("^fc", "rest")]  # fmt: skip
    assert head == ["step", "epoch", *names, "scheduler=onecycle momentum"]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.04, total_steps=780)
    for row in table:
        assert float(row[6]) == pytest.approx(optimizer.param_groups[0]["momentum"], abs=1e-12)
        optimizer.step()
        if row is not table[-1]:
            theirs.step()
    out = capsys.readouterr().out
    assert "\n  momentum +---" in out
    assert out.count("; momentum 0.85 to 0.95\n") == 2
    assert out.endswith(f"written: {path}\n")
    assert main(["scheduler=cosine,onecycle", "scheduler.cycle_momentum=false"]) == 2
    capsys.readouterr()
    assert main(["scheduler=onecycle", "scheduler.cycle_momentum=false", *words[1:]]) == 0
    assert "momentum" not in capsys.readouterr().out + ",".join(rows(path)[0])


def test_a_momentum_has_the_mark_of_its_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scheduler=cosine,onecycle,cyclic", "epochs=10"]) == 0
    lr, momentum = capsys.readouterr().out.split("\n\n")
    assert "* scheduler=cosine  o scheduler=onecycle  + scheduler=cyclic\n" in lr + "\n"
    assert "\no scheduler=onecycle  + scheduler=cyclic\n" in momentum
    top, *_, bottom = [line for line in momentum.splitlines() if " |" in line]
    assert top.startswith("      0.95 |oo")
    assert bottom.startswith("       0.8 | ")
    assert "+" in bottom


def test_the_picture_has_a_second_panel_for_a_momentum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lr.png"
    sizes: list[tuple[int, int]] = []
    for words in (["scheduler=cosine"], ["scheduler=cosine,onecycle"]):
        assert main([*words, "epochs=2", "--png", str(path)]) == 0
        assert capsys.readouterr().out.endswith(f"written: {path}\n")
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes == [(960, 540), (960, 840)]


def test_a_logarithmic_axis_shows_a_decade_as_long_as_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["scheduler=exponential", "scheduler.gamma=0.1", "epochs=4", "--png"]
    pictures: list[bytes] = []
    for flag in ([], ["--log"]):
        assert main([*command, str(tmp_path / "lr.png"), *flag]) == 0
        pictures.append((tmp_path / "lr.png").read_bytes())
    assert pictures[0] != pictures[1]
    lines = [line for line in capsys.readouterr().out.splitlines() if " |" in line][16:]
    axis = [float(line[:10]) for line in lines if line[:10].strip()]
    assert axis[0] == 0.04
    assert axis[-1] == pytest.approx(4e-6, rel=0.02)  # at the last step
    ends = [len(line) for line in lines[:-1]]  # a straight line; the last row is half a one
    assert {b - a for a, b in pairwise(ends)} <= {4, 5}
    assert main(["scheduler=cosine", "--log"]) == 0  # whose last LR is 5e-9
    out = capsys.readouterr().out.splitlines()
    assert 4e-8 <= float(out[15][:10]) < 1e-7, "six decades at most"
    assert main(["scheduler=linear", "--log"]) == 0  # whose last LR is 0


def test_a_plateau_is_replayed_over_a_finished_runs_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = tmp_path / "metrics.jsonl"
    losses = [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    metrics.write_text(
        "".join(f'{{"epoch": {n}, "test/loss": {x}}}\n' for n, x in enumerate(losses, 1))
    )
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("\n".join(map(str, losses)))
    for file in (metrics, numbers):
        command = ["scheduler=plateau", "scheduler.patience=1,2", "epochs=8"]
        assert main([*command, "--metrics", str(file), "--csv", str(tmp_path / "lr.csv")]) == 0
        table = rows(tmp_path / "lr.csv")[1:]
        by_epoch = [[row[2], row[3]] for row in table[::390]]
        patient, reduced = "0.04", "0.004"
        assert [float(a) for a, _ in by_epoch[:4]] == [0.04] * 4
        assert float(by_epoch[4][0]) == pytest.approx(float(reduced))
        assert by_epoch[4][1] == patient
        assert float(by_epoch[5][1]) == pytest.approx(float(reduced))
    capsys.readouterr()
    numbers.write_text("1.0\nfoo\n")
    assert main(["scheduler=plateau", "--metrics", str(numbers)]) == 2
    assert "line 2 is neither a number nor a row" in capsys.readouterr().err


@pytest.mark.parametrize("scheduler", ["plateau", "steplr"])
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "."])
def test_metrics_that_are_no_file_are_refused_at_once(
    name: str, scheduler: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "trainer.preview", f"scheduler={scheduler}", "--metrics", name]
    limited = ["bash", "-c", 'ulimit -v 4000000; exec "$@"', "-", *command]  # not all the memory
    done = subprocess.run(
        limited,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr == f"trainer: error: --metrics {name}: is not a regular file\n"
    assert not done.stdout


def test_roundings_and_warnings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scheduler.warmup=7%", "epochs=1", "batch_size=123"]) == 0
    assert "scheduler.warmup=7% is 28.42 steps: rounded to 28" in capsys.readouterr().out
    assert main(["experiment=vgg_warmup_multistep"]) == 0
    assert "warning: scheduler.after.milestones: 25 is at or beyond" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scheduler=cosin"], "did you mean cosine?"),
        (["--pgn", "x.png"], "--pgn: there is no such option"),
        (["scheduler.warmup=40"], "must be shorter than the run"),
        (["--metrics", "nowhere.jsonl", "scheduler=plateau"], "nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
