"""docs/extend.md, done literally: its blocks go into a copy of the program, its commands run."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extend.md").read_text()
CAPTION = re.compile(r"(?:New file|In) `([^`]+)`(?:, (above|below) `([^`]+)`)?:")
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


def put(place: Path, caption: re.Match[str], text: str) -> None:
    """Makes the file, or adds the lines, that a caption names."""
    name, where, anchor = caption.groups()
    file = place / name
    if where is None:
        assert not file.exists(), f"{name} is not new"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return
    lines = file.read_text().splitlines(keepends=True)
    found = [n for n, line in enumerate(lines) if anchor in line]
    assert len(found) == 1, f"{anchor!r} is {len(found)} times in {name}"
    lines.insert(found[0] + (where == "below"), text)
    file.write_text("".join(lines))


def test_the_page_is_followed_literally(tmp_path: Path) -> None:
    for name in ("trainer", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    commands: list[list[str]] = []
    for caption, language, text in blocks():
        if (match := CAPTION.fullmatch(caption)) is not None:
            put(tmp_path, match, text)
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
    assert len(runs) == 4
    Image.new("RGB", (40, 30), "red").save(tmp_path / "cat.png")
    for number in (runs[0], runs[-1]):  # what the page says of them: own model, own data set
        run = f"runs/{number}"
        commands += [
            ["trainer.evaluate", run],
            ["trainer.predict", run, "cat.png"],
            ["trainer.export", run, "--format", "torch"],
        ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "trainer" / "__init__.py")
    rows = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/*/metrics.jsonl"))]
    assert [row["step"] for row in rows] == [2] * 4
    saved = [path.read_text() for path in sorted(tmp_path.glob("runs/*/config.yaml"))]
    for text, name in zip(saved, ("small_cnn", "rex", "rex", "photos"), strict=True):
        assert f"name: {name}\n" in text
    assert f"root: {tmp_path}\n" in saved[-1]
    assert len(list(tmp_path.glob("runs/*/evaluation/test_best/evaluation.json"))) == 2
    assert len(list(tmp_path.glob("runs/*/export/model.pt2"))) == 2
    (line,) = re.findall(r"^cat\.png  (.*)$", done.stdout, re.MULTILINE)[1:]
    assert sorted(re.findall(r"[a-z]+", line)) == ["cat", "dog"]  # two classes, all of them
    assert "of the model on 40 test images of photos" in done.stdout


def test_every_section_has_three_steps() -> None:
    sections = PAGE.split("\n## ")[1:]
    assert len(sections) == 3
    for section in sections:
        assert re.findall(r"^\*\*Step (\d):", section, re.MULTILINE) == ["1", "2", "3"]
