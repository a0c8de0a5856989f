"""CIFAR-10 files: found, verified before anything is read from them, and read right."""

import builtins
import hashlib
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from trainer.data import cifar10, cifar10_files
from trainer.data.cifar10_files import ARCHIVE, FOLDER, SHA256
from trainer.data.options import Cifar10

Publish = Callable[..., None]
COUNT = 20
URL = "https://127.0.0.1:1/nothing-answers-here"


def text(value: str) -> bytes:
    return b"U" + struct.pack("<B", len(value)) + value.encode()


def batch(data: bytes, labels: list[int]) -> bytes:
    """A batch as Python 2 and the numpy of its time pickled the real ones."""
    return b"".join(
        [
            b"\x80\x02}(" + text("labels") + b"](",
            *(b"J" + struct.pack("<i", label) for label in labels),
            b"e" + text("data") + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
            b"K\x00\x85" + text("b") + b"\x87R(K\x01",
            b"M" + struct.pack("<H", len(data) // 3072) + b"M" + struct.pack("<H", 3072) + b"\x86",
            b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R(K\x03" + text("|"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + struct.pack("<i", len(data)) + data + b"tbu.",
        ]
    )


def pixels(seed: int) -> bytes:
    return numpy.random.default_rng(seed).bytes(COUNT * 3072)


def labels(seed: int) -> list[int]:
    return [(seed + number) % 10 for number in range(COUNT)]


def contents() -> dict[str, bytes]:
    meta = {"label_names": [f"class {number}" for number in range(10)]}
    names = [name for name in SHA256 if name != "batches.meta"]
    files = {name: batch(pixels(seed), labels(seed)) for seed, name in enumerate(names)}
    return {"batches.meta": pickle.dumps(meta, protocol=2), **files}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Takes small files, and an archive's bytes, for those that were published."""

    def publish(files: dict[str, bytes], archive: bytes = b"") -> None:
        hashes = {name: sha256(content) for name, content in files.items()}
        monkeypatch.setattr(cifar10_files, "SHA256", hashes)
        monkeypatch.setattr(cifar10_files, "ARCHIVE_SHA256", sha256(archive))

    return publish


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / FOLDER
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / ARCHIVE, "w:gz") as tar:
        folder = tarfile.TarInfo(FOLDER)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        # Not in alphabetic order, and with a file that nobody reads, as in the real archive.
        for name in ["readme.html", *reversed(list(files))]:
            content = files.get(name, b"<html>")
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return root / ARCHIVE


def one_line(error: BaseException) -> str:
    message = str(error)
    assert message
    assert "\n" not in message
    return message


def tree(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*"))


@pytest.mark.skipif("CIFAR10_ROOT" not in os.environ, reason="CIFAR10_ROOT is not set")
def test_the_real_set_equals_what_torchvision_reads() -> None:
    from torchvision.datasets import CIFAR10

    root = os.environ["CIFAR10_ROOT"]
    train, test, digest = cifar10.load(cifar10_files.provide(root, download=False, url=URL))
    assert (len(train), len(test)) == (50_000, 10_000)
    assert train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    lines = "".join(f"{name} {SHA256[name]}\n" for name in sorted(SHA256))
    assert digest == hashlib.sha256(lines.encode()).hexdigest()
    total = torch.zeros(3, dtype=torch.int64)
    for images in train.images.split(5_000):
        total += images.sum((0, 1, 2), dtype=torch.int64)
    mean = (total / (255 * 50_000 * 1024)).tolist()
    assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    for ours, is_train in ((train, True), (test, False)):
        theirs = CIFAR10(root, train=is_train, download=False)
        assert torch.equal(ours.images, torch.from_numpy(theirs.data))
        assert ours.labels.tolist() == theirs.targets
        assert list(ours.classes) == theirs.classes
        assert ours.classes == Cifar10().classes()


def test_planes_become_rows_columns_and_channels_in_batch_order(
    tmp_path: Path, publish: Publish
) -> None:
    publish(files := contents())
    train, test, _ = cifar10.load(write_folder(tmp_path, files))
    assert train.images.dtype == torch.uint8
    assert train.images.is_contiguous()
    assert train.labels.dtype == torch.int64
    assert train.classes == test.classes == tuple(f"class {number}" for number in range(10))
    raw = numpy.frombuffer(b"".join(pixels(seed) for seed in range(5)), dtype=numpy.uint8)
    planar = raw.reshape(5 * COUNT, 3, 32, 32)
    assert numpy.array_equal(train.images.numpy(), planar.transpose(0, 2, 3, 1))
    assert train.labels.tolist() == [label for seed in range(5) for label in labels(seed)]
    assert test.images[3, 5, 7, 2].item() == pixels(5)[3 * 3072 + 2 * 1024 + 5 * 32 + 7]
    assert test.labels.tolist() == labels(5)


def test_folder_and_archive_give_the_same_tensors_and_hash(
    tmp_path: Path, publish: Publish
) -> None:
    files = contents()
    source = write_archive(tmp_path / "b", files)
    publish(files, source.read_bytes())
    folder = cifar10.load(write_folder(tmp_path / "a", files))
    before = tree(tmp_path)
    archive = cifar10.load(source)
    assert tree(tmp_path) == before
    for ours, theirs in zip(folder[:2], archive[:2], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.classes == theirs.classes
    assert folder[2] == archive[2]


def test_a_complete_folder_is_preferred_to_the_archive(tmp_path: Path) -> None:
    files = contents()
    archive = write_archive(tmp_path, files)
    assert cifar10_files.provide(tmp_path, download=False, url=URL) == archive
    folder = write_folder(tmp_path, files)
    assert cifar10_files.provide(str(tmp_path), download=False, url=URL) == folder


def test_missing_data_says_in_one_line_which_file_goes_where(tmp_path: Path) -> None:
    for download in (False, True):
        with pytest.raises(FileNotFoundError) as caught:
            cifar10_files.provide(tmp_path / "data", download=download, url=URL)
        message = one_line(caught.value)
        for part in (ARCHIVE, str(tmp_path / "data"), "data=synthetic"):
            assert part in message
        assert ("data.url=" if download else "data.root=") in message


def test_a_partial_folder_is_refused_with_the_missing_names(tmp_path: Path) -> None:
    files = contents()
    folder = write_folder(tmp_path, files)
    (folder / "data_batch_3").unlink()
    (folder / "test_batch").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        cifar10_files.provide(tmp_path, download=True, url=URL)
    message = one_line(caught.value)
    assert "lacks data_batch_3, test_batch:" in message
    assert "data=synthetic" in message
    archive = write_archive(tmp_path, files)
    assert cifar10_files.provide(tmp_path, download=False, url=URL) == archive


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer", "a web page"])
def test_a_file_of_the_folder_that_is_not_the_published_one_is_refused_and_left_alone(
    tmp_path: Path, publish: Publish, damage: str
) -> None:
    publish(files := contents())
    wrong = damaged(files["data_batch_2"])[damage]
    source = write_folder(tmp_path, {**files, "data_batch_2": wrong})
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="data_batch_2 is not the published file") as caught:
        cifar10.load(source)
    message = one_line(caught.value)
    for part in (
        str(source),
        sha256(files["data_batch_2"]),
        sha256(wrong),
        "replace it, or remove",
    ):
        assert part in message
    assert "data=synthetic" in message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer", "a web page"])
def test_an_archive_that_is_not_the_published_one_is_refused_and_nothing_is_read_from_it(
    tmp_path: Path, publish: Publish, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents()
    source = write_archive(tmp_path, files)
    right = source.read_bytes()
    publish(files, right)
    wrong = damaged(right)[damage]
    source.write_bytes(wrong)
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ValueError, match=f"{ARCHIVE} is not the published file") as caught:
        cifar10.load(source)
    message = one_line(caught.value)
    for part in (sha256(right), sha256(wrong), f"replace {source}, or move it away", "synthetic"):
        assert part in message
    assert source.read_bytes() == wrong


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "cut": content[:middle],
        "empty": b"",
        "longer": content + b"\0",
        "a web page": b"<!doctype html><html><body>504 Gateway Time-out</body></html>",
    }


class Evil:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return builtins.open, (str(self.marker), "w")


def test_a_hash_is_checked_before_the_file_is_unpickled(tmp_path: Path, publish: Publish) -> None:
    publish(files := contents())
    files["batches.meta"] = pickle.dumps(Evil(tmp_path / "marker"), protocol=2)
    with pytest.raises(ValueError, match="expected SHA-256"):
        cifar10.load(write_folder(tmp_path, files))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_even_with_the_right_hash_a_pickle_runs_no_code(
    tmp_path: Path, publish: Publish, protocol: int
) -> None:
    marker = tmp_path / "marker"
    evil = pickle.dumps({"data": Evil(marker), "labels": [0]}, protocol=protocol)
    publish(files := {**contents(), "data_batch_1": evil})
    with pytest.raises(pickle.UnpicklingError, match="open is not admitted"):
        cifar10.load(write_folder(tmp_path, files))
    assert not marker.exists()
    pickle.loads(evil)["data"].close()
    assert marker.exists()  # the pickle is as malicious as it should be
