"""The processes that a launcher started: the first decides, one broadcast, the others follow it.

What the first one broadcasts is the configuration as plain values, the folder and the checkpoint's
bytes. The others read no argument, check nothing, write nothing and need no shared file system.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.distributed_c10d import (
    _abort_process_group as abort_process_group,  # pyright: ignore[reportPrivateUsage]
)
from torch.distributed.rendezvous import rendezvous

from trainer.cli import console
from trainer.cli.launch import Launch
from trainer.cli.signals import Stopped
from trainer.config.fields import Config
from trainer.config.saved import read_saved, to_object
from trainer.options import plugins
from trainer.storage import checkpoint, files
from trainer.training.peers import DOWNLOAD, PATIENCE, Dismissed, PeerEnded, Peers
from trainer.training.peers import is_lost_connection as is_lost
from trainer.training.session import run_session

Answer = Callable[[list[str], Peers], int]


def together(launch: Launch, arguments: list[str], answer: Answer) -> int:
    """Carries out a command by all processes; each returns the first one's exit code.

    Args:
        launch: Which of them this is.
        arguments: The command line.
        answer: Carries it out in the first process; it shares the run before it begins.
    """
    code = 1
    try:
        with joined(launch) as peers:
            if not peers.leads:
                return _follow(peers)
            code = answer(_restarted(arguments, peers), peers)
            return peers.from_first(code)
    except PeerEnded as error:
        if not launch.leads:
            _say(launch, error)
        return code or 1


def share(
    config: Config,
    folder: Path,
    resumed: checkpoint.Checkpoint | None,
    parent: checkpoint.Checkpoint | None,
    peers: Peers,
) -> None:
    """The first process says what all are to train, and where a restart finds it."""
    if peers.memory is not None:
        peers.memory.set("folder", str(folder))
        source = resumed or parent
        content = None if source is None else files.read_sealed(source.path)
        peers.from_first((config.to_dict(), str(folder), content, parent is not None))


def _follow(peers: Peers) -> int:
    """Does its part of what the first process shares, without writing or saying anything."""
    shared = peers.from_first(None)
    if isinstance(shared, int):  # nothing to train: a mistake, or a page of help
        return shared
    values, folder, content, forks = shared
    place = Path(folder)
    try:
        plugins.load(values["plugins"])  # the first process's own
        config = to_object(read_saved(values, place))
        state = None if content is None else checkpoint.parse(content, place)
        source = None if state is None else checkpoint.Checkpoint(place, state)
        resumed, parent = (None, source) if forks else (source, None)
        run_session(config, place, resumed, [], peers, parent)
    except (Stopped, FloatingPointError, Dismissed):
        pass  # all processes come to that, and the first one says so
    except (ValueError, OSError, MemoryError) as error:
        if isinstance(error, PeerEnded):
            raise
        _say(peers.launch, error)
        return 1
    return peers.from_first(None)


def _say(launch: Launch, error: Exception) -> None:
    line = f"trainer: error: process {launch.rank}: {console.one_line(error)}"
    console.say(line, sys.stderr)


def _restarted(arguments: list[str], peers: Peers) -> list[str]:
    """The arguments; of a command that the launcher started again, to go on where it was."""
    memory = peers.memory
    if memory is None or not peers.launch.restarts or not memory.check(["folder"]):
        return arguments
    folder = memory.get("folder").decode()
    keys = ("hydra.run.dir=", "resume=")
    others = [a for a in arguments if not a.lstrip("+").startswith(keys)]
    resumed = [a for a in arguments if a.startswith("resume=")]
    if any(a not in ("resume=auto", "resume=null") for a in resumed):
        return [*others, f"resume={folder}"]
    return [*others, f"hydra.run.dir={folder}", "resume=auto"]


@contextlib.contextmanager
def joined(launch: Launch) -> Generator[Peers]:
    """Connects all processes.

    Args:
        launch: Which of them this is.

    Raises:
        PeerEnded: If another one ended meanwhile.
    """
    rank, processes = launch.rank, launch.processes
    meeting: Any = rendezvous("env://", rank=rank, world_size=processes, timeout=PATIENCE)
    store, _, _ = next(meeting)
    on_cuda = torch.cuda.is_available()
    if on_cuda:  # sums of the same order each time
        os.environ.setdefault("NCCL_ALGO", "Ring")
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            # The launcher keeps it all when it starts the processes again: what concerned those
            # that have ended must not be read by these.
            store=PrefixStore(f"trainer/start/{launch.restarts}", store),
            rank=rank,
            world_size=processes,
            timeout=PATIENCE,
        )
        talk: Any = dist.new_group(backend="gloo", timeout=DOWNLOAD)
        yield Peers(launch, talk, PrefixStore("trainer/lasting", store))
    except RuntimeError as error:
        if is_lost(error):
            if on_cuda:  # NCCL's orderly end would wait for what is lost
                abort_process_group()
            raise PeerEnded("another process of the run has ended") from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
