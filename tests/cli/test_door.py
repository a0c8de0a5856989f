"""A user's mistake is one line with the key and the way out, before any work starts."""

import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from faults import SignalAt
from processes import TINY, answer, train
from standard_runs import StandardRuns, contents

from trainer.__main__ import main
from trainer.config.overrides import compose_run, jobs, parse
from trainer.config.quoting import quote, quoted
from trainer.sweep.__main__ import main as sweep_main

MISTAKES = [
    ("scheduler.gama=3 scheduler=steplr", "did you mean scheduler.gamma?"),
    ("schedular=cosine", "did you mean scheduler?"),
    ("scheduler=cosin", "did you mean cosine?"),
    ("experiment=vgg_stepl", "did you mean vgg_steplr?"),
    ("scheduler=warmup_steplr scheduler@scheduler.after=multiste", "did you mean multistep?"),
    ("lr=0.1", "did you mean optimizer.lr?"),
    ("+zzz=1", "+zzz=1: there is no key zzz"),
    ("++optimizer.lr=-1", "optimizer.lr=-1.0: must be a finite number above 0"),
    ("~seed", "a key cannot be deleted"),
    ("epochs=x", "epochs=x: "),
    ("epochs=3.5", "epochs=3.5: "),
    ("epochs=0", "epochs=0: must be at least 1"),
    ("batch_size=0", "batch_size=0"),
    ("batch_size=60000", "batch_size=60000: is more than the 50000 training images"),
    ("accumulate=3", "accumulate=3: must divide batch_size=128"),
    ("seed=-1", "seed=-1"),
    ("optimizer.lr=nan", "optimizer.lr=nan"),
    ("optimizer.lr=1e400", "optimizer.lr=inf"),
    ("optimizer.lr=0", "optimizer.lr=0.0"),
    ("optimizer.momentum=1", "optimizer.momentum=1.0: must be in [0, 1)"),
    ("optimizer.weight_decay=-1e-4", "optimizer.weight_decay=-0.0001"),
    ("optimizer.nesterov=true optimizer.momentum=0", "optimizer.nesterov=true"),
    ("scheduler=steplr scheduler.step_size=0", "scheduler.step_size=0: is 0 steps"),
    ("scheduler=steplr scheduler.step_size=-1", "scheduler.step_size=-1"),
    ("scheduler=steplr scheduler.gamma=0", "scheduler.gamma=0.0: must be in (0, 1]"),
    ("scheduler=steplr scheduler.gamma=1.5", "scheduler.gamma=1.5"),
    ("scheduler=multistep scheduler.milestones=[20,10]", "must be strictly rising"),
    ("scheduler=multistep scheduler.milestones=[10,10]", "must be strictly rising"),
    ("scheduler=multistep scheduler.milestones=[]", "scheduler.milestones"),
    ("scheduler=multistep scheduler.milestones=[1,2", "scheduler.milestones=[1,2: cannot be read"),
    ("scheduler=cosine scheduler.eta_min=-1", "scheduler.eta_min=-1.0"),
    ("scheduler.warmup=30", "scheduler.warmup=30: is 11700 steps, must be shorter"),
    ("scheduler.warmup=-1", "scheduler.warmup=-1"),
    ("scheduler.warmup=nan", "scheduler.warmup=nan"),
    ("scheduler.warmup=3_stepz", "scheduler.warmup=3_stepz: must be a number of epochs"),
    ("scheduler.start_factor=2", "scheduler.start_factor=2.0: must be in [0, 1]"),
    ("scheduler.shape=square", "scheduler.shape=square"),
    ("scheduler.after.interval=epoch", "use scheduler.interval"),
    ("scheduler=plateau scheduler.factor=1", "scheduler.factor=1.0"),
    ("scheduler=plateau scheduler.patience=-1", "scheduler.patience=-1"),
    ("scheduler.name=foo", "choose with scheduler=<option> instead"),
    ("optimizer={lr: 1}", "optimizer"),
    ("amp=half", "amp=half: must be one of auto, none, bf16, fp16"),
    ("device=gpu", "device=gpu: must be auto, cpu, cuda or cuda:N"),
    ("data.workers=2", "the device loader has no workers"),
    ("data.loader=dali", "data.loader=dali"),
    ("data.train_size=60000", "data.train_size=60000: more than the 50000"),
    ("data.val_size=50000", "data.val_size=50000: leaves nothing"),
    ("data.url=http://example.org/x.tar.gz", "must start with https://"),
    ("checkpoint.keep_last=1", "checkpoint.keep_last=1: must be at least 2"),
    ("log.progress=loud", "log.progress=loud"),
    ("on_horizon_change=guess", "on_horizon_change=guess: must be one of error, hold"),
    ("resume=nowhere", "resume=nowhere: there is no such run folder or checkpoint"),
    ("resume=nowhere -m", "leave out -m"),
    ("resume=a init=b", "init: starts a new run and cannot stand beside resume"),
    ("resume=a resume=b", "resume: is given more than once"),
    ("resume=", "resume=: is empty"),
    ("--frob epochs=1", "--frob: there is no such option; see --help"),
    ("epochs=100000000", "more than 10000000"),
    ("epochs=3 epochs=x", "epochs=x: "),
    ("-m seed=interval(0,1)", "has no end of values"),
    ("-m scheduler=glob(zz*)", "matches no scheduler"),
    ("-m hydra.run.dir=x epochs=1", "a sweep takes hydra.sweep.dir"),
    ("-m seed=shuffle(range(6))", "seed=shuffle(range(6)): a sweep has one order"),
    ("-m seed=0,1 seed=2", "seed=0,1: seed is given again behind it; leave one out"),
    ("-m seed=0 +seed=1,2", "already at 'seed'"),
    ("-m hydra/launcher=joblib,basic", "is for the whole sweep; give it one value"),
    ("-m hydra.job.name=a,b", "is for the whole sweep; give it one value"),
    ("-m seed=range(3,0)", "seed=range(3,0): has no values"),
    ("-m seed=0,1 hydra.sweep.subdir=same", "subdir=same: would be the folder of jobs 0 and 1"),
    ("-m hydra.sweep.subdir=.", "hydra.sweep.subdir=.: must lie below the sweep's folder"),
    ("-m hydra.job.chdir=true", "hydra.job.chdir=true: would give relative paths another meaning"),
    ("-m hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size=0: must be at least 1"),
    ("checkpoint.monitor=val/loss", "must be one of auto, test/accuracy"),
    ("scheduler=plateau scheduler.monitor=val/loss", "scheduler.monitor=val/loss: is not among"),
    ("init=nowhere data=synthetic", "nowhere: there is no such run folder or checkpoint"),
    ("data=synthetic optimizer.groups=[{match:zzz}]", "groups[0].match=zzz: matches none"),
    ("scheduler=steplr,cosine", "several values are a sweep; add -m"),
    ("-m scheduler=steplr,cosin", "job 1 (scheduler=cosin)"),
    ("-m epochs=3,0", "job 1 (epochs=0): epochs=0: must be at least 1"),
    ("preview", "the command is python -m trainer.preview"),
    ("epochs", "epochs: is not of the form key=value"),
    ("data=cifar10 data.root=nowhere data.download=false", "data=synthetic"),
]


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    line: str, expected: str, tmp_path: Path
) -> None:
    # an underscore stands for a space, where the value has one
    words = [word.replace("3_stepz", "3 stepz") for word in line.split(" ")]
    arguments = [line] if line.startswith("optimizer={") else words
    missing = "data.download=false" in line or "init=nowhere" in line
    said = answer(arguments, tmp_path, expect=1 if missing else 2)
    assert expected.replace("3_stepz", "3 stepz") in said.err
    assert said.err.startswith("trainer: error: ")
    assert said.err.count("\n") == 1
    assert not said.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", ["a b", "a=b", "x'y", "ünï/ço dé", "a,b", "a\\", "it's \\'", "(1+2)*k", "[x]", "a#b"]
)
def test_paths_and_formulas_reach_the_configuration_as_they_are(value: str) -> None:
    argument = quoted(f"data.root={value}")
    assert parse([argument])[0].value() == value
    assert compose_run([argument, "data=cifar10"]).config.data.root == value
    assert len(list(jobs(parse([argument])))) == 1


def test_a_value_that_is_already_quoted_stays() -> None:
    assert quoted("data.root='a b'") == "data.root='a b'"
    assert parse([quoted("data.root=1e3")])[0].value() == "1e3"
    assert parse([quoted("resume=auto")])[0].value() == "auto"
    assert parse([quoted("resume=null")])[0].value() is None
    assert quoted("optimizer.lr=0.1,0.2") == "optimizer.lr=0.1,0.2"
    assert parse([f"data.root={quote('a b')}"])[0].value() == "a b"


def test_a_run_in_a_folder_with_an_odd_name_trains_and_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "ünï = 'ço dé', [x]"
    folder.mkdir()
    run = folder / "my run=1"
    train([*TINY, "epochs=1", f"hydra.run.dir={run}", "name=a, b = c"], folder)
    assert (run / "metrics.jsonl").exists()
    assert "nothing to do" in answer([f"resume={run}"], folder).out


def test_a_folder_of_another_run_is_refused_and_untouched(
    standard: StandardRuns, tmp_path: Path
) -> None:
    before = contents(standard.copy(tmp_path / "run"))
    refused = answer([*TINY, "epochs=2", "hydra.run.dir=run"], tmp_path, expect=2)
    assert "hydra.run.dir=run: belongs to another run; python -m trainer resume=" in refused.err
    assert contents(tmp_path / "run") == before


def test_what_is_no_checkpoint_is_not_recommended_for_init(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.pt").touch()
    (tmp_path / "notes.txt").write_text("no checkpoint\n" * 100)
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "empty.pt", "notes.txt", "pipe"):
        said = f"resume={tmp_path / name}: is not a run folder or a checkpoint in one"
        refused = answer([f"resume={tmp_path / name}"], tmp_path, expect=2)
        assert refused.err == f"trainer: error: {said}\n"


def test_a_checkpoint_outside_its_run_is_recommended_for_init(
    standard: StandardRuns, tmp_path: Path
) -> None:
    shutil.copy(standard.of() / "checkpoints" / "last.pt", tmp_path / "copied.pt")
    refused = answer(["resume=copied.pt"], tmp_path, expect=2)
    assert refused.err.count("\n") == 1
    (advice,) = re.findall(r"; (init=\S+) starts a new run", refused.err)
    train([*TINY, "epochs=1", advice], tmp_path)


def test_a_sweep_runs_every_job_and_its_folder_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = [*TINY, "epochs=1", "-m", "hydra.sweep.dir=my sweep"]
    said = train([*sweep, "optimizer.lr=0.01,1e30"], tmp_path, expect=1)  # a failed one fails it
    assert "sweep: 1 of 2 jobs done; " in said.out
    assert "  failed: job 1 (optimizer.lr=1e+30): the loss is" in said.out
    assert "the loss is" in said.err
    for number in ("0", "1"):
        assert (tmp_path / "my sweep" / number / "metrics.jsonl").exists()

    before = contents(tmp_path / "my sweep")
    other = answer([*sweep, "optimizer.lr=0.02,0.03"], tmp_path, expect=2)
    assert "my sweep: belongs to another sweep: its job 0 is optimizer.lr=0.01" in other.err
    assert "here it would be optimizer.lr=0.02" in other.err
    refused = answer(["resume=my sweep"], tmp_path, expect=2)
    assert refused.err.startswith("trainer: error: resume=my sweep: is a sweep's folder")
    assert refused.err.count("\n") == 1
    assert contents(tmp_path / "my sweep") == before
    (command,) = re.findall(r"python -m trainer\.sweep (retry .*)", refused.err)
    assert shlex.split(command) == ["retry", "my sweep"]
    monkeypatch.chdir(tmp_path)
    assert sweep_main(["status", *shlex.split(command)[1:]]) == 0


def test_an_output_folder_that_is_a_file_or_holds_somebody_elses_is_refused_and_untouched(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("precious")
    (tmp_path / "mine" / ".mine.partial").write_text("precious too")
    before = contents(tmp_path)
    for place, said in (
        ("file", "is a file"),
        ("file/run", "is a file"),
        ("mine", "holds config.yaml, which a run would overwrite"),
    ):
        refused = answer([*TINY, f"hydra.run.dir={place}"], tmp_path, expect=2)
        assert said in refused.err
        assert refused.err.count("\n") == 1
    assert contents(tmp_path) == before


def test_a_clash_of_time_stamps_gets_a_suffix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import contextlib

    from trainer.storage import folders

    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as locks:
        place = Path("out/12-00-00")
        first = folders.reserve(place, "hydra.run.dir", explicit=False, locks=locks)
        (first / "checkpoints").mkdir()
        (first / "checkpoints" / "step_00000000.pt").touch()
        second = folders.reserve(place, "hydra.run.dir", explicit=False, locks=locks)
    assert (first.name, second.name) == ("12-00-00", "12-00-00_2")


def test_a_name_may_be_swept_and_an_option_by_pattern() -> None:
    assert len(list(jobs(parse([quoted("name=a,b")])))) == 2
    assert [job[0] for job in jobs(parse(["scheduler=glob(warmup_c*)"]))] == [
        "scheduler=warmup_constant",
        "scheduler=warmup_cosine",
        "scheduler=warmup_cosine_restarts",
    ]


def test_the_composed_configuration_and_the_version_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--cfg", "job", "scheduler=steplr"]) == 0
    assert "step_size: 10" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("trainer 0.")


def test_a_reader_that_leaves_early_does_not_stop_the_run(tmp_path: Path) -> None:
    done = train([*TINY, "epochs=2", "hydra.run.dir=run"], tmp_path, prepare=_nobody_reads)
    assert "Broken" not in done.err
    assert "cannot be written" not in done.err  # nobody misses what nobody reads
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def _nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


@pytest.mark.skipif("CIFAR10_ROOT" not in os.environ, reason="CIFAR10_ROOT is not set")
def test_a_run_on_the_real_data_goes_on_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(Path(os.environ["CIFAR10_ROOT"]).absolute())
    small = ["data.train_size=200", "batch_size=100", "device=cpu", "evaluate_every=9"]
    command = [*small, "data.root=data", "epochs=1", "hydra.run.dir=run"]
    assert "10,000 evaluated (test)" in train(command, tmp_path).out
    (tmp_path / "elsewhere").mkdir()
    longer = [f"resume={tmp_path / 'run'}", "epochs=2", "on_horizon_change=hold"]
    stop = SignalAt("history.py", "advance", 1, signal.SIGTERM)
    stopped = train(longer, tmp_path / "elsewhere", prepare=stop, expect=143)
    assert "stopped by SIGTERM after step 3" in stopped.err


def test_a_non_finite_loss_stops_the_run_with_step_loss_and_lr(tmp_path: Path) -> None:
    arguments = [*TINY, "scheduler=constant", "optimizer.lr=1e15", "hydra.run.dir=run"]
    failed = train(arguments, tmp_path, expect=1)
    line = failed.err.splitlines()[-1]
    assert line.startswith("trainer: error: the loss is ")
    assert "with LR 1e+15; the last good checkpoint is" in line
    assert "step_00000000.pt" in line
    assert [f.name for f in (tmp_path / "run" / "checkpoints").glob("step_*")] == [
        "step_00000000.pt"
    ]
