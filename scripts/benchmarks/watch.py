"""A process, watched from outside while it runs."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Row

PAUSE = 0.01  # seconds between two looks


def watched(arguments: Sequence[str]) -> Iterator[Row]:
    """Looks at a Python process until it ends: its memory now and at most so far, in MB.

    Not by what the system says of ended children: there Linux counts the memory of the process
    that a child came from as the child's own.

    Raises:
        SystemExit: If it fails, or where there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise SystemExit("bench: error: memory is read from /proc, which this system has not")
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError, KeyError):  # it is about to end
                status = Path(f"/proc/{process.pid}/status").read_text()
                entries = dict(line.split(":", 1) for line in status.splitlines())
                yield {"MB": megabytes(entries["VmRSS"]), "peak_MB": megabytes(entries["VmHWM"])}
            time.sleep(PAUSE)
        said = process.stderr.read().decode() if process.stderr else ""
    if process.returncode:
        raise SystemExit(f"bench: error: {' '.join(command)}: {process.returncode}: {said}")


def megabytes(text: str) -> float:
    """`  123 kB` in MB (of a million bytes)."""
    return int(text.split()[0]) * 1024 / 1e6
