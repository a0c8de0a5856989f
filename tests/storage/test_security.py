"""What comes from files never runs code, and nothing goes over the network."""

import io
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import TINY, answer, train
from standard_runs import StandardRuns

from trainer.storage import checkpoint, files

ESCAPED = 77


def _no_network() -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        asks = event in ("socket.getaddrinfo", "socket.gethostbyname")
        if asks or (event == "socket.connect" and not isinstance(arguments[1], str | bytes)):
            os._exit(ESCAPED)

    sys.addaudithook(hook)


def _no_network_and_tries() -> None:
    _no_network()
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_a_run_talks_to_nobody(tmp_path: Path) -> None:
    loader = ["data.loader=torchvision", "data.workers=1"]
    train([*TINY, *loader, "epochs=1", "hydra.run.dir=run"], tmp_path, prepare=_no_network)
    train(["--version"], tmp_path, prepare=_no_network_and_tries, expect=ESCAPED)  # the hook works


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model", {"_target_": "os.mkdir", "path": "marker"}, "model"),
        ("init", {"_target_": "os.mkdir", "path": "marker"}, "init"),
        ("scheduler.after", {"_target_": "os.mkdir", "path": "marker"}, "after"),
        ("scheduler.after._target_", "os.mkdir", "_target_"),
        ("name", "${oc.env:HOME}", "is an interpolation"),
        ("data.root", "${oc.create:{_target_:os.mkdir}}", "is an interpolation"),
        ("scheduler.name", "formula", "Formula"),
        ("optimizer.lr", "__import__('os').mkdir('marker')", "lr"),
        ("seed", ["mkdir", "marker"], "seed"),
        ("scheduler.formula", "__import__('os').mkdir('marker')", "scheduler.formula="),
    ],
)
def test_a_malicious_saved_configuration_is_refused(
    key: str, value: object, said: str, standard: StandardRuns, tmp_path: Path
) -> None:
    """It was tampered with, and its checksum put right."""
    formula = ("scheduler=formula",) if key == "scheduler.formula" else ()
    path = checkpoint.find(standard.copy(tmp_path / "run", *formula)).path
    state = checkpoint.load(path)
    node: dict[str, Any] = state["config"]
    *outer, last = key.split(".")
    for part in outer:
        node = node[part]
    node[last] = value
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write(path, files.sealed(buffer.getvalue()))
    refused = answer([f"resume={path}"], tmp_path, expect=2)
    assert refused.err.count("\n") == 1, refused.err
    assert said in refused.err
    assert not (tmp_path / "marker").exists()
