"""The random generators of a run: one state per process."""

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import torch

from trainer.training.peers import Peers


def seed_apart(seed: int, peers: Peers) -> None:
    """Gives each process but the first random numbers of its own.

    Called once the weights are drawn, which are the same in all.
    """
    if not peers.leads:
        text = f"process {peers.rank}: seed {seed}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


def random_state(device: torch.device, peers: Peers) -> dict[str, Any]:
    """The first process's state, and under `others` those of the rest, by rank."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if peers.count > 1:
        state["others"] = peers.gather(dict(state))[1:]
    return state


def load_random_state(state: Mapping[str, Any], device: torch.device, peers: Peers) -> None:
    """Takes this process's part of a saved state; a process that it does not know keeps its own."""
    others = state.get("others", [])
    if not peers.leads and peers.rank > len(others):
        return
    own = state if peers.leads else others[peers.rank - 1]
    torch.set_rng_state(own["torch"])
    version, values, gauss = own["python"]
    random.setstate((version, tuple(values), gauss))
    if device.type == "cuda" and "cuda" in own:  # a run that began on a CPU has none
        torch.cuda.set_rng_state(own["cuda"], device)
