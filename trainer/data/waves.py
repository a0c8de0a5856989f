"""Images told by where their waves run: a small network learns them, a linear model cannot.

An image shows waves of random period, direction, phase and colour in the places of its class, on a
grey of random tint, with noise. So an image and its negative are equally likely, and as a linear
model cannot give both the same answer, it is right for half of the images at most. Every class is
its own mirror image and stays recognisable after a shift of four pixels, because training flips and
crops the images.
"""

import torch
from torch import Tensor

CELL = 8  # pixels; an image is 4 x 4 cells
# Few cells each: what all classes have in common is what slows a network down.
PLACES = {
    "top": ("####", "....", "....", "...."),
    "upper": ("....", "####", "....", "...."),
    "lower": ("....", "....", "####", "...."),
    "bottom": ("....", "....", "....", "####"),
    "corners": ("#..#", "....", "....", "#..#"),
    "poles": (".##.", "....", "....", ".##."),
    "ears": ("....", "#..#", "#..#", "...."),
    "core": ("....", ".##.", ".##.", "...."),
    "vee": ("#..#", "....", "....", ".##."),
    "tent": (".##.", "....", "....", "#..#"),
}
NOISE = 0.05


def draw(labels: Tensor, random: torch.Generator) -> Tensor:
    """One image `(32, 32, 3)` uint8 per label, in the order of `PLACES`."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((len(labels), *shape), generator=random) * (high - low) + low

    def coin(*shape: int) -> Tensor:
        return uniform(-1, 1, *shape).sign()

    places = _places()[labels][:, None]
    side = places.shape[-1]
    at = torch.arange(side) / uniform(4, 8, 2, 1) * coin(2, 1)  # in periods, across and down
    wave = _wave(at[:, :1] + at[:, 1:].transpose(1, 2) + uniform(0, 1, 1, 1))[:, None]
    colour = uniform(-1, 1, 3, 1, 1)
    colour = colour / colour.abs().amax(1, keepdim=True) * uniform(0.4, 0.5, 1, 1, 1)
    grey = 0.5 + uniform(-0.03, 0.03, 3, 1, 1)
    image = grey + colour * wave * places + uniform(-NOISE, NOISE, 3, side, side)
    return image.mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _places() -> Tensor:
    """Where each class's waves run, `(10, 32, 32)` float32, 1 or 0."""
    cells = [[[cell == "#" for cell in row] for row in rows] for rows in PLACES.values()]
    return torch.tensor(cells).repeat_interleave(CELL, 1).repeat_interleave(CELL, 2).float()


def _wave(x: Tensor) -> Tensor:
    """A wave of period 1 in [-1, 1], with straight flanks and flat tops.

    Free of sines, whose last bit differs from one processor to the next.
    """
    return (((x - x.floor()) - 0.5).abs() * 8 - 2).clamp(-1, 1)
