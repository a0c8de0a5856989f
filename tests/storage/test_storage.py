"""Durable writes: whole or not at all, and damage never passes."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.storage import files


def test_what_is_sealed_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, files.sealed(b"content"))
    assert files.read_sealed(path) == b"content"
    assert list(tmp_path.iterdir()) == [path]


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = files.sealed(bytes(range(40)))
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(files.DamagedFile, match=str(path)):
                files.read_sealed(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = files.sealed(bytes(range(40)))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(files.DamagedFile):
            files.read_sealed(path)


def test_a_write_that_fails_keeps_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")
    child = os.fork()
    if child == 0:  # a limit on file size acts like a full disk, and needs no root
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            files.write(path, bytes(1000))
        except OSError as error:
            named = str(path) in str(error) and "1,000 bytes" in str(error)
            os._exit(7 if error.errno == errno.EFBIG and named else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, files.sealed(b"0"))
    for round_number in range(20):
        child = os.fork()
        if child == 0:
            number = 0
            while True:
                number += 1
                files.write(path, files.sealed(bytes([number % 256]) * 100_000))
        os.kill(child, 0)
        deadline = 0.002 + 0.001 * round_number
        os.waitstatus_to_exitcode(_kill_after(child, deadline))
        assert len(set(files.read_sealed(path))) == 1
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def _kill_after(child: int, seconds: float) -> int:
    import time

    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def test_a_locked_folder_is_refused_until_its_holder_dies(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from trainer.storage.files import locked\n"
        f"with locked(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(BlockingIOError, match=f"is in use by process {holder.pid} on "),
        files.locked(tmp_path),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with files.locked(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()


def test_a_file_system_without_locks_is_named_and_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "lockf", no_locks)
    with (
        pytest.raises(OSError, match=r"\.lock: cannot be locked: No locks available") as error,
        files.locked(tmp_path),
    ):
        pass
    assert not isinstance(error.value, BlockingIOError)
