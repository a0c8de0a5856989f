"""What the processes of one run say to each other, on `torch.distributed`.

Each takes the same steps at the same time: what one of them decides alone (to stop, to save) it
must not do alone, or the others wait for it for ever.
"""

import inspect
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import Store
from torch.nn.parallel import DistributedDataParallel

from trainer.cli.launch import Launch

PATIENCE = timedelta(minutes=5)  # for a process that is alive and silent; a dead one is noticed
DOWNLOAD = timedelta(hours=3)  # the others wait for the one that reads arguments, fetches data


class PeerEnded(ConnectionError):
    """Another process of the run has ended, so this one cannot go on."""


class Dismissed(Exception):
    """A run cannot begin, and the first process says why."""


class Peers:
    """The processes that train one run together; alone, every question answers itself.

    Args:
        launch: Which of them this is.
        talk: The group in which they exchange objects; None: alone.
        memory: What outlives a restart by the launcher; None: alone.
    """

    def __init__(
        self,
        launch: Launch | None = None,
        talk: dist.ProcessGroup | None = None,
        memory: Store | None = None,
    ) -> None:
        self.launch = launch or Launch()
        self.count = self.launch.processes
        self.rank = self.launch.rank
        self.memory = memory
        self._talk = talk

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, the same bits in each; the device's queue waits, not we."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def largest(self, number: int) -> int:
        """The largest of what the processes say."""
        if self.count == 1:
            return number
        largest_so_far = torch.tensor(int(number))
        dist.all_reduce(largest_so_far, dist.ReduceOp.MAX)
        return int(largest_so_far)

    def begin_largest(self, number: int) -> tuple[torch.Tensor, dist.Work | None]:
        """Like `largest`, to be asked for later; `work.wait()` comes before reading the tensor."""
        largest_so_far = torch.tensor(int(number))
        return largest_so_far, dist.all_reduce(largest_so_far, dist.ReduceOp.MAX, async_op=True)

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in the order of their ranks."""
        if self.count == 1:
            return [value]
        everyone = [None] * self.count
        dist.all_gather_object(everyone, value, group=self._talk)
        return everyone

    def from_first(self, value: Any) -> Any:
        """What the first process has; the others' own does not matter."""
        if self.count == 1:
            return value
        message = [value]
        dist.broadcast_object_list(message, 0, group=self._talk)
        return message[0]

    def copy_buffers(self, model: nn.Module) -> None:
        """Gives every process the first one's buffers (running means of batch norm)."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def settle(self, error: Exception | None) -> None:
        """Goes on if every process can; else none does, and the first one says why.

        Args:
            error: Why this one cannot.

        Raises:
            Exception: In the first process: its own error.
            ValueError: In the first process: another's.
            Dismissed: In the others.
        """
        answers = self.gather("" if error is None else f"{type(error).__name__}: {error}")
        if not any(answers):
            return
        if not self.leads:
            raise Dismissed
        if error is not None:
            raise error
        raise ValueError(
            "; ".join(f"process {rank}: {text}" for rank, text in enumerate(answers) if text)
        )

    def wrap(self, model: nn.Module, images: torch.Tensor) -> DistributedDataParallel | None:
        """The model with its gradients averaged over the processes in each backward pass.

        After its first pass DDP sorts the gradients anew into buckets, and sums of three or more
        numbers depend on that order. A run that goes on would so differ from one that went through:
        a pass here, thrown away, makes every real one a later one.

        Args:
            model: The network; keeps weights, buffers and random state.
            images: An input of the shape it is trained on.
        """
        if self.count == 1:
            return None
        on_cuda = images.is_cuda
        # torch 2.10's name for it, and the newest's: buffers are copied where they are needed
        known = inspect.signature(DistributedDataParallel).parameters
        newest = "forward_sync_buffers" in known
        options: dict[str, Any] = {"forward_sync_buffers" if newest else "broadcast_buffers": False}
        parallel = DistributedDataParallel(
            model,
            device_ids=[images.device] if on_cuda else None,
            gradient_as_bucket_view=True,
            **options,
        )
        buffers = [buffer.clone() for buffer in model.buffers()]
        with torch.random.fork_rng([images.device] if on_cuda else []):
            parallel(images).float().sum().backward()
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        for parameter in model.parameters():
            parameter.grad = None
        return parallel


ALONE = Peers()


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether an error is a collective's that lost a process."""
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text
