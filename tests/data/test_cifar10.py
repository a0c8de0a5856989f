"""CIFAR-10 files: found, verified before they are parsed, and parsed without running code."""

import builtins
import gzip
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

COUNT = 20
URL = "https://127.0.0.1:1/nothing-answers-here"


def text(value: str) -> bytes:
    return b"U" + struct.pack("<B", len(value)) + value.encode()


def batch(data: bytes, labels: list[int], width: int = 3072, kind: str = "u1") -> bytes:
    """A batch as Python 2 and the numpy of its time pickled the real ones."""
    return b"".join(
        [
            b"\x80\x02}(" + text("labels") + b"](",
            *(b"J" + struct.pack("<i", label) for label in labels),
            b"e" + text("data") + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
            b"K\x00\x85" + text("b") + b"\x87R(K\x01",
            b"M"
            + struct.pack("<H", len(data) // width)
            + b"M"
            + struct.pack("<H", width)
            + b"\x86",
            b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R(K\x03" + text("|"),
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


def hashes(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / FOLDER
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def write_archive(
    root: Path, files: dict[str, bytes], extra: list[tuple[tarfile.TarInfo, bytes]] | None = None
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / ARCHIVE, "w:gz") as tar:
        for info, content in extra or []:
            tar.addfile(info, io.BytesIO(content))
        # Not in alphabetic order, as in the real archive.
        for name in reversed(list(files)):
            info, content = member(f"{FOLDER}/{name}", files[name])
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


def test_planes_become_rows_columns_and_channels_in_batch_order(tmp_path: Path) -> None:
    files = contents()
    train, test, _ = cifar10.load(write_folder(tmp_path, files), hashes(files))
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert train.classes == test.classes == tuple(f"class {number}" for number in range(10))
    raw = numpy.frombuffer(b"".join(pixels(seed) for seed in range(5)), dtype=numpy.uint8)
    planar = raw.reshape(5 * COUNT, 3, 32, 32)
    assert numpy.array_equal(train.images.numpy(), planar.transpose(0, 2, 3, 1))
    assert train.labels.tolist() == [label for seed in range(5) for label in labels(seed)]
    assert test.images[3, 5, 7, 2].item() == pixels(5)[3 * 3072 + 2 * 1024 + 5 * 32 + 7]
    assert test.labels.tolist() == labels(5)


def test_folder_and_archive_give_the_same_tensors_and_hash(tmp_path: Path) -> None:
    files = contents()
    folder = cifar10.load(write_folder(tmp_path / "a", files), hashes(files))
    archive = cifar10.load(write_archive(tmp_path / "b", files), hashes(files))
    for ours, theirs in zip(folder[:2], archive[:2], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.classes == theirs.classes
    assert folder[2] == archive[2]


def test_a_batch_pickled_by_todays_numpy_loads_the_same(tmp_path: Path) -> None:
    files = contents()
    old = cifar10.load(write_folder(tmp_path / "old", files), hashes(files))
    data = numpy.frombuffer(pixels(5), dtype=numpy.uint8).reshape(COUNT, 3072).copy()
    files["test_batch"] = pickle.dumps({"data": data, "labels": labels(5)}, protocol=4)
    assert b"_reconstruct" in files["test_batch"]
    new = cifar10.load(write_folder(tmp_path / "new", files), hashes(files))
    assert torch.equal(old[1].images, new[1].images)
    assert old[2] != new[2]


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


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_tampered_batch_is_refused_and_left_alone(
    tmp_path: Path, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    files = contents()
    expected = hashes(files)
    files["data_batch_2"] = files["data_batch_2"][:-100] + b"\x00" + files["data_batch_2"][-99:]
    source = write(tmp_path, files)
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="data_batch_2 is not the published file") as caught:
        cifar10.load(source, expected)
    message = one_line(caught.value)
    for part in (str(source), expected["data_batch_2"], hashes(files)["data_batch_2"]):
        assert part in message
    assert "data=synthetic" in message
    assert tree(tmp_path) == before


class Evil:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return builtins.open, (str(self.marker), "w")


def test_a_hash_is_checked_before_the_file_is_unpickled(tmp_path: Path) -> None:
    files = contents()
    expected = hashes(files)
    files["batches.meta"] = pickle.dumps(Evil(tmp_path / "marker"), protocol=2)
    with pytest.raises(ValueError, match="expected SHA-256"):
        cifar10.load(write_folder(tmp_path, files), expected)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_batch_with_the_right_hash_runs_no_code(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    evil = pickle.dumps({"data": Evil(marker), "labels": [0]}, protocol=protocol)
    files = {**contents(), "data_batch_1": evil}
    with pytest.raises(ValueError, match=r"data_batch_1 .*open is not admitted") as caught:
        cifar10.load(write_folder(tmp_path, files), hashes(files))
    one_line(caught.value)
    assert not marker.exists()
    pickle.loads(evil)["data"].close()
    assert marker.exists()  # the pickle is as malicious as it should be


GOOD = batch(pixels(0), labels(0))
WRONG = {
    "garbage": (b"\x00garbage", "is not a CIFAR-10 batch"),
    "cut short": (GOOD[:-40], "is not a CIFAR-10 batch"),
    "no dictionary": (pickle.dumps([1, 2], protocol=2), "holds no dictionary"),
    "no array": (pickle.dumps({"data": b"", "labels": []}, protocol=0), "not admitted|shape"),
    "an array that was never set up": (
        b"\x80\x02}(" + text("data") + b"cnumpy.core.multiarray\n_reconstruct\n)\x81u.",
        "is not an array of shape",
    ),
    "objects": (batch(pixels(0), labels(0), kind="O8"), "type 'O8'"),
    "columns first": (GOOD.replace(b"K\x00tb\x89", b"K\x00tb\x88"), "row order"),
    "grey images": (batch(pixels(0), labels(0), width=1024), "is not an array of shape"),
    "narrow images": (GOOD.replace(b"M\x00\x0c\x86", b"M\xff\x0b\x86"), "array of shape"),
    "missing pixels": (batch(pixels(0)[:-1], labels(0)[:-1]), "bytes do not fill"),
    "a missing label": (batch(pixels(0), labels(0)[:-1]), "labels is not a list of 20"),
    "label 10": (batch(pixels(0), [10, *labels(0)[1:]]), "label 10 is not in"),
    "label -1": (batch(pixels(0), [-1, *labels(0)[1:]]), "label -1 is not in"),
    "another length": (batch(pixels(0)[:3072], [0]), "1 images, other batches 20"),
    "no images": (batch(b"", []), "bytes do not fill"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_batch_of_wrong_content_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, reason = WRONG[name]
    files = {**contents(), "data_batch_4": content}
    with pytest.raises(ValueError, match=f"data_batch_4.*({reason})") as caught:
        cifar10.load(write_folder(tmp_path, files), hashes(files))
    one_line(caught.value)


@pytest.mark.parametrize("names", [None, ["one"], "airplane"])
def test_a_wrong_list_of_classes_is_refused(tmp_path: Path, names: object) -> None:
    files = {**contents(), "batches.meta": pickle.dumps({"label_names": names}, protocol=2)}
    with pytest.raises(ValueError, match=r"batches\.meta: label_names is not a list of 10 names"):
        cifar10.load(write_folder(tmp_path, files), hashes(files))


def damaged_archives() -> dict[str, bytes]:
    files = contents()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            tar.addfile(member(f"{FOLDER}/{name}", content)[0], io.BytesIO(content))
    whole = buffer.getvalue()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    return {
        "truncated": whole[: len(whole) // 2],
        "flipped bit": bytes(flipped),
        "web page": b"<!doctype html><html><body>504 Gateway Time-out</body></html>",
        "garbage": bytes(range(256)) * 40,
        "empty": b"",
        "garbage inside gzip": gzip.compress(b"\x07" * 5000, mtime=0),
        "empty inside gzip": gzip.compress(b"", mtime=0),
    }


@pytest.mark.parametrize(("name", "content"), damaged_archives().items())
def test_a_damaged_archive_is_refused_in_one_line_and_left_alone(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match=ARCHIVE) as caught:
        cifar10.load(tmp_path / ARCHIVE, hashes(contents()))
    message = one_line(caught.value)
    if name != "flipped bit":  # which may hit the middle of a file: its own hash is reported then
        assert hashlib.sha256(content).hexdigest() in message
        assert cifar10_files.ARCHIVE_SHA256 in message
    assert "data=synthetic" in message
    assert (tmp_path / ARCHIVE).read_bytes() == content


def test_members_that_lead_outside_are_ignored_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents()
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    extra = [
        member("../evil", b"x"),
        member(f"{FOLDER}/../../evil", b"x"),
        member(f"{FOLDER}/../{FOLDER}/data_batch_1", b"x"),
        member(str(tmp_path / "evil"), b"x"),
        member("link", type=tarfile.SYMTYPE, linkname=str(tmp_path)),
        member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        member("pipe", type=tarfile.FIFOTYPE),
        member(FOLDER, type=tarfile.DIRTYPE),
    ]
    source = write_archive(inside, files, extra)
    before = tree(tmp_path)
    train, _, _ = cifar10.load(source, hashes(files))
    assert train.labels.tolist() == [label for seed in range(5) for label in labels(seed)]
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_the_place_of_a_batch_is_refused(tmp_path: Path, kind: bytes) -> None:
    files = contents()
    expected = hashes(files)
    outside = tmp_path / "outside"
    outside.write_bytes(files.pop("data_batch_1"))
    link = member(f"{FOLDER}/data_batch_1", type=kind, linkname=str(outside))
    source = write_archive(tmp_path, files, [link])
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="it lacks data_batch_1") as caught:
        cifar10.load(source, expected)
    one_line(caught.value)
    assert tree(tmp_path) == before


def zeros(megabytes: int) -> bytes:
    """A gzip stream of zeros; streams put one after the other are one stream."""
    return gzip.compress(bytes(10_000_000)) * (megabytes // 10)


def bombs() -> dict[str, tuple[bytes, str]]:
    big = member(f"{FOLDER}/data_batch_1")[0]
    big.size = 40_000_000
    many = member("long", type=tarfile.XHDTYPE)[0]
    many.size = 250_000_000
    small = b"".join(member(f"file {number}")[0].tobuf() for number in range(100))
    return {
        "large member": (gzip.compress(big.tobuf()) + zeros(40), "has 40,000,000 bytes"),
        "large header": (gzip.compress(many.tobuf()) + zeros(250), "more than 200,000,000 bytes"),
        "many members": (gzip.compress(small), "more than 64 members"),
    }


@pytest.mark.parametrize("name", ["large member", "large header", "many members"])
def test_an_archive_that_blows_up_is_refused_before_it_does(tmp_path: Path, name: str) -> None:
    content, reason = bombs()[name]
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        cifar10.load(tmp_path / ARCHIVE, hashes(contents()))
    one_line(caught.value)
    assert tree(tmp_path) == [str(tmp_path / ARCHIVE)]
