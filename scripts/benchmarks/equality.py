"""Both sides compute the same: equal weights, equal images, equal steps; or nothing is timed.

Our epoch table says how the images of the first batches are cropped and mirrored. A peer gets them
cut (by the few lines below, not by our loader) and does everything else itself: loading,
normalising, forward, loss, backward, step. Two things are compared, in fp32: how all weights have
moved after the first few steps, and the loss of every step.

The movement is the sharp one: at the start the loss hardly changes, whatever is wrong. Rounding
makes a maximum or a ReLU here and there choose the other side, which moves weights apart by 0.1 to
0.3 % of their movement; one channel's deviation wrong by half a percent, 3 to 7 %; no weight decay,
20 to 60 %. Later rounding grows by itself (to 6e-5 in the loss after fifty steps).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.measure import Row
from benchmarks.ours import first_table
from benchmarks.recipe import Peer, Task
from benchmarks.setting import Setting
from trainer.data.epoch_table import EpochTable
from trainer.data.image_set import ImageSet

EARLY = 5  # steps after which the weights are compared
MOVEMENT_TOLERANCE = 0.01  # of the movement
LOSS_TOLERANCE = 2e-5  # a step: fifty may come 1e-3 apart

Weights = Sequence[torch.Tensor]


def check(setting: Setting, title: str, make: Callable[[Task], Peer]) -> Row:
    """Trains a peer and ours on the same batches in fp32.

    Raises:
        SystemExit: If they do not come to the same, or an epoch has fewer batches.
    """
    run, steps = setting.build("amp=none"), setting.equal_steps
    if run.steps_per_epoch < steps:
        raise SystemExit(f"bench: error: an epoch has only {run.steps_per_epoch} steps")
    task, table, early = Task.of(run), first_table(run), min(EARLY, steps)
    images = cut(run.data.train, table, steps * setting.batch_size, run.config.data.crop_padding)
    peer, border = make(task), early * setting.batch_size
    theirs, losses = peer.on(images.slice(0, border)), train(run, table, 0, early)
    movement = distance(task.weights, run.model, peer.model)
    if steps > early:
        theirs += peer.on(images.slice(border, len(images)))
        losses += train(run, table, early, steps)
    peer.close()
    return compare(title, losses, theirs, movement, early)


def train(run: Any, table: EpochTable, first: int, last: int) -> list[float]:
    """Our steps on the batches `first..last - 1`; the loss of each."""
    run.engine.begin(table)
    for step in range(first, last):
        run.engine.train_on(step)
    return run.sums.losses[first:last].tolist()


def distance(before: Weights, model: torch.nn.Module, other: torch.nn.Module) -> float:
    """How far two networks are apart, as a share of the way that the first has gone."""
    moved = apart = 0.0
    for start, ours, theirs in zip(before, model.parameters(), other.parameters(), strict=True):
        moved += float((ours.detach() - start).double().square().sum())
        apart += float((ours.detach() - theirs.detach()).double().square().sum())
    return (apart / moved) ** 0.5


def compare(
    title: str, losses: list[float], theirs: list[float], movement: float, early: int
) -> Row:
    """How far the two came apart.

    Raises:
        SystemExit: If it is more than rounding does.
    """
    allowed = len(losses) * LOSS_TOLERANCE
    gap = max(abs(a - b) for a, b in zip(losses, theirs, strict=True))
    text = (
        f"{len(losses)} fp32 steps of ours and of {title} on the same batches: losses differ by "
        f"{gap:.1e} (allowed {allowed:.1e}); after {early}, weights by {movement:.2%} of their "
        f"movement (allowed {MOVEMENT_TOLERANCE:.0%})"
    )
    if not (gap <= allowed and movement <= MOVEMENT_TOLERANCE):
        raise SystemExit(f"bench: error: not the same training: {text}: {losses}, {theirs}")
    print(f"equality: {text}")
    return {
        "steps": len(losses),
        "losses": losses,
        "their_losses": theirs,
        "loss_gap": gap,
        "loss_allowed": allowed,
        "movement_gap": movement,
        "movement_allowed": MOVEMENT_TOLERANCE,
    }


def cut(images: ImageSet, table: EpochTable, count: int, padding: int) -> ImageSet:
    """The first images of an epoch, cropped and mirrored, as uint8."""
    order, offsets, flips = table.order[:count], table.offsets[:count], table.flips[:count]
    padded = F.pad(images.images[order], (0, 0, padding, padding, padding, padding))
    crops = list[torch.Tensor]()
    for image, (top, left), flip in zip(padded, offsets.tolist(), flips.tolist(), strict=True):
        crop = image[top : top + 32, left : left + 32]
        crops.append(crop.flip(1) if flip else crop)
    return ImageSet(torch.stack(crops), images.labels[order], images.classes)
