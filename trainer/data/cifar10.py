"""CIFAR-10 as tensors, parsed from verified bytes by an unpickler that can build nothing else."""

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from trainer.data.cifar10_files import SHA256, read_files
from trainer.data.image_set import ImageSet

SIDE = 32
PIXELS = 3 * SIDE * SIDE
CLASSES = 10
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


def load(source: Path, expected: Mapping[str, str] = SHA256) -> tuple[ImageSet, ImageSet, str]:
    """Reads training and test set.

    Args:
        source: The extracted folder or the archive.
        expected: SHA-256 of each file; the five training batches must be equally long.

    Returns:
        Training set, test set and the data set's SHA-256: that over the lines "name hash" of its
        files in alphabetic order, which comes out the same for folder and archive.

    Raises:
        ValueError: One line: a file is damaged, or not what it should be.
    """
    train: ImageSet | None = None
    test: ImageSet | None = None
    classes: tuple[str, ...] = ()
    for name, content in read_files(source, expected):
        path = f"{source / name}"
        if name == "batches.meta":
            classes = _classes(_unpickle(content, path), path)
            continue
        batch = _Batch.parse(_unpickle(content, path), path)
        count = len(batch.labels)
        if name not in TRAIN:
            test = _empty(count)
            batch.copy_into(test, 0)
        else:
            # One tensor for all batches, allocated when the first shows how long they are:
            # joining five tensors would hold all images twice.
            train = train or _empty(count * len(TRAIN))
            if count * len(TRAIN) != len(train):
                others = len(train) // len(TRAIN)
                raise ValueError(f"{path}: {count} images, other batches {others}")
            batch.copy_into(train, TRAIN.index(name) * count)
        del content, batch  # or they would stay in memory while the next file is read
    if train is None or test is None:
        raise ValueError(f"{source}: no training or no test images")
    lines = "".join(f"{name} {expected[name]}\n" for name in sorted(expected))
    return (
        ImageSet(train.images, train.labels, classes),
        ImageSet(test.images, test.labels, classes),
        hashlib.sha256(lines.encode()).hexdigest(),
    )


def _empty(count: int) -> ImageSet:
    images = torch.empty((count, SIDE, SIDE, 3), dtype=torch.uint8)
    return ImageSet(images, torch.empty(count, dtype=torch.int64), ())


def _classes(values: Mapping[str, object], path: str) -> tuple[str, ...]:
    names = values.get("label_names")
    if not isinstance(names, list) or len(cast(list[object], names)) != CLASSES:
        raise ValueError(f"{path}: label_names is not a list of {CLASSES} names")
    return tuple(str(name) for name in cast(list[object], names))


@dataclass(frozen=True, slots=True)
class _Batch:
    """One batch file's content, checked: planes of red, green and blue, row by row."""

    planes: torch.Tensor
    labels: list[int]

    @staticmethod
    def parse(values: Mapping[str, object], path: str) -> "_Batch":
        data, labels = values.get("data"), values.get("labels")
        if not isinstance(data, _Array) or len(data.shape) != 2 or data.shape[1] != PIXELS:
            raise ValueError(f"{path}: data is not an array of shape (n, {PIXELS})")
        if not data.shape[0] or len(data.content) != data.shape[0] * PIXELS:
            raise ValueError(f"{path}: {len(data.content)} bytes do not fill shape {data.shape}")
        if not isinstance(labels, list) or len(cast(list[object], labels)) != data.shape[0]:
            raise ValueError(f"{path}: labels is not a list of {data.shape[0]} numbers")
        numbers: list[int] = []
        for label in cast(list[object], labels):
            if type(label) is not int or not 0 <= label < CLASSES:
                raise ValueError(f"{path}: label {label!r:.40} is not in 0..{CLASSES - 1}")
            numbers.append(label)
        planes = torch.frombuffer(data.content, dtype=torch.uint8).view(-1, 3, SIDE, SIDE)
        return _Batch(planes, numbers)

    def copy_into(self, target: ImageSet, start: int) -> None:
        stop = start + len(self.labels)
        target.images[start:stop].copy_(self.planes.permute(0, 2, 3, 1))
        target.labels[start:stop] = torch.tensor(self.labels)


class _Type:
    """Stands in for `numpy.dtype`, and admits bytes only: no objects, no structures."""

    def __init__(self, code: str, *_: object) -> None:
        if code != "u1":
            raise pickle.UnpicklingError(f"arrays of type {code!r:.40} are not admitted")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: a byte has neither."""


class _ArrayType:
    """Stands in for `numpy.ndarray`, which the files only mention."""

    def __init__(self, *_: object) -> None:
        raise pickle.UnpicklingError("arrays are made by _reconstruct only")


class _Array:
    """Stands in for `numpy.core.multiarray._reconstruct` and for the array that it makes.

    numpy's own functions would accept every array a pickle can describe, and warn about how
    these files, written in numpy's early days, call them.
    """

    # On the class: a pickle can also make an object without calling __init__.
    shape: tuple[int, ...] = ()
    content: bytes | bytearray = b""

    def __init__(self, kind: object, *_: object) -> None:
        if kind is not _ArrayType:
            raise pickle.UnpicklingError("only plain arrays are admitted")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Type) or by_columns or any(type(n) is not int for n in shape):
            raise pickle.UnpicklingError("only arrays of bytes in row order are admitted")
        self.shape = shape
        # Bytes pickled by Python 2 arrive as a latin-1 string. A bytearray, because torch warns
        # about memory that it must not write to.
        self.content = bytearray(content.encode("latin1") if isinstance(content, str) else content)


_ADMITTED: Mapping[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Type,
}


class _Unpickler(pickle.Unpickler):
    """Knows the names in `_ADMITTED`, imports nothing and so runs nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> type:
        admitted = _ADMITTED.get((module_name, global_name))
        if admitted is None:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not admitted")
        return admitted


def _unpickle(content: bytes, path: str) -> Mapping[str, object]:
    """The dictionary in a pickle, whose bytes the caller has verified."""
    try:
        values: Any = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:  # what a pickle stream can make the unpickler raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not a CIFAR-10 batch: {reason}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a CIFAR-10 batch: it holds no dictionary")
    return cast(dict[str, object], values)
