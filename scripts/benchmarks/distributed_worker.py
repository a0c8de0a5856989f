"""One process of the suite `distributed`; the first one writes down what it timed."""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from trainer.cli.launch import Launch
from trainer.config.overrides import compose_run
from trainer.training.peers import ALONE, Peers
from trainer.training.preparation import prepare
from trainer.training.processes import joined


def main() -> None:
    """Times blocks in turn."""
    task = json.loads(Path(sys.argv[1]).read_text())
    launch = Launch.from_environment()
    config = compose_run(task["arguments"]).config
    with contextlib.ExitStack() as stack:
        peers = ALONE
        if launch.processes > 1:
            peers = stack.enter_context(joined(launch))
        times = timed(config, task, peers)
        if peers.leads:
            Path(task["out"]).write_text(json.dumps(times))


def timed(config: Any, task: dict[str, Any], peers: Peers) -> dict[str, list[float]]:
    """Seconds per step of each kind, and from the launch to the first step."""
    run = prepare(config, None, peers)
    run.engine.begin(run.table(0))
    run.engine.train_on(0)
    settle(peers)
    times: dict[str, list[float]] = {"start": [time.time() - task["start"]]}
    gradients = torch.zeros(sum(p.numel() for p in run.model.parameters()), device=run.device)
    parallel = run.update.parallel

    def alone(step: int) -> None:
        run.update.parallel = None
        run.engine.train_on(step)
        run.update.parallel = parallel

    def exchange(step: int) -> None:
        del step
        peers.sum(gradients)

    kinds = {"update": run.engine.train_on, "without exchange": alone, "bare exchange": exchange}
    for kind, act in [*kinds.items(), *reversed(kinds.items())]:
        act(1)
        settle(peers)
        start = time.perf_counter()
        for step in range(task["steps"]):
            act(step)
        settle(peers)
        times.setdefault(kind, []).append((time.perf_counter() - start) / task["steps"])
    return times


def settle(peers: Peers) -> None:
    """Waits for the device, and for the other processes."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    peers.largest(0)


if __name__ == "__main__":
    main()
