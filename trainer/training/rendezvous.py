"""Where the processes of a command leave each other messages, and meet for each run."""

import contextlib
import json
import os
import time
from collections.abc import Generator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.distributed_c10d import (
    _abort_process_group as abort_process_group,  # pyright: ignore[reportPrivateUsage]
)
from torch.distributed.rendezvous import rendezvous

from trainer.cli.launch import Launch
from trainer.training.peers import PATIENCE, PeerEnded, Peers, is_lost_connection

POLL_SECONDS = 0.05
GOODBYE_SECONDS = 5.0


class Rendezvous:
    """Where the processes leave each other messages before and between runs.

    Args:
        launch: Which of them this is.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        shared, _, _ = next(
            rendezvous("env://", rank=launch.rank, world_size=launch.processes, timeout=PATIENCE)
        )
        # The launcher keeps it all when it starts the processes again: what concerned those that
        # have ended must not be read by these.
        self.store = PrefixStore(f"trainer/start/{launch.restarts}", shared)
        self.lasting = PrefixStore("trainer/lasting", shared)

    def post(self, number: int, plan: dict[str, Any]) -> None:
        """Tells the others what comes next."""
        self.store.set(f"plan/{number}", json.dumps(plan))

    def read(self, number: int) -> dict[str, Any]:
        """Waits for what comes next, however long; a signal still ends this process.

        Raises:
            PeerEnded: If the launcher has gone.
        """
        try:
            while not self.store.check([f"plan/{number}"]):
                time.sleep(POLL_SECONDS)
            return json.loads(self.store.get(f"plan/{number}"))
        except RuntimeError as error:  # a DistError, or what its socket says
            raise PeerEnded("the first process has ended") from error

    def say_goodbye(self) -> None:
        """Leaves together: the messages go with the first process where no launcher keeps them."""
        everyone = [f"goodbye/{rank}" for rank in range(self.launch.processes)]
        end = time.monotonic() + GOODBYE_SECONDS
        with contextlib.suppress(RuntimeError):
            self.store.set(f"goodbye/{self.launch.rank}", "")
            while self.launch.leads and not self.store.check(everyone) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)

    def remember(self, folder: str) -> None:
        """Notes the folder for a restart."""
        self.lasting.set("folder", folder)

    def remembered(self) -> str | None:
        """The folder that the processes worked in before they were started again."""
        return self.lasting.get("folder").decode() if self.lasting.check(["folder"]) else None

    @contextlib.contextmanager
    def joined(self, device: torch.device, number: int) -> Generator[Peers]:
        """Connects all processes for one run.

        Args:
            device: Where this one computes.
            number: Of the plan.

        Raises:
            PeerEnded: If another process ended meanwhile.
        """
        store = PrefixStore(f"run/{number}", self.store)
        on_cuda = device.type == "cuda"
        if on_cuda:  # sums of the same order each time
            os.environ.setdefault("NCCL_ALGO", "Ring")
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            store=store,
            rank=self.launch.rank,
            world_size=self.launch.processes,
            timeout=PATIENCE,
            device_id=device if on_cuda else None,
        )
        try:
            yield Peers(self.launch, PrefixStore("peers", store))
        except RuntimeError as error:
            if is_lost_connection(error):
                if on_cuda:  # NCCL's orderly end would wait for what is lost
                    abort_process_group()
                raise PeerEnded("another process of the run has ended") from error
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
