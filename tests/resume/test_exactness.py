"""Interrupted and resumed, a run ends equal bit for bit to one that was never touched.

One matrix: where and by what signal it is cut, what is trained, and what goes on with it.
"""

import itertools
import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs, events, metrics, state
from faults import Fault, SignalAt, ends_by, needs_faults
from processes import TINY, Trainer, answer, train
from standard_runs import StandardRuns, contents

from trainer.storage import checkpoint
from trainer.training.build import build_run

EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
SLOW, CUDA = pytest.mark.slow, pytest.mark.cuda
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
Cut = tuple[str, str, int]  # a function's file and name, and which of its calls

STEPS = 4  # steps in an epoch: 80 images in batches of 20
VALIDATED = ("data.val_size=40", "scheduler.warmup=1.5")
PLACES: dict[str, Cut] = {
    "before the first step": ("build.py", "build_run", 1),
    "writing the first checkpoint": ("checkpoint.py", "save", 1),
    "in the first epoch": ("history.py", "advance", 2),
    "at an epoch's last step": ("history.py", "advance", 2 * STEPS),
    "in the first evaluation": ("evaluation.py", "__call__", 1),
    "in the last evaluation": ("evaluation.py", "__call__", 4),
    "in the final test": ("evaluation.py", "__call__", 5),
    "writing a checkpoint": ("checkpoint.py", "save", 3),
    "before a rename's folder is synced": ("files.py", "_sync_folder", 9),
    "in the logs": ("logs.py", "append", 4),
    "in the event file": ("event_file.py", "append", 3),
    "in the summary": ("summary.py", "write_summary", 2),
}
ALTERNATELY = (TERM, INT, TERM, KILL)
MOMENTS = [
    (place, number)
    for count, place in enumerate(PLACES)
    for number in (TERM, INT, KILL)
    # kills at each call are tests/resume/test_faults.py's; all three share the place's code here
    if EVERY or number == ALTERNATELY[count % len(ALTERNATELY)]
]


def cut(run: list[str], folder: Path, place: Cut, number: int) -> Trainer:
    """Runs until a signal of its own, and checks how it left."""
    process = Trainer(run, folder, prepare=SignalAt(*place, number))
    code = process.code()
    late = place[0] == "summary.py" and number != KILL  # it was done by then
    assert code == (0 if late else ends_by(number)), process.err
    assert "Traceback" not in process.err
    if not late and number != KILL:
        assert json.loads((folder / "run" / "summary.json").read_text())["status"] == "stopped"
        assert f"stopped by {signal.Signals(number).name}" in process.err
    return process


def resumed(run: list[str], folder: Path, cuts: Sequence[tuple[Cut, int]]) -> Path:
    """A run that was cut again and again, and then went on to its end."""
    for place, number in cuts:
        cut(run, folder, place, number)
    train(run, folder)
    return folder / "run"


@pytest.mark.parametrize(("place", "number"), MOMENTS)
def test_a_signal_at_any_place_is_made_up_for(
    place: str, number: int, standard: StandardRuns, tmp_path: Path
) -> None:
    run = [*TINY, *VALIDATED, "hydra.run.dir=run", "resume=auto"]
    ended = resumed(run, tmp_path, [(PLACES[place], number)])
    assert_equal_runs(standard.of(*VALIDATED), ended)


AMPS = ("none", "bf16")
LOADERS = ("device", "torchvision", "torchvision data.workers=1", "torchvision data.workers=2")
OPTIMIZERS = ("sgd", "sgd optimizer.nesterov=true", "adam", "adamw")
FALLS = "scheduler.after.patience=0 scheduler.after.factor=.5 scheduler.after.threshold=.9"
SCHEDULES = ("warmup_cosine", f"warmup_plateau {FALLS}")
EXTRAS = (
    "epochs=3",
    "model=vgg_bn data.cutout=8 mixup=1 ema=0.9",
    "label_smoothing=0.1 clip_norm=0.05 ema=0.99 test_time_flip=true early_stopping.patience=9",
)


def setting(
    amp: str, loader: str, accumulate: int, optimizer: str, schedule: str, extras: str
) -> str:
    return (
        f"epochs=3 amp={amp} data.loader={loader} accumulate={accumulate} optimizer={optimizer} "
        f"scheduler={schedule} scheduler.warmup=1 checkpoint.every_steps=4 {extras}"
    )


# Almost every value of each key at least once, and the likely troublemakers together.
CHOSEN = [
    setting("bf16", LOADERS[0], 4, "adamw", SCHEDULES[1], EXTRAS[1]),
    setting("bf16", LOADERS[2], 1, OPTIMIZERS[1], SCHEDULES[1], EXTRAS[2]),
    # two groups with an LR of their own, a momentum that cycles, another task, an early end
    "scheduler=warmup_plateau scheduler.warmup=1 optimizer=adam " + FALLS,
    "scheduler=onecycle",
    "early_stopping.patience=2 early_stopping.min_delta=1 epochs=9 scheduler=constant",
    pytest.param("engine=eager device=cuda", marks=CUDA),
    pytest.param("engine=graph device=cuda accumulate=2 ema=0.9", marks=CUDA),
    pytest.param("engine=graph device=cuda optimizer=adamw amp=fp16", marks=CUDA),
    pytest.param(setting("none", LOADERS[3], 2, "adam", *SCHEDULES[:1], EXTRAS[0]), marks=SLOW),
]
PRODUCT = [
    setting(*values)
    for values in itertools.product(AMPS, LOADERS, (1, 2, 4), OPTIMIZERS, SCHEDULES, EXTRAS)
]
GROUPS = "optimizer.groups=[{match: '^fc(1|2)', lr_scale: 0.1}]"


@pytest.mark.parametrize("settings", [*CHOSEN, *(PRODUCT if EVERY else [])])
def test_whatever_is_trained_it_is_made_up_for(
    settings: str, standard: StandardRuns, tmp_path: Path
) -> None:
    chosen = [*settings.split(), *([GROUPS] if "=adam " in settings else [])]
    run = [*TINY, *chosen, "hydra.run.dir=run", "resume=auto"]
    steps = [(5, KILL), (4, TERM), *([(5, KILL)] if EVERY else [])]
    cuts = [(("history.py", "advance", k), number) for k, number in steps]
    ended = resumed(run, tmp_path, cuts)
    assert_equal_runs(standard.of(*chosen), ended)
    if GROUPS in chosen:  # they did what they are there for
        assert any(key.startswith("scheduler/plateau/reductions") for key in state(ended))
        table = (ended / "lr.csv").read_text().splitlines()
        assert table[0] == "step,lr_^fc_1|2_,lr_rest"
        fc, rest = map(float, table[-1].split(",")[1:])
        assert fc == pytest.approx(rest / 10)
        assert rest < 1e-3
        assert {"lr/^fc_1|2_", "lr/rest"} <= {tag for tag, _, _ in events(ended)}


def test_a_task_of_its_own_is_made_up_for(standard: StandardRuns, tmp_path: Path) -> None:
    task = ["experiment=linear_regression_plateau", "device=cpu"]
    run = [*task, "resume=auto", "hydra.run.dir=run"]
    ended = resumed(run, tmp_path, [(("history.py", "advance", 123), KILL)])
    assert_equal_runs(standard.of(base=task), ended)


# What goes on is another command: its words, before and after.
OTHERWISE = {
    "another loader, with workers": ([], ["data.loader=torchvision", "data.workers=1"]),
    "checkpoints in every step, and then not": (
        ["checkpoint.every_steps=1"], ["checkpoint.every_steps=null"],
    ),
    "fewer checkpoints": (["checkpoint.every_epochs=4"], ["checkpoint.every_epochs=1"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_may_change_on_the_way_changes_no_result(
    name: str, standard: StandardRuns, tmp_path: Path
) -> None:
    first, then = OTHERWISE[name]
    run = [*TINY, *VALIDATED, *first, "hydra.run.dir=run"]
    cut(run, tmp_path, ("history.py", "advance", 2 * STEPS + 2), INT)
    said = answer([f"resume={tmp_path / 'run'}", *then], tmp_path)
    assert "resumed from" in said.out
    assert_equal_runs(standard.of(*VALIDATED), tmp_path / "run")


def test_how_often_a_run_commits_changes_nothing(standard: StandardRuns) -> None:
    for every in ("checkpoint.every_steps=1", "checkpoint.every_epochs=4"):
        assert_equal_runs(standard.of(), standard.of(every))


def test_the_same_run_twice_is_equal_and_another_seed_is_not(
    standard: StandardRuns, tmp_path: Path
) -> None:
    train([*TINY, "hydra.run.dir=again"], tmp_path)
    assert_equal_runs(standard.of(), tmp_path / "again")
    ours, other = state(standard.of()), state(standard.of("seed=1"))
    assert not torch.equal(ours["model/conv1.weight"], other["model/conv1.weight"])
    assert metrics(standard.of()) != metrics(standard.of("seed=1"))


@pytest.mark.slow
def test_two_kills_without_progress_between_them_cost_nothing(
    standard: StandardRuns, tmp_path: Path
) -> None:
    places = [("history.py", "advance", 9), ("checkpoint.py", "load", 1), ("logs.py", "rebuild", 1),
              ("history.py", "advance", 1), ("run.py", "load_state_dict", 1)]  # fmt: skip
    run = [*TINY, "resume=auto", "hydra.run.dir=run"]
    assert_equal_runs(standard.of(), resumed(run, tmp_path, [(place, KILL) for place in places]))


@needs_faults
def test_a_clock_that_jumps_and_another_host_change_nothing(
    standard: StandardRuns, tmp_path: Path
) -> None:
    run = [*TINY, "resume=auto", "hydra.run.dir=run"]
    cut(run, tmp_path, ("history.py", "advance", 9), KILL)
    (tmp_path / "run" / ".lock").write_text("process 1 on another-machine\n")  # and it is gone
    year_ago = Fault(tmp_path / "nothing", 0, 0, tmp_path / "journal", skew=-366 * 86400)
    train(run, tmp_path, prepare=year_ago)
    log = (tmp_path / "run" / "trainer.log").read_text().splitlines()
    assert log[0][:4] > log[-1][:4]  # the clock did jump
    assert_equal_runs(standard.of(), tmp_path / "run")


def test_a_finished_run_is_left_as_it_is(standard: StandardRuns, tmp_path: Path) -> None:
    run = standard.copy(tmp_path / "run")
    before = contents(run, "trainer.log")
    for words in (["resume=run"], [*TINY, "hydra.run.dir=run", "resume=auto"]):
        assert "nothing to do" in answer(words, tmp_path).out
        assert contents(run, "trainer.log") == before


SAVED = [
    *("ema", "scheduler", "rng", "partial", "history"),
    *(pytest.param(name, marks=SLOW) for name in ("model", "optimizer", "progress")),
]
FALLING = ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.9",
           "optimizer.lr=0.01", "ema=0.9"]  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    cut([*TINY, *FALLING, "hydra.run.dir=run"], folder, ("history.py", "advance", 15), TERM)
    return folder / "run"


@pytest.mark.parametrize("lost", SAVED)
def test_a_resume_that_forgot_one_thing_would_be_noticed(
    lost: str, stopped: Path, standard: StandardRuns, tmp_path: Path
) -> None:
    """Teeth: the comparison that all of these tests rest on sees each item of the checkpoint."""
    run = shutil.copytree(stopped, tmp_path / "run")
    commit = checkpoint.find(run)
    fresh = {key: value for key, value in _fresh_state(commit).items() if key == lost}
    checkpoint.save(run, commit.state | fresh, 15, keep_last=2, best=False)
    process = Trainer([f"resume={run / 'checkpoints' / 'step_00000015.pt'}"], tmp_path)
    if process.code() == 0:
        with pytest.raises(AssertionError):
            assert_equal_runs(standard.of(*FALLING), run)
    else:  # what was lost does not fit the rest
        assert process.err.splitlines()[-1].startswith("trainer: error: "), process.err


def _fresh_state(commit: checkpoint.Checkpoint) -> dict[str, object]:
    """What a run would hold that has not taken over anything."""
    from trainer.config.saved import to_object, typed

    torch.manual_seed(1)
    run = build_run(to_object(typed(commit.state["config"])))
    run.load_weights(commit.state["model"], commit)
    state = run.state_dict()
    again = build_run(run.config)
    state["model"], state["ema"] = again.model.state_dict(), again.evaluated.state_dict()
    state["rng"] = state["rng"] | {"torch": torch.Generator().manual_seed(77).get_state()}
    state["partial"] = run.sums.total()
    return state
