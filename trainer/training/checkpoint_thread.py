"""Checkpoints behind the training's back: the state is copied at once, a thread writes it."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(slots=True)
class Pending:
    """A checkpoint under way.

    Attributes:
        future: Ends when it is durable.
        published: Called then, in the main thread.
    """

    future: Future[None]
    published: Callable[[], None]


class CheckpointThread:
    """Writes one state at a time; nothing is shown before it is durable.

    Args:
        device: Where the state's tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._pool = ThreadPoolExecutor(1, "commit")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pending: Pending | None = None

    def begin(
        self,
        state: Mapping[str, Any],
        write: Callable[[dict[str, Any]], object],
        published: Callable[[], None],
    ) -> None:
        """Takes a copy of the state and has it written; waits for the checkpoint before this one.

        Args:
            state: May change from the return on.
            write: Writes the copy, in a thread.
            published: Called in the main thread once the copy is durable.

        Raises:
            OSError: If the checkpoint before this one could not be written.
        """
        self.wait()
        copy, copied = self._copy(state)

        def work() -> None:
            if copied is not None:
                copied.synchronize()
            write(copy)

        self._pending = Pending(self._pool.submit(work), published)

    def poll(self) -> None:
        """Publishes a checkpoint that has become durable.

        Raises:
            OSError: If it could not be written.
        """
        if self._pending is not None and self._pending.future.done():
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is under way.

        Raises:
            OSError: If the checkpoint under way could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.future.result()
            pending.published()

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown()

    def _copy(self, state: Mapping[str, Any]) -> tuple[dict[str, Any], torch.cuda.Event | None]:
        """The state on the host, and what says that the device has sent it all."""
        if self._stream is None:
            return _copied(state, torch.Tensor.clone), None
        # Copied on the device first, so that the next step need not wait for the bus.
        staged, stream = _copied(state, torch.Tensor.clone), self._stream
        stream.wait_stream(torch.cuda.current_stream(stream.device))

        def fetch(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.device.type == "cpu":
                return tensor
            tensor.record_stream(stream)  # its memory is taken until the copy is through
            host = torch.empty_like(tensor, device="cpu", pin_memory=True)
            return host.copy_(tensor, non_blocking=True)

        with torch.cuda.stream(stream):
            copy = _copied(staged, fetch)
            done = torch.cuda.Event()
            done.record(stream)
        return copy, done


def _copied(value: Any, of_tensor: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same containers anew; other values are immutable."""
    if isinstance(value, torch.Tensor):
        return of_tensor(value)
    if isinstance(value, Mapping):
        return {key: _copied(inner, of_tensor) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner, of_tensor) for inner in value]
    return tuple(_copied(i, of_tensor) for i in value) if isinstance(value, tuple) else value
