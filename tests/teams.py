"""Several trainer processes that train one run, as a launcher would start them."""

import functools
import os
import socket
from pathlib import Path

from processes import Trainer


def start_team(
    arguments: list[str], folder: Path, processes: int, *, others: Path | None = None
) -> list[Trainer]:
    """One process per rank on this machine; the first one keeps the messages.

    Args:
        arguments: The command line of the first.
        folder: Where it is started.
        processes: How many there are.
        others: Where the others are started, with no argument of use; None: all alike.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        Trainer(
            arguments if others is None or rank == 0 else ["nonsense"],
            folder if others is None or rank == 0 else others,
            prepare=functools.partial(_be, rank, processes, port),
        )
        for rank in range(processes)
    ]


def team(arguments: list[str], folder: Path, processes: int, *, expect: int = 0) -> str:
    """Runs to the end, checks each exit code, and returns what was printed."""
    started = start_team(arguments, folder, processes)
    codes = [process.code() for process in started]
    said = "".join(process.out + process.err for process in started)
    assert codes == [expect] * processes, f"exit codes {codes}:\n{said}"
    return said


def _be(rank: int, processes: int, port: int) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(processes), LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
