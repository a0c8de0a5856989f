"""A project of a user's own: an empty folder, the program installed as a wheel, plugins."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from trainer.options import plugins

ROOT = Path(__file__).parents[2]
PARTS = """
from torch import nn
import torch
from trainer.data.image_set import ImageSet
from trainer.data.options import ImageOptions, data
from trainer.models.options import ModelOptions, model
from trainer.schedules.schedule import Schedule, schedule

@model("tiny")
class Tiny(ModelOptions):
    width: int = 4

    def build(self, classes):
        return nn.Sequential(nn.Conv2d(3, self.width, 5, 4), nn.Flatten(),
                             nn.Dropout(0.1), nn.Linear(49 * self.width, classes))

@schedule("rex")
class Rex(Schedule):
    def curve(self, span, key):
        def lr(k, base_lr):
            left = 1 - min(k, span.updates) / span.updates
            return base_lr * left / (0.5 + 0.5 * left)
        return lr

@data("noise")
class Noise(ImageOptions):
    images: int = 200

    def available(self):
        return self.images

    def classes(self):
        return ("dark", "light")

    def build(self):
        generator = torch.Generator().manual_seed(0)
        def draw(count):
            labels = torch.arange(count) % 2
            pixels = torch.randint(0, 200, (count, 32, 32, 3), generator=generator)
            return ImageSet((pixels + 50 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels,
                            self.classes())
        return draw(self.images), draw(40), "noise"
"""
EXPERIMENT = """# @package _global_
defaults:
  - override /model: tiny
  - override /data: noise
  - override /scheduler: warmup_rex

plugins: [mine.parts]
epochs: 6
batch_size: 10
device: cpu
optimizer:
  lr: 0.01
"""
MINE = ["--config-dir", "yaml", "experiment=mine"]


class Project:
    """The folder, and the console script of the installed wheel."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.script = site / "bin" / "trainer"
        self.environment = {"PYTHONPATH": str(site), "PATH": os.defpath, "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(self.script), *arguments],
            cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, expect: int = 0) -> str:
        process = self.start(*arguments)
        out, err = process.communicate()
        assert process.returncode == expect, out + err
        return out + err

    def command(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"trainer.{name}", *arguments],
            cwd=self.folder, env=self.environment, text=True, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("trainer", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(place)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    assert "trainer/conf/config.yaml" in zipfile.ZipFile(wheel).namelist()
    site = place / "site"
    install = [*pip, "install", "--no-deps", "-q", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    folder = place / "project"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "parts.py").write_text(PARTS)
    (folder / "yaml" / "experiment").mkdir(parents=True)
    (folder / "yaml" / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    return Project(folder, site)


@pytest.fixture(scope="module")
def trained(project: Project) -> Path:
    project.run(*MINE, "hydra.run.dir=run")
    return project.folder / "run"


def rows(run: Path) -> list[dict[str, float]]:
    clocks = ("seconds", "images_per_second")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in clocks} for line in lines]


def test_own_parts_are_trained_and_remembered(trained: Path) -> None:
    assert len(rows(trained)) == 6
    saved = (trained / "config.yaml").read_text()
    for name in ("name: tiny", "name: noise", "name: rex", "- mine.parts"):
        assert name in saved


def test_a_killed_run_goes_on_bit_for_bit(project: Project, trained: Path) -> None:
    command = [*MINE, "hydra.run.dir=killed", "resume=auto", "checkpoint.every_steps=7"]
    process = project.start(*command)
    newest = project.folder / "killed" / "checkpoints" / "step_00000035.pt"
    end = time.monotonic() + 120
    while not newest.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -9
    project.run(*command)
    assert rows(project.folder / "killed") == rows(trained)
    ours, theirs = ((run / "lr.csv").read_text() for run in (trained, project.folder / "killed"))
    assert ours == theirs
    project.command("checkpoints", "diff", "run/checkpoints/last.pt", "killed/checkpoints/last.pt")


def test_a_plugin_that_is_not_named_again_is_not_imported(project: Project, trained: Path) -> None:
    mark = project.folder / "imported"
    parts = project.folder / "mine" / "parts.py"
    parts.write_text(f"open({str(mark)!r}, 'w').close()\n{PARTS}")
    try:
        line = project.run("resume=run", "epochs=7", expect=2)
        assert "name=noise: is a plugin's; add plugins='[mine.parts]'" in line
        assert not mark.exists()
        line = project.run("resume=run", "epochs=7", "on_horizon_change=stretch",
                           "plugins=[mine.parts]")  # fmt: skip
        assert "warning: plugin mine.parts was " in line, "its file has changed"
        assert mark.exists()
    finally:
        parts.write_text(PARTS)


def test_a_sweep_gives_its_jobs_plugins_and_paths(project: Project) -> None:
    sweep = ["hydra.sweep.dir=sweep", "epochs=1", "model.width=2,3", "hydra.launcher.n_jobs=-1"]
    out = project.run("-m", *MINE, *sweep)
    assert "2 of 2 jobs done" in out


def test_a_trained_model_is_evaluated_with_its_plugin(project: Project, trained: Path) -> None:
    assert "40 images of noise" in project.command("evaluate", "run", "--plugins", "mine.parts")
    assert "rex" in project.command("preview", "plugins=mine.parts", "scheduler=rex,warmup_rex")


def test_names_of_plugins_are_suggested(project: Project) -> None:
    line = project.run("plugins=mine.parts", "scheduler=Rexx", expect=2)
    assert "did you mean rex?" in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "plugins=ours: there is no module ours in "),
        ("1 / 0", "plugins=ours: cannot be imported: ZeroDivisionError"),
        ("import nowhere_at_all", "plugins=ours: cannot be imported: No module named"),
        (
            "from trainer.models.options import ModelOptions, model\n"
            "@model('vgg')\nclass Mine(ModelOptions): pass\n",
            "plugins=ours: cannot be imported: ValueError: model vgg: is there already",
        ),
    ],
)
def test_a_plugin_that_cannot_be_is_one_line(
    content: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "ours", raising=False)
    if content is not None:
        (tmp_path / "ours.py").write_text(content)
    with pytest.raises(ValueError, match=r"^plugins=ours: ") as raised:
        plugins.load(["ours"])
    assert str(raised.value).startswith(expected)
    assert "ours" not in plugins.LOADED


def test_a_folder_that_is_not_there_is_refused(project: Project) -> None:
    line = project.run("hydra.searchpath=[file://nowhere]", "experiment=mine", expect=2)
    assert "there is no folder nowhere" in line
    assert "there is no folder" in project.run("--config-dir", "nowhere", expect=2)
