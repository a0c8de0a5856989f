"""Images told by the shape that they show: hard to learn in a few epochs.

An image shows one shape (its class) of random place, size, tilt, colour and contrast on a colour
gradient, with two small distracting blobs and noise. Every class is its own mirror image and stays
recognisable after a shift of four pixels, because training flips and crops the images.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SIDE = 32
NOISE = 0.1

# Red, green and blue of the colour each class leans towards.
LEAN = (
    (0.8, 0.2, 0.2),
    (0.2, 0.8, 0.2),
    (0.2, 0.2, 0.8),
    (0.6, 0.6, 0.1),
    (0.6, 0.1, 0.6),
    (0.1, 0.6, 0.6),
    (0.8, 0.5, 0.2),
    (0.2, 0.8, 0.5),
    (0.5, 0.2, 0.8),
    (0.5, 0.5, 0.5),
)

# Each shape maps coordinates in units of its own size to a distance: negative inside.
Shape = Callable[[Tensor, Tensor], Tensor]


def draw(labels: Tensor, random: torch.Generator) -> Tensor:
    """One image `(32, 32, 3)` uint8 per label, in the order of `SHAPES`."""
    count = len(labels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=random) * (high - low) + low

    centre, size = uniform(10.5, 20.5, 2), uniform(5.5, 9.5)
    mask = _masks(labels, centre, size, uniform(-0.25, 0.25))
    behind = uniform(0.25, 0.45, 3, 1, 1)
    slope_x, slope_y = uniform(-0.012, 0.012, 3, 1, 1), uniform(-0.012, 0.012, 3, 1, 1)
    along = torch.arange(SIDE) - (SIDE - 1) / 2
    image = behind + slope_x * along + slope_y * along[:, None]
    for _ in range(2):
        blob = _blobs(uniform(1.0, 31.0, 2), uniform(1.5, 3.0))
        image += blob[:, None] * uniform(-0.4, 0.4, 3, 1, 1)
    image += mask[:, None] * (_colours(labels, uniform) - (image - behind))
    # Sum of two uniform numbers: near enough to a bell curve, and free of the logarithms and
    # cosines whose last bit differs from one processor to the next.
    image += (uniform(-0.5, 0.5, 3, SIDE, SIDE) + uniform(-0.5, 0.5, 3, SIDE, SIDE)) * NOISE
    return image.mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _colours(labels: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """What the shape adds to the background, per channel.

    The colour leans towards one of the class's own, which a network finds first and which, on its
    own, does not tell the classes apart; some shapes are plain, others hardly rise from the noise.
    """
    lean = torch.tensor(LEAN)[labels].view(-1, 3, 1, 1)
    return uniform(0.2, 0.7, 1, 1, 1) * (lean + uniform(-0.6, 0.6, 3, 1, 1))


def _masks(labels: Tensor, centre: Tensor, size: Tensor, tilt: Tensor) -> Tensor:
    """How much of each pixel the shape of each image's class covers, `(N, 32, 32)`."""
    at = torch.arange(SIDE, dtype=torch.float32)
    across = (at - centre[:, :1]).view(-1, 1, SIDE)
    down = (at - centre[:, 1:]).view(-1, SIDE, 1)
    tilt, size = tilt.view(-1, 1, 1), size.view(-1, 1, 1)
    x, y = (across + tilt * down) / size, (down - tilt * across) / size
    mask = torch.empty_like(x)
    for label, shape in enumerate(SHAPES.values()):
        rows = (labels == label).nonzero().flatten()
        mask[rows] = (0.5 - shape(x[rows], y[rows]) * size[rows]).clamp_(0, 1)
    return mask


def _blobs(centre: Tensor, radius: Tensor) -> Tensor:
    """How much of each pixel a small disc covers, `(N, 32, 32)`."""
    at = torch.arange(SIDE, dtype=torch.float32)
    across, down = (at - centre[:, :1])[:, None, :], (at - centre[:, 1:])[:, :, None]
    return (0.5 + radius.view(-1, 1, 1) - (across**2 + down**2).sqrt()).clamp_(0, 1)


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt() - 1


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return ((x * x + y * y).sqrt() - 0.8).abs() - 0.2


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.9


def _frame(x: Tensor, y: Tensor) -> Tensor:
    return (torch.maximum(x.abs(), y.abs()) - 0.75).abs() - 0.18


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(0.87 * x.abs() - 0.5 * y, y) - 0.55


def _plus(x: Tensor, y: Tensor) -> Tensor:
    long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    return torch.maximum(long - 1, short - 0.27)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return _plus(0.7071 * (x + y), 0.7071 * (x - y))


def _wave(x: Tensor) -> Tensor:
    """Stripes 0.4 wide, as a distance to their edges; the same on both sides of 0."""
    return ((x / 0.8) - (x / 0.8).round()).abs() * 0.8 - 0.2


def _bars(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(_disc(x, y), _wave(y))


def _posts(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(_disc(x, y), _wave(x))


def _checks(x: Tensor, y: Tensor) -> Tensor:
    across, down = _wave(x), _wave(y)
    either = torch.maximum(torch.minimum(across, down), -torch.maximum(across, down))
    return torch.maximum(_disc(x, y), either)


SHAPES: dict[str, Shape] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "plus": _plus,
    "cross": _cross,
    "bars": _bars,
    "posts": _posts,
    "checks": _checks,
}
