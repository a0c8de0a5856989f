"""Every command against every kind of error: one frame, one table of exit codes, one line."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from trainer.cli import command, console
from trainer.cli.signals import Stopped
from trainer.storage.files import DamagedFile

COMMANDS = ("__main__", "preview", "find_lr", "evaluate", "predict", "export", "checkpoints",
            "verify_resume", "report.__main__", "sweep.__main__")  # fmt: skip
ERRORS = {
    2: (
        ValueError("epochs=0: must be at least 1"),
        FileExistsError("out: belongs to another run"),
        NotADirectoryError(20, "Not a directory", "out"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ),
    1: (
        OSError(28, "No space left on device", "out"),
        FileNotFoundError(2, "No such file or directory", "out"),
        PermissionError(13, "Permission denied", "out"),
        BlockingIOError("out: is in use by process 1"),
        ConnectionError("the mirror has gone"),
        DamagedFile("last.pt: is damaged"),
        FloatingPointError("the loss is nan"),
        MemoryError("the GPU is out of memory"),
    ),
    130: (KeyboardInterrupt(),),
    143: (Stopped(15),),
}
CASES = [(code, error) for code, errors in ERRORS.items() for error in errors]


@pytest.fixture(params=COMMANDS)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"trainer.{request.param}")


@pytest.mark.parametrize(("code", "error"), CASES, ids=[type(e).__name__ for _, e in CASES])
def test_an_error_is_one_line_and_its_exit_code(
    module: ModuleType,
    code: int,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    # Where each of them begins to work.
    if module.__name__ == "trainer.__main__":
        monkeypatch.setattr(module, "begin", fail)
    else:
        monkeypatch.setattr(command.Parser, "read", fail)
    assert module.main(["epochs=1"]) == code
    printed = capsys.readouterr()
    lines = [] if code > 2 else [f"trainer: error: {console.one_line(error)}"]
    assert printed.err.splitlines() == lines
    assert not printed.out


def test_what_nobody_expected_keeps_its_traceback(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("a bug")

    if module.__name__ == "trainer.__main__":
        monkeypatch.setattr(module, "begin", fail)
    else:
        monkeypatch.setattr(command.Parser, "read", fail)
    with pytest.raises(KeyError):
        module.main(["epochs=1"])


def test_an_unknown_flag_is_refused_in_one_line(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--nonsense"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trainer: error: ")
    assert "--nonsense" in line


def test_an_abbreviated_flag_is_unknown(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--hel"]) == 2  # it would change its meaning with the next flag
    assert "--help" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="is Linux's")
def test_standard_output_on_a_full_disk_is_a_failure() -> None:
    check = "import sys; from trainer.preview import main; sys.exit(main(['epochs=1']))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", check], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
