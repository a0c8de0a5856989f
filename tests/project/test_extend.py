"""docs/extend.md, done literally: its files go into an empty folder, its commands run there."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text()
CAPTION = re.compile(r"New file `([^`]+)`:")
SHORT = [
    *("batch_size=20", "epochs=1", "device=cpu", "log.progress=none"),
    *("data.train_size=40", "hydra.run.dir=runs/{number}"),
]
FEW = ["data.train_images=60", "data.test_images=20"]
# Several commands in one process: torch is imported once.
RUN = """
import importlib, json, sys
for command in json.loads(sys.argv[1]):
    name, *words = command
    if name == "pytest":
        import pytest
        code = pytest.main([*words, "-q", "-p", "no:cacheprovider"])
    else:
        module = "trainer.__main__" if name == "trainer" else name
        code = importlib.import_module(module).main(words)
    if code:
        sys.exit(f"{command}: exit code {code}")
import trainer
print(trainer.__file__)
"""


def blocks() -> Iterator[tuple[str, str, str]]:
    """Caption, language and text of each fenced block; the caption is what was said before it."""
    for said, language, text in re.findall(r"(.*?)^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.M):
        lines = [line for line in said.splitlines() if line]
        yield lines[-1] if lines else "", language, text


def test_the_page_is_followed_literally(tmp_path: Path) -> None:
    commands: list[list[str]] = []
    for caption, language, text in blocks():
        if (match := CAPTION.fullmatch(caption)) is not None:
            file = tmp_path / match[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif language == "python":
            subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=True)
        else:
            assert language == "bash", f"nobody knows what to do with {text!r}"
            for line in text.splitlines():
                python, flag, module, *words = shlex.split(line)
                assert (python, flag) == ("python", "-m"), line
                if module == "trainer":
                    words += [word.format(number=len(commands)) for word in SHORT]
                    words += FEW if "data=synthetic" in words else []
                commands.append([module, *words])
    runs = [number for number, command in enumerate(commands) if command[0] == "trainer"]
    assert len(runs) == 5
    Image.new("RGB", (40, 30), "red").save(tmp_path / "cat.png")
    for number, name in ((runs[0], "small_cnn"), (runs[3], "photos")):
        run = f"runs/{number}"
        commands += [
            ["trainer.evaluate", run, "--plugins", f"mine.{name}"],
            ["trainer.predict", run, "cat.png", "--plugins", f"mine.{name}"],
            ["trainer.export", run, "--format", "torch", "--plugins", f"mine.{name}"],
        ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(ROOT / "trainer" / "__init__.py")
    rows = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/*/metrics.jsonl"))]
    assert [row["step"] for row in rows] == [2] * 5
    saved = [path.read_text() for path in sorted(tmp_path.glob("runs/*/config.yaml"))]
    for text, name in zip(saved, ("small_cnn", "rex", "rex", "photos", "rex"), strict=True):
        assert f"name: {name}\n" in text
    assert f"root: {tmp_path}\n" in saved[3]
    assert len(list(tmp_path.glob("runs/*/evaluation/test_best/evaluation.json"))) == 2
    assert len(list(tmp_path.glob("runs/*/export/model.pt2"))) == 2
    (line,) = re.findall(r"^cat\.png  (.*)$", done.stdout, re.MULTILINE)[1:]
    assert sorted(re.findall(r"[a-z]+", line)) == ["cat", "dog"]  # two classes, all of them
    assert "of the model on 40 test images of photos" in done.stdout
