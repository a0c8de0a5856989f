"""Every durable write: atomic, hashed, locked. Needs no torch."""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import struct
import sys
from collections.abc import Generator
from pathlib import Path

from trainer.storage.run_folder import LOCK

TAG = b"trainer-sha256:1"
TRAILER = len(TAG) + hashlib.sha256().digest_size
PARTIAL = ".trainer-partial"
# The system's `struct flock`, and which of its fields is the kind of lock.
FLOCK = ("hhqqi4x", 0) if sys.platform == "linux" else ("qqihh", 3)


class DamagedFile(ValueError):
    """A file whose bytes are not those that were written."""


def write(path: Path, content: bytes) -> None:
    """Puts a whole file in place: after a crash at any moment it is the old one or the new one.

    Raises:
        OSError: If it cannot be written; names the file. What was there before is untouched.
    """
    # The target's own name is in the temporary one, so two targets never share it.
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        message = f"{path}: cannot write {len(content):,} bytes: {reason}"
        raise OSError(error.errno, message) from error


def rename(path: Path, target: Path) -> None:
    """Renames a file within its folder, durably.

    Raises:
        OSError: If it cannot be renamed.
    """
    path.replace(target)
    _sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, durably; one that is there stays.

    Raises:
        OSError: If it cannot be made, or a file is in the way.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def write_text(path: Path, text: str) -> None:
    """Like `write`, for UTF-8 text."""
    write(path, text.encode())


def sealed(content: bytes) -> bytes:
    """The content with a trailer over every byte of it: a tag and the SHA-256."""
    return content + TAG + hashlib.sha256(content).digest()


def read_sealed(path: Path) -> bytes:
    """The content of a sealed file, verified before anybody parses it.

    Raises:
        FileNotFoundError: If it is not there.
        DamagedFile: If a single bit differs from what was written.
    """
    whole = path.read_bytes()
    content, tag, digest = whole[:-TRAILER], whole[-TRAILER : len(TAG) - TRAILER], whole[-32:]
    if len(whole) <= TRAILER or tag != TAG:
        raise DamagedFile(f"{path}: is damaged: its last bytes are not a checkpoint's checksum")
    if hashlib.sha256(content).digest() != digest:
        raise DamagedFile(f"{path}: is damaged: its content does not match its checksum")
    return content


def is_sealed(path: Path) -> bool:
    """Whether a file ends as a sealed one does; its content is not read, nor is a pipe."""
    if not path.is_file() or path.stat().st_size <= TRAILER:
        return False
    with path.open("rb") as file:
        file.seek(-TRAILER, os.SEEK_END)
        return file.read(len(TAG)) == TAG


def sweep(folder: Path) -> list[Path]:
    """Removes what an interrupted `write` left behind in a folder, not below it."""
    left = sorted(folder.glob(f".*{PARTIAL}"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Holds a folder for this process; released by the system however the process ends.

    POSIX record locks are used because children do not inherit them: an orphaned data worker
    cannot keep a dead run locked.

    Raises:
        BlockingIOError: If another process holds it; names its pid and host.
    """
    make_folder(folder)
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # no locks on this file system
                reason = f"{path}: cannot be locked: {error.strerror}"
                raise OSError(error.errno, reason) from error
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            raise BlockingIOError(
                error.errno, f"{folder}: is in use by {holder or 'another process'}"
            ) from error
        with contextlib.suppress(OSError):  # a courtesy: the lock holds without it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def in_use(folder: Path) -> bool:
    """Whether another process on this machine holds the folder; asks without taking it.

    Not for the process that holds it: closing the file would release its lock.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    layout, kind = FLOCK
    asked = [0] * 5  # from the beginning, to the end, whoever it is
    asked[kind] = fcntl.F_WRLCK
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *asked))
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return struct.unpack(layout, answer)[kind] != fcntl.F_UNLCK


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost when the machine goes down.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no such thing
            raise
    finally:
        os.close(descriptor)
