"""What checkpoints hold, how two differ, and whether they are whole; in lines for a reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trainer.cli import console
from trainer.cli.words import count
from trainer.options.keys import flat
from trainer.storage import checkpoint, run_folder
from trainer.storage.comparison import differences, digest, entries

SHOWN = 12  # differences before "and n more"


def inspected(places: Sequence[Path], *, tensors: bool) -> list[str]:
    """What each of several checkpoints holds, in lines."""
    found = [inspect(place, tensors=tensors) for place in places]
    return [line for number, lines in enumerate(found) for line in (["", *lines][not number :])]


def inspect(place: Path, *, tensors: bool = False) -> list[str]:
    """What a checkpoint holds, in lines.

    Args:
        place: A checkpoint, or a run folder for its newest.
        tensors: List every tensor.

    Raises:
        DamagedFile: If it is damaged.
        FileNotFoundError: If there is none.
    """
    found = checkpoint.find(place)
    state = found.state
    table, progress, rows = entries(state), state["progress"], state["history"]["rows"]
    config, done = flat(state["config"]), state["progress"]["step_in_epoch"]
    held = {key: value for key, value in table.items() if isinstance(value, torch.Tensor)}
    names = ("model.name", "optimizer.name", "scheduler.name", "data.name", "data.sha256")
    lines = [
        f"{found.path}: whole, {found.path.stat().st_size:,} bytes",
        f"  content        sha256 {digest(table)}",
        f"  format         {state['format']}",
        f"  position       {progress['epoch']} of {config['epochs']} epochs"
        + (f" and {count(done, 'step')}" if done else "")
        + f", step {progress['step']}, {progress['seconds']:.1f} s",
        *(
            f"  {name:<14} {state['fingerprint'].get(name, config.get(name))}"
            for name in names
            if name in state["fingerprint"] or name in config
        ),
        f"  precision      {state['fingerprint']['precision']}",
        f"  environment    {', '.join(f'{k} {v}' for k, v in state['environment'].items())}",
        f"  lr             {', '.join(str(g['lr']) for g in state['optimizer']['param_groups'])}",
        f"  last row       {_row(rows[-1]) if rows else 'not evaluated yet'}",
        f"  tensors        {len(held)}, {sum(t.numel() for t in held.values()):,} values",
    ]
    if tensors:
        lines += [f"    {k}  {v.dtype} {tuple(v.shape)}" for k, v in held.items()]
    return lines


def _row(row: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4f}" for key, value in row.items() if "/" in key)


def diff(one: Path, other: Path) -> tuple[list[str], int]:
    """How two checkpoints differ, in lines, and the exit code: 0 for equal bit for bit.

    Raises:
        DamagedFile: If one is damaged.
        FileNotFoundError: If one is not there.
    """
    first, second = checkpoint.find(one), checkpoint.find(other)
    settings = differences(flat(first.state["config"]), flat(second.state["config"]))
    ours, theirs = entries(first.state), entries(second.state)
    results, known = differences(ours, theirs), {d.where for d in settings}
    content = [d for d in results if d.where.removeprefix("fingerprint/") not in known]
    lines = [f"{first.path}", f"{second.path}"]
    lines += _listed("settings", settings) + _listed("content", content)
    if not results:
        lines.append(f"equal bit for bit: sha256 {digest(ours)}")
    return lines, 1 if results else 0


def _listed(title: str, found: Sequence[Any]) -> list[str]:
    if not found:
        return []
    lines = [f"{title}: {len(found)} differ", *(f"  {d}" for d in found[:SHOWN])]
    return lines + ([f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def verify(places: Sequence[Path]) -> tuple[list[str], int]:
    """Whether each checkpoint is what was written, in lines, and the exit code."""
    lines: list[str] = []
    code = 0
    for place in places:
        files = _files(place)
        if not files:
            lines.append(f"{place}: there is no checkpoint")
            code = 1
        for file in files:
            try:
                state = checkpoint.load(file)
                lines.append(f"{file}: whole, step {state['progress']['step']}")
            except (ValueError, OSError) as error:
                lines.append(console.one_line(error))
                code = 1
    return lines, code


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return run_folder.all_checkpoints(run_folder.run_of(place / "any") or place)
