"""What every peer trains: the task, the network as a tutorial writes it, PIL images."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.setting import SGD
from trainer.data.device_loader import MEAN, STD
from trainer.data.image_set import ImageSet


@dataclass(frozen=True, slots=True)
class Task:
    """What a peer is given.

    Attributes:
        device: Where to train.
        train: The images.
        batch_size: Images in a step.
        weights: To begin with, in the order of the network's layers.
        mean: Of each channel, for the normalisation.
        std: Likewise.
    """

    device: torch.device
    train: ImageSet
    batch_size: int
    weights: tuple[torch.Tensor, ...]
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    @staticmethod
    def of(run: Any) -> "Task":
        """The task of a run (`trainer.run.Run`), from its weights as they are now."""
        weights = tuple(weight.detach().clone() for weight in run.model.state_dict().values())
        return Task(run.device, run.data.train, run.config.batch_size, weights)


class Peer(ABC):
    """A trainer that somebody else wrote, or would write; its `step` and its loader are its own.

    Args:
        task: What to train.
        workers: Of its DataLoader.
        fast: In bf16 and channels_last.
        fused: With torch's fused optimizer, or as it comes.
    """

    def __init__(self, task: Task, *, workers: int, fast: bool, fused: bool = True) -> None:
        self.task, self.fast, self.workers = task, fast, workers
        self.format = torch.channels_last if fast else torch.contiguous_format
        self.model: Any = tutorial_vgg(task, self.format)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer: Any = torch.optim.SGD(
            self.model.parameters(), **({"fused": True} if fused else {}), **SGD
        )
        self.scheduler: Any = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.correct: Any = torch.zeros((), dtype=torch.int64, device=task.device)
        self.loader: Any = None
        self.batches = self.endless()

    @abstractmethod
    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | float:
        """One step; returns the loss."""

    def plain(self, images: ImageSet) -> Any:
        """Batches of images as they are: in order, not augmented."""
        return pil_loader(self.task, images, workers=0, augment=False)

    def endless(self) -> Iterator[Any]:
        """Batches of one epoch after the other."""
        while True:
            yield from self.loader

    def advance(self, steps: int) -> float:
        """Some steps on augmented images; returns their mean loss."""
        return float(sum(self.step(*next(self.batches)) for _ in range(steps))) / steps

    def on(self, images: ImageSet) -> list[float]:
        """One epoch of images as they are; returns each batch's loss."""
        return [float(self.step(*batch)) for batch in self.plain(images)]

    def close(self) -> None:
        """Ends its workers."""
        self.batches, self.loader = iter(()), None


def tutorial_vgg(task: Task, memory_format: torch.memory_format) -> nn.Module:
    """The network as a tutorial writes it (convolution, ReLU, pool), with the task's weights."""
    layers, before = list[nn.Module](), 3
    for after in (32, 0, 64, 64, 0, 128, 128, 128, 0):
        if after:
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.ReLU()]
        else:
            layers.append(nn.MaxPool2d(2))
        before = after or before
    classes = len(task.train.classes)
    head = [nn.Linear(2048, 128, bias=False), nn.ReLU(), nn.Linear(128, classes, bias=False)]
    model = nn.Sequential(*layers, nn.Flatten(), *head)
    model.load_state_dict(dict(zip(model.state_dict(), task.weights, strict=True)))
    return model.to(device=task.device, memory_format=memory_format)


class PilImages(Dataset[tuple[Any, int]]):
    """As torchvision.datasets.CIFAR10: an array in memory; per item a PIL image, transformed.

    Args:
        images: The images.
        transform: Of a PIL image.
    """

    def __init__(self, images: ImageSet, transform: Any) -> None:
        self.data, self.targets = images.images.numpy(), images.labels.tolist()
        self.transform = transform

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """One transformed image and its label."""
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)


def augmentation() -> list[Any]:
    """Random crop and flip as tutorials write them."""
    return [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]


def pil_loader(
    task: Task, images: ImageSet, *, workers: int, augment: bool
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """The loader that people write; without augmentation also in order."""
    steps = augmentation() if augment else []
    normalize = transforms.Normalize(task.mean, task.std)
    return DataLoader(
        PilImages(images, transforms.Compose([*steps, transforms.ToTensor(), normalize])),
        batch_size=task.batch_size,
        shuffle=augment,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=task.device.type == "cuda",
    )
