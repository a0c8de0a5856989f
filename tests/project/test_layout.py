"""Which part of the package may import which, and what must start without torch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from trainer.storage import run_folder

PACKAGE = Path(__file__).parents[2] / "trainer"
PAGE = PACKAGE.parent / "docs" / "architecture.md"
COMMANDS = {"__init__", "__main__", "preview", "find_lr", "evaluate", "predict", "export",
            "checkpoints", "verify_resume"}  # fmt: skip
# Floor by floor: a room imports from floors below its own.
FLOORS = (
    {"options", "storage"},
    {"schedules", "data", "models", "optimizers", "cli"},
    {"config"},
    {"training", "report", "preview", "checkpoints"},
    {"sweep", "find_lr", "inference", "verify_resume"},
    {"__main__", "evaluate", "predict", "export"},
)
MOST_INSIDE = {"report": 12, "training": 11}  # floors inside a room; may only fall, to 8
FORBIDDEN_NAMES = ("utils", "common", "helpers", "base")
FILES = {path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
         for path in PACKAGE.rglob("*.py")}  # fmt: skip


def imports(name: str) -> set[str]:
    """Modules of ours that a module imports, wherever in it, such as `schedules.decay`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("trainer.") for name in found} & set(FILES) - {name}


GRAPH = {name: imports(name) for name in FILES if not name.endswith("__init__")}


def heights(graph: dict[str, set[str]]) -> dict[str, int]:
    """The floor that each stands on; a circle raises CycleError and names itself."""
    floors: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        floors[name] = 1 + max((floors[below] for below in graph.get(name, ())), default=0)
    return floors


def test_the_top_of_the_package_is_its_commands() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == COMMANDS


def test_rooms_import_from_floors_below_their_own() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}
    for name, targets in GRAPH.items():
        own = name.partition(".")[0]
        for target in targets:
            other = target.partition(".")[0]
            assert own == other or floor[other] < floor[own], f"{name} imports {target}"


def test_no_file_imports_one_that_imports_it() -> None:
    assert heights(GRAPH)


@pytest.mark.parametrize("room", sorted({name.partition(".")[0] for name in FILES if "." in name}))
def test_a_room_has_few_floors_inside(room: str) -> None:
    inside = {name: {t for t in targets if t.startswith(f"{room}.")}
              for name, targets in GRAPH.items() if name.startswith(f"{room}.")}  # fmt: skip
    assert max(heights(inside).values(), default=0) <= MOST_INSIDE.get(room, 8)


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [name for name in FILES if name.rpartition(".")[2] in FORBIDDEN_NAMES]


def test_the_names_in_a_run_folder_are_spelled_in_one_file() -> None:
    values = [vars(run_folder)[name] for name in vars(run_folder) if name.isupper()]
    names = {value for value in values if isinstance(value, str)} | {"best.pt", "last.pt"}
    names -= {"checkpoints", "export", "evaluation"}  # also words: commands have these names
    names.add("step_")
    # conf/ has a config.yaml, too, and a download a lock
    others = {"storage.run_folder", "config.fields", "data.download"}
    for name in FILES.keys() - others:
        for node in ast.walk(ast.parse(FILES[name].read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in names, f"{name}, line {node.lineno}: {node.value}"


def tree() -> str:
    """Every room and file with the first line of its docstring."""
    lines: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda p: (p.parent, p.name != "__init__.py", p)):
        title = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        name = path.relative_to(PACKAGE)
        if path.name == "__init__.py":
            lines += (
                ["", f"{name.parent}/   {title}"] if name.parent.name else [f"trainer/   {title}"]
            )
        else:
            lines.append(f"  {path.stem:<20} {title}")
    return "\n".join(lines).replace("`", "")


def page_with_tree() -> str:
    head, fence, _ = PAGE.read_text().rpartition("<!-- python tests/project/test_layout.py")
    comment = f"{fence} writes this from the first line of each file -->"
    return f"{head}{comment}\n```\n{tree()}\n```\n"


def test_the_page_lists_every_file() -> None:
    assert PAGE.read_text() == page_with_tree(), "python tests/project/test_layout.py writes it"


@pytest.mark.parametrize(
    "code",
    [
        "import trainer.config.overrides, trainer.sweep.start, trainer.training.start",
        "from trainer.schedules import Cosine; Cosine().resolve(10, 100).lr(5, 0.1)",
        "from trainer.preview import main; main(['scheduler=steplr,cosine'])",
        "from trainer.report.__main__ import main; assert main(['nowhere']) == 2",
        "import trainer.report.write, trainer.report.figures",
        "from trainer.__main__ import main; assert main(['epochs=0']) == 2",
        "from trainer.__main__ import main; assert main(['--help']) == 0",
        "from trainer.evaluate import main; assert main(['nowhere']) == 2",
        "from trainer.predict import main; assert main(['nowhere', 'a.png']) == 2",
        "from trainer.export import main; assert main(['nowhere', '--format', 'torch']) == 2",
        "from trainer.find_lr import main; assert main(['--from', '0']) == 2",
        "from trainer.find_lr import main; assert main(['epochs=0']) == 2",
    ],
)
def test_answers_without_importing_torch(code: str) -> None:
    check = f"{code}\nimport sys; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_training_imports_nothing_slow_that_it_does_not_use(tmp_path: Path) -> None:
    # Each takes a second or more, and torch's own optimizers import the first four.
    slow = "torch._dynamo", "torch._inductor", "sympy", "triton", "torchvision", "matplotlib"
    sizes = "data.train_images=256", "data.test_images=10", "epochs=1", "device=cpu"
    arguments = ["data=synthetic", *sizes, f"hydra.run.dir={tmp_path / 'run'}"]
    # torch 2.10 takes sympy along, a quarter of a second, to make any layer without memory.
    check = f"""
import sys
import torch
torch.nn.Linear(1, 1, device="meta")
known = {{"sympy"}} & {{*sys.modules}}
from trainer.__main__ import main
assert main({arguments!r}) == 0
print(*(name for name in {slow!r} if name in sys.modules and name not in known))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "", "training imports it"


@pytest.mark.parametrize(
    "command", sorted(COMMANDS - {"__init__", "__main__"} | {"report.__main__", "sweep.__main__"})
)
def test_help_answers_without_torch(command: str) -> None:
    check = f"""
import contextlib, sys
from trainer.{command} import main
with contextlib.suppress(SystemExit):
    main(["--help"])
assert "torch" not in sys.modules, "torch was imported"
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = command.removesuffix(".__main__")
    assert done.stdout.startswith(f"usage: python -m trainer.{name} ")
    assert "examples:" in done.stdout


if __name__ == "__main__":
    PAGE.write_text(page_with_tree())
