"""The learning-rate range test and `trainer.find_lr`."""

import hashlib
import json
import math
import random
from pathlib import Path

import pytest
from PIL import Image
from processes import TINY

from trainer.config.overrides import compose_run
from trainer.find_lr import main, suggested
from trainer.training import range_test
from trainer.training.attempt import attempt
from trainer.training.preparation import prepare
from trainer.training.range_test import RangeTest, rising, run_range_test, runs_away, smooth

SMALL = [*TINY, "data.crop_padding=2", "log.progress=none"]


def test_every_update_has_the_lr_of_the_exponential_formula() -> None:
    groups = "optimizer.groups=[{match: '^fc', lr_scale: 0.1}]"
    config = compose_run([*SMALL, groups]).config
    run = prepare(rising(config, lowest=1e-5, highest=10, updates=40), None)
    for k in range(40):
        head, rest = run.optimizer.param_groups
        expected = 1e-5 * (10 / 1e-5) ** (k / 39)
        assert rest["lr"] == pytest.approx(expected, rel=1e-12)
        assert head["lr"] == pytest.approx(expected / 10, rel=1e-12)
        run.scheduler.step()
    test = run_range_test(config, lowest=1e-5, highest=1e-3, updates=4)
    assert test.lrs == pytest.approx([1e-5, 10 ** (-13 / 3), 10 ** (-11 / 3), 1e-3], rel=1e-12)


def test_the_losses_are_those_of_a_training(tmp_path: Path) -> None:
    """With an LR that hardly rises the test is an epoch with a constant one."""
    words = [*SMALL, "epochs=2", "scheduler=constant", "optimizer.lr=0.05", "optimizer.momentum=0"]
    config = compose_run(words).config
    assert attempt(config, tmp_path, None, []).code == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    test = run_range_test(config, lowest=0.05, highest=0.05 * (1 + 1e-9), updates=12)
    for epoch, row in enumerate(rows):  # of the second epoch, too: another order
        mean = sum(test.losses[6 * epoch : 6 * epoch + 6]) / 6
        assert mean == pytest.approx(row["train/loss"], rel=1e-6)
    other = run_range_test(config, lowest=0.1, highest=0.2, updates=12)
    assert other.losses[1:] != pytest.approx(test.losses[1:], rel=1e-6)


def test_the_smoothed_loss_is_the_weighted_mean_of_all_losses() -> None:
    losses = [3.0, 1.0, 4.0, 1.0, 5.0]
    smoothed: list[float] = []
    for k, loss in enumerate(losses):
        smoothed.append(smooth(loss, smoothed, k))
        weights = [0.98**age for age in range(k, -1, -1)]
        mean = sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights)
        assert smoothed[-1] == pytest.approx(mean)
    assert runs_away([1.0, 0.5, 2.01])
    assert runs_away([1.0, math.nan])
    assert not runs_away([1.0, 0.5, 1.99])


def descended(curvature: float, updates: int = 200) -> RangeTest:
    """Gradient descent on a parabola, which diverges beyond LR 2 / curvature."""
    lrs, losses, smoothed, weight = [], [], [], 1.0
    for k in range(updates):
        lrs.append(1e-6 * 1e7 ** (k / (updates - 1)))
        losses.append(0.1 + curvature * weight**2 / 2)
        smoothed.append(smooth(losses[-1], smoothed, k))
        weight -= lrs[-1] * curvature * weight
        if runs_away(smoothed):
            return RangeTest(lrs, losses, smoothed, True)
    return RangeTest(lrs, losses, smoothed, False)


@pytest.mark.parametrize("curvature", [2.0, 10.0, 3000.0])
def test_on_a_parabola_the_suggestion_lies_where_descent_converges(curvature: float) -> None:
    test = descended(curvature)
    assert test.diverged
    found = suggested(test)
    assert found is not None
    assert 2e-4 / curvature < found < 2 / curvature
    assert test.steepest is not None
    assert test.steepest < test.lrs[test.lowest]
    assert found == pytest.approx(min(test.steepest, test.lrs[test.lowest] / 10), rel=0.05)


def ended(losses: list[float]) -> RangeTest:
    smoothed: list[float] = []
    for k, loss in enumerate(losses):
        smoothed.append(smooth(loss, smoothed, k))
    return RangeTest([1e-6 * 1.05**k for k in range(len(losses))], losses, smoothed, False)


def test_noise_is_no_fall() -> None:
    for seed in range(30):
        draw = random.Random(seed)
        losses = [2.3 + draw.gauss(0, 0.02) for _ in range(300)]
        assert suggested(ended(losses)) is None
        falling = [loss - max(0, k - 200) * 0.002 for k, loss in enumerate(losses)]
        assert suggested(ended(falling)) is not None


@pytest.mark.slow
def test_the_suggestion_trains_and_where_the_test_ended_nothing_does() -> None:
    words = ["data=synthetic", "data.train_images=2000", "optimizer=adam", "batch_size=10"]
    config = compose_run([*words, "device=cpu", "log.progress=none"]).config
    test = run_range_test(config, lowest=1e-5, highest=1, updates=150)
    found = suggested(test)
    assert test.diverged
    assert found is not None

    def trained(lr: float) -> float:
        again = run_range_test(config, lowest=lr, highest=lr * (1 + 1e-9), updates=400)
        return sum(again.losses[-50:]) / len(again.losses[-50:])

    assert trained(found) < 1.9
    assert not trained(test.lrs[-1]) < 2.29


def test_find_lr_writes_its_files_and_prints_the_next_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "optimizer.lr=7", "name=a b", "--to", "30"]
    assert main([*words, "--updates", "40", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    values = json.loads((tmp_path / "out" / "find_lr.json").read_text())
    lines = (tmp_path / "out" / "find_lr.csv").read_text().splitlines()
    assert lines[0] == "step,lr,loss,smoothed"
    assert len(lines) == 1 + values["updates"]
    step, lr, loss, smoothed = lines[1].split(",")
    assert (step, float(lr), loss) == ("0", 1e-5, smoothed)
    assert f"after {values['updates']} steps" in out
    assert f"written: {tmp_path / 'out'}" in out
    assert "optimizer.lr=7" not in out
    if values["suggestion"] is None:
        assert "no suggestion" in out
    else:
        assert f"'name=a b' optimizer.lr={values['suggestion']:g}\n" in out
    with Image.open(tmp_path / "out" / "find_lr.png") as image:
        assert image.size[0] > 800


def test_a_range_test_that_fails_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> RangeTest:
        raise ValueError("the machine does not fit")

    monkeypatch.setattr(range_test, "run_range_test", failing)
    (tmp_path / "file").write_text("")
    assert main([*SMALL, "--out", str(tmp_path / "out" / "inner")]) == 2
    assert "does not fit" in capsys.readouterr().err
    assert main([*SMALL, "--out", str(tmp_path / "file" / "inner")]) == 2  # before the test
    assert f"{tmp_path / 'file'} is a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_range_test_from_a_runs_weights_leaves_the_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = compose_run([*SMALL, "epochs=2", "optimizer=adam"]).config
    assert attempt(config, run, None, []).code == 0

    def digests() -> dict[Path, str]:
        files = (path for path in sorted(run.rglob("*")) if path.is_file())
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digests()
    out = ["--updates", "20", "--out", str(tmp_path / "out")]
    assert main([*SMALL, f"init={run}", *out]) == 0
    assert digests() == before
    capsys.readouterr()
    fresh = run_range_test(compose_run(SMALL).config, lowest=1e-5, highest=10, updates=20)
    first = float((tmp_path / "out" / "find_lr.csv").read_text().splitlines()[1].split(",")[2])
    assert first != fresh.losses[0]


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--from", "0"], 2, "--from 0: must be above 0"),
        (["--from", "1", "--to", "0.1"], 2, "--to 0.1: must be above --from 1"),
        (["--to", "inf"], 2, "--to inf: must be above"),
        (["--from", "1e-300", "--to", "1e300"], 2, "--to 1e+300: is too many times --from 1e-300"),
        (["--updates", "5"], 2, "--steps 5: must be in 20..100000"),
        (["--updates", "many"], 2, "invalid int value: 'many'"),
        (["--frm", "1"], 2, "--frm: there is no such option"),
        (["outputs/run"], 2, "outputs/run: is not key=value"),
        (["resume=run"], 2, "a range test starts anew"),
        (["hydra.run.dir=x"], 2, "--out FOLDER"),
        (["seed=1,2"], 2, "one range test at a time"),
        (["optimizer.lt=1"], 2, "there is no key optimizer.lt; did you mean optimizer.lr?"),
        (["init=nowhere"], 1, "nowhere: there is no such run folder or checkpoint"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    code: int,
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "data=synthetic"]) == code
    err = capsys.readouterr().err
    assert part in err
    assert err.count("\n") == 1
    assert not any(tmp_path.iterdir())
