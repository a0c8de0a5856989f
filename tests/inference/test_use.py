"""`trainer.evaluate`, `predict` and `export` on runs that were trained here."""

import csv
import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from processes import TINY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from trainer import evaluate, export, find_lr, predict
from trainer.config.fields import Config
from trainer.config.overrides import compose_run
from trainer.data import synthetic
from trainer.inference import exported
from trainer.inference import trained as trained_models
from trainer.inference.evaluation import evaluate as evaluation_of
from trainer.inference.exported import Exported, largest_difference, sample
from trainer.inference.trained import Trained, load_trained, read_config
from trainer.inference.which_checkpoint import resolve
from trainer.models.options import VGG
from trainer.models.vgg import VGG as SmallVGG
from trainer.storage import checkpoint
from trainer.storage.checkpoint import find
from trainer.storage.comparison import compare_runs
from trainer.training.attempt import attempt

DOCS = (Path(__file__).parents[2] / "docs" / "use.md").read_text()
TWO = [*TINY, "epochs=2", "log.progress=none", "scheduler=constant"]


def config_of(*arguments: str) -> Config:
    return compose_run([*TWO, *arguments]).config


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: `plain`; `kept` has validation images; `mean` averages weights and flips."""
    folder = tmp_path_factory.mktemp("made")
    ways = {"plain": (), "kept": ("data.val_size=20",), "mean": ("ema=0.8", "test_time_flip=true")}
    for name, more in ways.items():
        (folder / name).mkdir()
        assert attempt(config_of(*more), folder / name, None, []).code == 0
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "plain", tmp_path / "run"))


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def difference(forward: Exported, trained: Trained) -> float:
    """How far `forward` is from the model on the images that an export is checked with."""
    images, _ = sample(trained)
    return largest_difference(forward, images, trained.logits(images))


def digests(folder: Path) -> dict[str, str]:
    """Every file of a run but the results that the commands here write."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("evaluation", "export")
    }


@pytest.mark.parametrize("weights", ["best", "last"])
def test_an_evaluation_gives_the_runs_own_numbers_to_the_last_bit(
    run: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(run), "--weights", weights, "--json"]) == 0
    found = said(capsys)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["test/accuracy"])
    row = best if weights == "best" else rows[-1]
    assert (found["loss"], found["accuracy"]) == (row["test/loss"], row["test/accuracy"])
    assert (found["step"], found["epoch"]) == (row["step"], row["epoch"])
    assert found["recorded"] == {"loss": row["test/loss"], "accuracy": row["test/accuracy"]}
    folder = run / "evaluation" / f"test_{weights}"
    assert json.loads((folder / "evaluation.json").read_text()) == found
    with Image.open(folder / "confusion.png") as image:
        assert min(image.size) > 400


@pytest.mark.parametrize("weights", ["best", "last"])
def test_the_final_test_of_a_run_with_validation_images_comes_out_again(
    made: Path, weights: str
) -> None:
    summary = json.loads((made / "kept" / "summary.json").read_text())
    trained = load_trained(resolve(made / "kept", weights), {})
    test, val = evaluation_of(trained, "test"), evaluation_of(trained, "val")
    found = {"loss": test.scores.loss, "accuracy": test.scores.accuracy}
    assert found == summary[f"test_{weights}"]
    assert test.recorded is None
    assert val.same
    assert len(val.scores.classes) == 10
    assert sum(each.images for each in val.scores.classes) == val.scores.images == 20


# As torch 2.10 reads its own files; what we say about ours goes through `run_pt2`.
OWN_FILES = pytest.mark.filterwarnings("ignore:The given buffer is not writable")


@OWN_FILES
def test_averaged_weights_and_mirror_images_are_used_as_they_were_evaluated(
    made: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(made / "mean", "last")
    trained = load_trained(place, {})
    assert evaluation_of(trained, "test").same
    state = trained.source.state
    assert not torch.equal(state["model"]["fc2.weight"], state["ema"]["fc2.weight"])
    assert trained.head()[0].startswith("vgg, averaged last weights, of epoch 2: ")
    exact = load_trained(place, {"device": "cpu", "amp": "none"})
    (line,) = exported.export(exact, {"torch": "m.pt2"}, tmp_path)
    assert "within" in line
    plain = Exported(exact.model)
    with pytest.raises(ValueError, match="nothing was written"):
        difference(plain, exact)
    words = [str(made / "mean"), "--weights", "last", "--json", "device=cpu"]
    assert predict.main([*words, str(photos / "0.png")]) == 0
    (image,) = said(capsys)["images"]  # type: ignore[misc]
    loaded = torch.export.load(tmp_path / "m.pt2").module()
    _, test, _ = synthetic.make(0, 120, 40)
    with torch.no_grad():
        _, probabilities = loaded(test.images[:1].permute(0, 3, 1, 2).contiguous())
    assert image["predictions"][0]["probability"] == pytest.approx(
        float(probabilities.max()), abs=1e-6
    )


def test_train_means_the_training_images_as_they_are(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(run), "--split", "train", "--json", "--weights", "last"]) == 0
    found = said(capsys)
    trained = load_trained(resolve(run, "last"), {"device": "cpu", "amp": "none"})
    images, _, _ = synthetic.make(0, 120, 40)
    forward = Exported(trained.model)
    with torch.no_grad():
        logits, _ = forward(images.images.permute(0, 3, 1, 2))
    loss = float(torch.nn.functional.cross_entropy(logits, images.labels))
    assert found["images"] == 120
    assert found["loss"] == pytest.approx(loss, rel=5e-3)  # it may have computed in bf16


def test_the_lines_say_what_was_evaluated(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(run)]) == 0
    out = capsys.readouterr().out
    for part in ("vgg, best weights by test/accuracy, of epoch", "test: 40 images of synthetic",
                 "the same as the run's own row", "--weights last were not chosen", "for tent",
                 f"written: {run / 'evaluation' / 'test_best'}"):  # fmt: skip
        assert part in out


def test_tensorboard_shows_an_evaluation_beside_the_run(run: Path) -> None:
    before = digests(run)
    for _ in range(2):
        assert evaluate.main([str(run), "--weights", "last", "--json"]) == 0
    events = EventAccumulator(str(run / "evaluation" / "test_last"))
    events.Reload()
    tags = events.Tags()
    (point,) = events.Scalars("test/accuracy")
    values = json.loads((run / "evaluation" / "test_last" / "evaluation.json").read_text())
    assert (point.step, point.value) == (12, pytest.approx(values["accuracy"]))
    assert tags["images"] == ["test/confusion", "test/reliability"]
    assert len(list((run / "evaluation" / "test_last").glob("events.*"))) == 1
    shown = events.Images("test/confusion")[0].encoded_image_string
    assert shown == (run / "evaluation" / "test_last" / "confusion.png").read_bytes()
    assert digests(run) == before
    own = EventAccumulator(str(run / "tensorboard"))
    own.Reload()
    assert len(own.Scalars("test/accuracy")) == 2


def test_an_evaluation_removes_no_event_file_but_its_own(run: Path) -> None:
    before = digests(run)
    for _ in range(2):
        assert evaluate.main([str(run), "--json", "--out", str(run / "tensorboard")]) == 0
    after = digests(run)
    assert after.items() >= before.items()
    added = sorted(Path(name).name.split(".")[0] for name in after.keys() - before.keys())
    assert added == ["confusion", "evaluation", "events", "reliability"]


def test_each_checkpoint_has_an_evaluation_of_its_own(run: Path) -> None:
    for step in (6, 12):
        file = run / "checkpoints" / f"step_{step:08d}.pt"
        assert evaluate.main([str(file), "--json"]) == 0
        found = run / "evaluation" / f"test_step_{step:08d}" / "evaluation.json"
        assert json.loads(found.read_text())["step"] == step
    assert len(list((run / "evaluation").iterdir())) == 2


def test_on_other_data_there_is_nothing_to_compare_with(run: Path) -> None:
    trained = load_trained(resolve(run, None), {})
    assert not evaluation_of(trained, "test").data_changed
    trained.config.data.seed = 1  # type: ignore[attr-defined]
    found = evaluation_of(trained, "test")
    assert found.data_changed
    assert found.recorded is None
    text = "\n".join(found.lines())
    assert "note: the data set is another than the run was trained on" in text
    assert "own row" not in text


def test_a_run_that_was_used_is_untouched_and_goes_on_as_if_not(run: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(run, tmp_path / "twin"))
    before = digests(run)
    Image.new("RGB", (50, 60), "red").save(tmp_path / "a.png")
    assert evaluate.main([str(run)]) == 0
    assert predict.main([str(run), str(tmp_path / "a.png")]) == 0
    assert export.main([str(run), "--format", "torch"]) == 0
    assert digests(run) == before
    for folder in (run, twin):
        assert attempt(config_of("epochs=3"), folder, find(folder), []).code == 0
    assert compare_runs(run, twin) is None
    assert digests(run)["metrics.jsonl"] != before["metrics.jsonl"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    _, test, _ = synthetic.make(0, 120, 40)
    for number, pixels in enumerate(test.images):
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return folder


def test_predictions_are_those_that_are_evaluated(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(run), "--json", "amp=none", "device=cpu"]) == 0
    accuracy = said(capsys)["accuracy"]
    assert predict.main([str(run), str(photos), "--json", "--top", "10", "device=cpu"]) == 0
    found = said(capsys)
    _, test, _ = synthetic.make(0, 120, 40)
    right = 0
    for image, label in zip(found["images"], test.labels.tolist(), strict=True):  # type: ignore[arg-type]
        best, *others = image["predictions"]
        right += best["class"] == test.classes[label]
        assert best["probability"] >= others[0]["probability"]
        assert best["probability"] + sum(o["probability"] for o in others) == pytest.approx(1)
    assert right / 40 == accuracy
    files = [Path(image["file"]).name for image in found["images"]]  # type: ignore[union-attr]
    assert files[:3] == ["0.png", "1.png", "2.png"]


def test_a_name_cannot_break_the_line_of_its_image(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = photos / "a\nb\x1b[31m\udcff.png"
    shutil.copy(photos / "0.png", odd)
    assert predict.main([str(run), str(odd)]) == 0
    title, line = capsys.readouterr().out.splitlines()
    assert title.startswith("vgg, ")
    assert line.startswith(f"{photos}/a\\nb\\x1b[31m\\udcff.png  ")
    assert line.count("%") == 3
    assert predict.main([str(run), str(odd), "--json"]) == 0
    (image,) = said(capsys)["images"]  # type: ignore[misc]
    assert image["file"] == str(odd)
    odd.write_bytes(b"no image")
    assert predict.main([str(run), str(odd)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "\x1b" not in err


def test_a_broken_image_is_named_and_the_others_are_predicted(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run), str(photos), "--json", "device=cpu"]
    assert predict.main(words) == 0
    whole = said(capsys)
    (photos / "bad.png").write_bytes(b"no image")
    (photos / "20b.png").write_bytes((photos / "20.png").read_bytes()[:99])
    assert predict.main([*words, "--csv", str(tmp_path / "a.csv")]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == whole
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 41
    cut, bad, last = err.splitlines()
    assert cut.startswith(f"{photos / '20b.png'}: cannot be read as an image: ")
    assert bad == f"{photos / 'bad.png'}: is not an image file that can be read"
    assert last == ("trainer: error: 2 of 42 image files cannot be read; the others were predicted")
    assert predict.main([str(run), str(photos / "bad.png"), "--csv", str(tmp_path / "b.csv")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("1 of 1 image files cannot be read; nothing was predicted\n")
    assert not (tmp_path / "b.csv").exists()


def test_the_csv_file_holds_what_is_printed(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = photos / 'a "b",\udcff.png'
    shutil.copy(photos / "0.png", odd)
    table = tmp_path / "a.csv"
    for top in ([], ["--top", "1"]):
        words = [str(run), str(odd), str(photos / "1.png"), "--csv", str(table), *top]
        assert predict.main([*words, "--json"]) == 0
        images = said(capsys)["images"]
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            head, *rows = list(csv.reader(file))
        pairs = ["class", "probability", "class_2", "probability_2", "class_3", "probability_3"]
        assert head == ["file", *pairs[: 2 if top else 6]]
        assert [row[0] for row in rows] == [str(odd), str(photos / "1.png")]
        for row, image in zip(rows, images, strict=True):  # type: ignore[arg-type]
            cells = [x for p in image["predictions"] for x in (p["class"], repr(p["probability"]))]
            assert row[1:] == cells
        assert predict.main(words) == 0
        assert capsys.readouterr().out.endswith(f"written: {table}\n")
    assert predict.main([str(run), str(odd), "--csv", str(photos / "none" / "a.csv")]) == 1
    assert "none" in capsys.readouterr().err


GPU = "CUDA error: all CUDA-capable devices are busy or unavailable\nSearch for ..."


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
         "the GPU is out of memory; device=cpu computes without it"),
        (torch.AcceleratorError(GPU),
         "CUDA error: all CUDA-capable devices are busy or unavailable; device=cpu computes "
         "without it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
         "the machine is out of memory"),
    ],
)  # fmt: skip
def test_what_a_device_reports_is_one_line(
    error: Exception,
    line: str,
    run: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forward(*_: object) -> None:
        raise error

    monkeypatch.setattr(SmallVGG, "forward", forward)
    image = str(photos / "0.png")
    commands = ((evaluate, [], "auto"), (predict, [image], "auto"), (export, [], "cpu"))
    for command, more, device in commands:
        assert command.main([str(run), *more]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == f"trainer: error: device={device}: {line}\n"
    assert not (run / "export").exists()
    monkeypatch.setattr(SmallVGG, "forward", lambda *_: torch.linalg.solve(1, 2))
    with pytest.raises(TypeError):  # a bug stays one
        evaluate.main([str(run)])


@pytest.mark.parametrize("command", [evaluate, predict])
def test_a_gpu_that_another_program_holds_is_one_line(
    command: ModuleType,
    run: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def held(_: object) -> None:
        raise torch.AcceleratorError(GPU)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", held)
    more = [str(photos / "0.png")] if command is predict else []
    assert command.main([str(run), *more, "device=cuda"]) == 1
    assert capsys.readouterr().err == (
        f"trainer: error: device=cuda: {GPU.splitlines()[0]}; device=cpu computes without it\n"
    )


def test_answers_that_are_not_finite_are_refused(run: Path) -> None:
    for precision, words in (("none", r"is not finite \(loss nan\) with amp=none$"),
                             ("bf16", "with amp=bf16; amp=none computes in fp32")):  # fmt: skip
        trained = load_trained(resolve(run, None), {"device": "cpu", "amp": precision})
        for weights in trained.model.parameters():
            weights.data.fill_(1e30)  # finite itself
        with pytest.raises(FloatingPointError, match=words):
            trained.outputs(synthetic.make(0, 120, 40)[1])


@OWN_FILES
def test_an_exported_model_runs_elsewhere_on_any_number_of_images(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx
    import onnxruntime

    assert export.main([str(run)]) == 0
    out = capsys.readouterr().out
    assert out.count("of the model on 40 test images of synthetic") == 2
    _, test, _ = synthetic.make(0, 120, 40)
    images = test.images.permute(0, 3, 1, 2).contiguous()
    session = onnxruntime.InferenceSession(run / "export" / "model.onnx")
    stored = {"metadata.json": ""}
    loaded = torch.export.load(run / "export" / "model.pt2", extra_files=stored).module()
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["metadata.json"]) == properties
    assert tuple(json.loads(properties["classes"])) == test.classes
    assert properties["step"] == str(
        find(run / "checkpoints" / "best.pt").state["progress"]["step"]
    )
    assert session.get_inputs()[0].shape == ["batch", 3, 32, 32]
    assert session.get_outputs()[0].shape == ["batch", 10]
    model = onnx.load(run / "export" / "model.onnx")
    assert not any(node.metadata_props for node in model.graph.node)  # no paths of this machine
    assert predict.main([str(run), str(photos), "--json", "--top", "1", "device=cpu"]) == 0
    ours = [i["predictions"][0] for i in said(capsys)["images"]]  # type: ignore[union-attr]
    for size in (1, 3, 40):
        (theirs,) = session.run(["probabilities"], {"images": images[:size].numpy()})
        with torch.no_grad():
            _, others = loaded(images[:size])
        for place in range(size):
            best = int(theirs[place].argmax())
            assert test.classes[best] == ours[place]["class"]
            assert theirs[place, best] == pytest.approx(ours[place]["probability"], abs=1e-5)
            assert float(others[place, best]) == pytest.approx(theirs[place, best], abs=1e-5)
    shutil.copy(photos / "0.png", run / "export" / "cat.png")
    (example,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=run / "export",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    name, probability = done.stdout.split()
    assert name == ours[0]["class"]
    assert float(probability) == pytest.approx(ours[0]["probability"], abs=1e-5)


def test_every_command_of_the_page_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^python -m trainer\.(\w+)(.*)$", DOCS, re.MULTILINE)
    assert len(lines) >= 10
    for name, rest in lines:
        words = shlex.split(rest)
        if name == "find_lr":
            overrides = [w for w in words if "=" in w and not w.startswith("init=")]
            find_lr.configured([*overrides, "data=synthetic"])
        else:
            command = {"evaluate": evaluate, "predict": predict, "export": export}[name]
            assert command.main(words) == 2
            assert "there is no such run folder, checkpoint or sweep" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vgg_bn", "vgg11_bn", "resnet18"])
def test_models_with_batch_norm_are_exported(model: str, tmp_path: Path) -> None:
    words = [f"model={model}", "epochs=1", "data.train_images=60"]
    assert attempt(config_of(*words), tmp_path, None, []).code == 0
    assert export.main([str(tmp_path)]) == 0
    assert len(list((tmp_path / "export").iterdir())) == 2


def test_a_file_that_computes_something_else_is_not_written(run: Path) -> None:
    trained = load_trained(resolve(run, None), {"device": "cpu", "amp": "none"})
    forward = Exported(trained.model)
    assert difference(forward, trained) < 1e-5
    forward.mean += 0.01
    with pytest.raises(ValueError, match="nothing was written"):
        difference(forward, trained)


def test_without_the_data_an_export_is_checked_on_random_images(run: Path, tmp_path: Path) -> None:
    place = resolve(run, None)
    trained = load_trained(place, {"device": "cpu", "amp": "none"})
    trained.config.data = compose_run([f"data.root={tmp_path}"]).config.data
    images, words = sample(trained)
    assert words == "100 random images (cifar10 is not here)"
    assert images.shape == (100, 32, 32, 3)


@pytest.mark.parametrize("there", [1, 8, 40])
def test_a_small_test_set_is_repeated(there: int, run: Path) -> None:
    trained = load_trained(resolve(run, None), {"device": "cpu", "amp": "none"})
    trained.config.data.test_images = there  # type: ignore[attr-defined]
    images, words = sample(trained)
    assert words == f"{there} test images of synthetic"
    assert images.shape == (100, 32, 32, 3)
    assert torch.equal(images[there], images[0])
    assert difference(Exported(trained.model), trained) < 1e-5


class Branching(nn.Module):
    """What cannot be captured."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.mean() > 0:
            images = -images
        return images.flatten(1)[:, :10]


class Unknown(nn.Module):
    """What can be captured, but is nothing in ONNX."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(images[:, 0, :10, :10]).abs()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Branching(), "model=vgg: torch.export cannot capture it; no branch may hang on pixels: "),
        (Unknown(), "--format onnx: the model cannot be written so: No ONNX function found"),
    ],
)
def test_a_model_that_cannot_be_exported_is_one_line(
    model: nn.Module,
    words: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(VGG, "build", lambda *_: model)
    monkeypatch.setattr(trained_models, "load_weights", lambda *_, **__: None)
    assert export.main([str(run), "--format", "onnx"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"trainer: error: {words}")
    assert err.count("\n") == 1
    assert len(err) < 400
    assert not (run / "export").exists()


def test_a_missing_package_is_named_with_the_extra(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    assert export.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert "--format onnx: needs onnxruntime: pip install 'lr-trainer[export]'" in err
    assert err.count("\n") == 1
    assert not (run / "export").exists()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three jobs: the second is best, the third has not run."""
    folder = tmp_path_factory.mktemp("sweep")
    jobs = [([f"optimizer.lr={lr}"], config_of(f"optimizer.lr={lr}")) for lr in (1e-9, 0.05, 0.1)]
    (folder / "sweep.json").write_text("{}")  # says that it is one; its jobs are their folders
    for number in range(2):
        (folder / str(number)).mkdir()
        assert attempt(jobs[number][1], folder / str(number), None, []).code == 0
    (folder / "2").mkdir()
    (folder / "2" / "summary.json").write_text('{"status": "stopped"}')
    return folder


def test_a_sweep_stands_for_its_best_run(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(sweep), "--split", "train"]) == 0
    out = capsys.readouterr().out
    note = "note: best of 2 finished runs by test/accuracy: job 1, "
    assert note in out
    assert "; 1 more is not done" in out
    assert (sweep / "1" / "evaluation" / "train_best" / "confusion.png").exists()
    assert not (sweep / "0" / "evaluation").exists()


def test_runs_of_a_sweep_that_watched_different_metrics_have_no_best(
    sweep: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sweep, tmp_path / "sweep"))
    summary = json.loads((folder / "0" / "summary.json").read_text())
    summary["best"]["monitor"] = "test/loss"
    (folder / "0" / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match="chosen by test/accuracy and test/loss; name a run"):
        resolve(folder, None)


def test_a_checkpoint_alone_is_enough(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone" / "weights.pt"
    alone.parent.mkdir()
    shutil.copy(run / "checkpoints" / "best.pt", alone)
    shutil.rmtree(run)
    assert evaluate.main([str(alone)]) == 0
    assert "written" not in capsys.readouterr().out
    assert [path.name for path in alone.parent.iterdir()] == ["weights.pt"]
    assert export.main([str(alone), "--format", "torch"]) == 2
    assert "lies in no run folder; --out FOLDER says where to" in capsys.readouterr().err
    assert export.main([str(alone), "--format", "torch", "--out", str(tmp_path / "o")]) == 0


def test_weights_of_an_fp16_run_are_used_in_fp32_on_a_cpu(made: Path) -> None:
    place = resolve(made / "plain", None)
    commit = find(made / "plain")
    assert commit.state["fingerprint"]["precision"] in ("none", "bf16")
    trained = load_trained(place, {"device": "cpu"})
    assert trained.config.amp == commit.state["fingerprint"]["precision"]
    trained.source.state["fingerprint"]["precision"] = "fp16"
    assert read_config(trained.source, {"device": "cpu"}).amp == "none"


def mistakes(run: Path, tmp_path: Path) -> Iterator[tuple[object, list[str], int, str]]:
    damaged = Path(shutil.copytree(run, tmp_path / "damaged"))
    best = damaged / "checkpoints" / "best.pt"
    best.write_bytes(best.read_bytes()[:-1] + b"x")
    image = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(image)
    (tmp_path / "empty").mkdir()
    yield evaluate, ["nowhere"], 2, "nowhere: there is no such run folder, checkpoint or sweep"
    yield evaluate, [str(tmp_path / "empty")], 2, "is not a run folder: it holds no checkpoints"
    yield evaluate, [str(tmp_path)], 2, f"name one, such as {damaged}"
    yield evaluate, [str(image)], 1, "is damaged: its last bytes are not a checkpoint's checksum"
    nan = checkpoint.load(run / "checkpoints" / "last.pt")
    nan["model"]["fc2.weight"][0] = torch.nan
    unfit, _ = checkpoint.save(tmp_path / "nan", nan, 12, keep_last=2, best=False)
    for command, words in ((evaluate, ["--json"]), (predict, [str(image)]), (export, [])):
        yield command, [str(unfit), *words], 1, f"{unfit}: its weights are not finite: fc2.weight"
    yield evaluate, [str(damaged)], 1, "; --weights last takes the newest whole checkpoint"
    yield evaluate, [str(run), "--split", "val"], 2, "--split val: the run kept no images out"
    yield evaluate, [str(run), "--splt", "val"], 2, "--splt: there is no such option"
    yield evaluate, [str(run), "--split", "all"], 2, "invalid choice: 'all'"
    yield evaluate, [str(run), "epochs=3"], 2, "epochs=3: is the run's own setting, or none"
    yield evaluate, [str(run), "devic=cpu"], 2, "did you mean device?"
    yield evaluate, [str(run), "device=cuda:99"], 2, "device=cuda:99: this machine has"
    yield evaluate, [str(run), "amp=fp8"], 2, "amp=fp8: must be one of"
    yield evaluate, [str(run), str(run)], 2, "name one run folder"
    yield evaluate, [str(best), "--weights", "last"], 2, "--weights last: is for a run folder"
    yield predict, [str(run)], 2, "name a run and at least one image"
    yield predict, [str(run), "nothing.png"], 1, "nothing.png: there is no such image file"
    yield predict, [str(run), str(image), "--top", "11"], 2, "--top 11: must be in 1..10"
    yield predict, [str(run), str(image), "--top", "0"], 2, "--top 0: must be in 1..10"
    yield predict, [str(run), str(image), "--top", "few"], 2, "invalid int value: 'few'"
    yield export, [str(run), "--format", "tflite"], 2, "invalid choice: 'tflite'"
    yield export, [str(run), "amp=bf16"], 2, "amp: an exported model is fp32"
    yield export, [str(run), "--out", str(image), "--format", "torch"], 2, f"{image}"


def test_a_mistake_is_one_line_and_the_right_exit_code(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, words, code, part in mistakes(made / "plain", tmp_path):
        assert command.main(words) == code, words  # type: ignore[attr-defined]
        out, err = capsys.readouterr()
        assert out == "", words
        assert part in err, words
        assert err.count("\n") == 1, words
        assert err.startswith("trainer: error: "), words


def test_a_regression_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=linear_regression", "epochs=1", "scheduler=constant", "log.progress=none"]
    assert attempt(compose_run(words).config, tmp_path, None, []).code == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    capsys.readouterr()
    for command, more in ((evaluate, []), (predict, [str(tmp_path / "a.png")]), (export, [])):
        assert command.main([str(tmp_path), *more]) == 2
        err = capsys.readouterr().err
        assert "data=random_regression, which has no classes to tell apart" in err
        assert err.count("\n") == 1


def test_several_processes_are_refused(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")  # as torchrun sets them
    assert evaluate.main([str(made / "plain")]) == 2
    assert "torchrun: is for training; evaluate runs in one process" in capsys.readouterr().err


def test_missing_data_is_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = find(made / "plain").state
    option = compose_run([f"data.root={tmp_path}", "data.download=false"]).config.data
    state["config"]["data"] = dataclasses.asdict(option)
    path, _ = checkpoint.save(tmp_path / "run", state, 12, keep_last=2, best=True)
    assert evaluate.main([str(path), "--weights", "last"]) == 2
    capsys.readouterr()
    assert evaluate.main([str(path)]) == 1
    err = capsys.readouterr().err
    assert f"no CIFAR-10 in {tmp_path}" in err
    assert err.count("\n") == 1
    assert predict.main([str(path), str(path)]) == 1  # needs no data; a checkpoint is no image
    assert "is not an image file that can be read" in capsys.readouterr().err
