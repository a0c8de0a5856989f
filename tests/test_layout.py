"""Which part of the package may import which, and what must start without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "trainer"
LEAVES = ("schedules", "data", "models", "optimizers")
COMMANDS = ("__main__", "preview", "checkpoints", "verify_resume", "report", "sweep",
            "evaluate", "predict", "export", "find_lr")  # fmt: skip
FORBIDDEN_NAMES = ("utils", "common", "helpers", "base")


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, as `schedules.decay`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "trainer":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("trainer."):
                found.add(node.module.removeprefix("trainer."))
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("trainer.") for a in node.names if a.name.startswith("trainer.")
            }
    return found


FILES = {path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
         for path in PACKAGE.rglob("*.py")}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_imports_point_downwards(name: str) -> None:
    for imported in imports(FILES[name]):
        part, target = name.partition(".")[0], imported.partition(".")[0]
        if part == "storage":
            pytest.fail(f"storage imports {imported}")
        if part in LEAVES:
            assert target in (part, "storage"), f"{name} imports {imported}"
        if part == "config":
            assert target in (*LEAVES, "run_options", "tasks"), f"config imports {imported}"
        own = part == target == "report"  # a command of several files
        starts = name in ("processes", "prefork")  # the command, in a process of its own
        starts |= name == "sweep_jobs" and target == "report"  # a sweep ends in one
        assert own or starts or target not in COMMANDS, f"{name} imports the command {imported}"


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [name for name in FILES if name.rpartition(".")[2] in FORBIDDEN_NAMES]


@pytest.mark.parametrize(
    "code",
    [
        "import trainer.config, trainer.arguments, trainer.door",
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


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "find_lr"])
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
    assert done.stdout.startswith(f"usage: python -m trainer.{command} ")
    assert "examples:" in done.stdout
