"""CIFAR-10 as tensors, out of its verified files."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from trainer.data import cifar10_files
from trainer.data.epoch_table import SIZE
from trainer.data.image_set import ImageSet

TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def load(source: Path) -> tuple[ImageSet, ImageSet, str]:
    """Reads training and test set.

    Args:
        source: The extracted folder or the archive.

    Returns:
        Training set, test set and the data set's SHA-256: that over the lines "name hash" of its
        files in alphabetic order, which comes out the same for folder and archive.

    Raises:
        ValueError: One line: a file is not the published one.
    """
    images: dict[str, torch.Tensor] = {}
    labels: dict[str, torch.Tensor] = {}
    classes: tuple[str, ...] = ()
    for name, content in cifar10_files.read_files(source):
        values = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if name == "batches.meta":
            classes = tuple(values["label_names"])
        else:
            images[name] = _images(values["data"])
            labels[name] = torch.tensor(values["labels"])

    def joined(names: list[str]) -> ImageSet:
        parts = [images.pop(name) for name in names]
        return ImageSet(torch.cat(parts), torch.cat([labels[name] for name in names]), classes)

    lines = "".join(f"{name} {found}\n" for name, found in sorted(cifar10_files.SHA256.items()))
    return joined(TRAIN), joined(["test_batch"]), hashlib.sha256(lines.encode()).hexdigest()


class _Array:
    """Stands in for numpy's arrays and their types, and keeps the bytes: a state's last entry.

    numpy's own functions warn about how these files, written in its early days, call them.
    """

    content: str | bytes = b""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.content = state[-1]


class _Unpickler(pickle.Unpickler):
    """Makes arrays of bytes, imports nothing and so runs nothing, whatever a pickle asks for."""

    def find_class(self, module_name: str, global_name: str, /) -> type:
        if module_name.partition(".")[0] == "numpy":
            return _Array
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not admitted")


def _images(array: _Array) -> torch.Tensor:
    """`(n, 32, 32, 3)` of a batch's planes of red, green and blue, each row by row."""
    content = array.content
    # Bytes pickled by Python 2 arrive as a latin-1 string. A bytearray, because torch warns about
    # memory that it must not write to.
    buffer = bytearray(content.encode("latin1") if isinstance(content, str) else content)
    planes = torch.frombuffer(buffer, dtype=torch.uint8).view(-1, 3, SIZE, SIZE)
    return planes.permute(0, 2, 3, 1)
