"""Whole runs as CUDA graphs on the stand-in, by setting: equal to eager ones, bit for bit."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs
from cuda_stand_in import StandIn, as_cuda
from processes import TINY

from trainer.config.overrides import compose_run
from trainer.storage import checkpoint, run_folder
from trainer.training.attempt import attempt
from trainer.training.graph import GraphEngine
from trainer.training.preparation import prepare
from trainer.training.run import Run

RUN = [*TINY, "device=cuda", "epochs=2", "log.progress=none", "amp=none", "model=vgg",
       "data.train_images=90", "checkpoint.every_steps=2", "checkpoint.keep_last=9"]  # fmt: skip
EXTRAS = ["model=vgg_bn", "mixup=1", "data.cutout=8", "ema=0.9"]
QUICK = {
    "sgd": [],
    "vgg_bn, mixup, cutout, ema": EXTRAS,
    "scaler": ["amp=fp16"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=9"],
}
SLOW = {
    "nesterov, smoothing": ["optimizer.nesterov=true", "label_smoothing=0.1"],
    "adam": ["optimizer=adam"],
    "adamw, bf16": ["optimizer=adamw", "amp=bf16"],
    "accumulation, clipping": ["accumulate=2", "clip_norm=0.1"],
    "scaler, adam, clipping": ["amp=fp16", "optimizer=adam", "clip_norm=0.1", "accumulate=2"],
    "groups": ["optimizer.groups=[{match: '^fc', lr_scale: 0.1, weight_decay: 0}]"],
    "short last batch": ["data.drop_last=false"],
    "validation, mirrored evaluation": ["data.val_size=20", "test_time_flip=true"],
    "evaluated once": ["evaluate_every=2"],
    "phases by steps": ["scheduler=warmup_cosine", "scheduler.warmup=3 steps"],
    "everything": [*EXTRAS, "amp=fp16", "optimizer=adamw", "accumulate=2", "clip_norm=0.1",
                   "data.drop_last=false"],
    "regression": ["data=random_regression", "model=linear", "loss=mse"],
}  # fmt: skip
SETTINGS = QUICK | SLOW
CASES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def arguments(name: str, *more: str) -> list[str]:
    run = [a for a in RUN if not a.startswith("data.t")] if name == "regression" else RUN
    return [*run, *SETTINGS[name], *more]


def trained(name: str, engine: str, folder: Path, cut: Path | None = None) -> Path:
    commit = None
    if cut is None:
        folder.mkdir()
    else:
        shutil.copytree(cut, folder)
        second = run_folder.checkpoints(folder)[-2]  # of the newest first: in mid-epoch
        commit = checkpoint.find(second)
        assert commit.state["progress"]["step_in_epoch"]
    config = compose_run(arguments(name, f"engine={engine}")).config
    assert attempt(config, folder, commit, []).code == 0
    return folder


@pytest.fixture
def cuda() -> Generator[StandIn]:
    with as_cuda() as here:
        yield here


@pytest.mark.parametrize(
    "name",  # float16 on a CPU takes half a minute
    [pytest.param(c, marks=pytest.mark.slow) if c == "scaler" else c for c in CASES],
)
def test_graph_equals_eager_and_a_resume_in_mid_epoch(
    name: str, tmp_path: Path, cuda: StandIn
) -> None:
    eager = trained(name, "eager", tmp_path / "eager")
    assert not cuda.graphs
    graph = trained(name, "graph", tmp_path / "graph")
    sizes = 2 if "data.drop_last=false" in SETTINGS[name] else 1
    assert len(cuda.graphs) == sizes + 1, "the last one of the evaluation"
    assert_equal_runs(eager, graph)
    assert_equal_runs(eager, trained(name, "graph", tmp_path / "resumed", cut=graph))


def lasting(run: Run) -> dict[str, torch.Tensor]:
    """All that outlives a step."""
    found = dict(run.model.named_parameters()) | dict(run.model.named_buffers())
    if run.average is not None:
        found |= {
            f"average {name}": value for name, value in run.average.model.state_dict().items()
        }
    for number, slots in enumerate(run.optimizer.state.values()):
        found |= {f"{name} {number}": value for name, value in slots.items()}
    found |= {f"lr {n}": group["lr"] for n, group in enumerate(run.optimizer.param_groups)}
    sums = {name: getattr(run.sums, name) for name in ("step", "losses", "score", "skipped")}
    scaler = {name: vars(run.scaler).get(name) for name in ("_scale", "_growth_tracker")}
    return found | sums | {name: value for name, value in scaler.items() if value is not None}


@pytest.mark.parametrize("name", CASES)
def test_what_outlives_a_step_is_not_made_inside_a_capture_and_does_not_move(
    name: str, cuda: StandIn
) -> None:
    run = prepare(compose_run(arguments(name)).config, None)
    assert isinstance(run.engine, GraphEngine)
    made = set[int]().union(*(graph.made for graph in cuda.graphs))
    places = {key: value.data_ptr() for key, value in lasting(run).items()}
    assert not {key for key, value in lasting(run).items()
                if value.untyped_storage().data_ptr() in made}  # fmt: skip
    for step in range(run.steps_per_epoch):
        run.engine.train_on(step)
    run.sums.clear()
    run.evaluator(run.evaluated)
    run.engine.begin(run.table(1))
    run.engine.train_on(0)
    assert {key: value.data_ptr() for key, value in lasting(run).items()} == places


def test_a_momentum_made_inside_a_capture_is_seen(
    cuda: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there before the capture: fused SGD would lose its momentum at every replay."""
    run = prepare(compose_run(arguments("sgd", "engine=eager")).config, None)
    slots = next(iter(run.optimizer.state.values()))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=None, stream=torch.cuda.Stream()):
        slots["momentum_buffer"] = torch.zeros(3)
    made: set[int] = graph.made  # type: ignore[attr-defined]
    assert lasting(run)["momentum_buffer 0"].untyped_storage().data_ptr() in made
