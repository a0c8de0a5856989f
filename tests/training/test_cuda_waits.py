"""What must not make the host wait on CUDA, beside the step itself."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from trainer.cli.signals import StopRequest
from trainer.data import synthetic
from trainer.data.epoch_table import Augmentation
from trainer.data.torchvision_loader import TorchvisionLoader
from trainer.training.peers import PeerEnded
from trainer.training.stopping import StopVote


class Answer:
    """Of the others to a question; arrives when it is waited for."""

    def __init__(self, number: int | Exception, place: torch.Tensor) -> None:
        self.number, self.place = number, place

    def wait(self) -> None:
        if isinstance(self.number, Exception):
            raise self.number
        self.place.fill_(self.number)


class TwoPeers:
    """This process and one that answers as it is told."""

    count = 2

    def __init__(self, answers: Iterator[int | Exception]) -> None:
        self.answers, self.asked = answers, 0

    def begin_largest(self, number: int) -> tuple[torch.Tensor, Any]:
        self.asked += 1
        place = torch.tensor(number)
        return place, Answer(next(self.answers), place)


def vote(*answers: int | Exception) -> tuple[StopVote, TwoPeers]:
    peers: Any = TwoPeers(iter(answers))
    return StopVote(StopRequest(), peers, waits=False), peers


def test_the_others_are_asked_at_every_step_and_heard_two_later() -> None:
    stop_vote, peers = vote(0, 0, 15, 0, 0, 0)
    codes = [getattr(stop_vote.after_step(step, ends_epoch=False), "signal", None)
             for step in range(6)]  # fmt: skip
    assert codes == [None, None, None, None, 15, None]
    assert peers.asked == 6


def test_a_process_that_has_died_is_noticed_within_two_steps() -> None:
    """A GPU's queue takes about 1,000 launches, eight eager steps; then nothing is asked at all."""
    stop_vote, _ = vote(0, PeerEnded("gone"), PeerEnded("gone"), PeerEnded("gone"))
    for step in range(3):
        assert stop_vote.after_step(step, ends_epoch=False) is None
    with pytest.raises(PeerEnded):
        stop_vote.after_step(3, ends_epoch=False)


def test_mixup_by_torchvision_sends_nothing_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.make(0, 60, 10)[0]
    loader = TorchvisionLoader(images, torch.device("cpu"), batch_size=20, padding=4, workers=0)
    draw = Augmentation(padding=4, flip=True, mixup=1.0, batch_size=20)
    sent, to = list[bool](), torch.Tensor.to

    def noted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args == (loader.device,):
            sent.append(kwargs.get("non_blocking", False))
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    for epoch in range(2):
        table = draw.table(0, epoch, len(images))
        for step in range(3):
            targets: Any = loader.batch(table, step)[1]
            assert targets.weight == table.weights[step]
    assert len(sent) == 2 * (3 * 2 + 1), "of a batch the images and labels, of an epoch the weights"
    assert all(sent)
