"""Finds CIFAR-10's files, in a folder or in the archive, and checks each before anyone parses it.

Of an archive the SHA-256 of the whole is compared with the published one's, of a folder that of
each file. What passes is what was published, so nothing else about it has to be doubted.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
SHA256: Mapping[str, str] = {
    "batches.meta": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
    "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
}


def provide(root: str | Path, download: bool, url: str) -> Path:
    """Finds the data set below `root`, or fetches its archive there.

    Args:
        root: Folder that holds `cifar-10-batches-py/` or `cifar-10-python.tar.gz`.
        download: Fetch the archive if neither is there.
        url: https address of the archive.

    Returns:
        The extracted folder if it is complete, else the archive.

    Raises:
        FileNotFoundError: One line: what is missing, where to put it, and how to do without.
    """
    root = Path(root).expanduser()
    folder, archive = root / FOLDER, root / ARCHIVE
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    if not missing:
        return folder
    if archive.is_file():
        return archive
    if len(missing) < len(SHA256):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: complete it, or put {ARCHIVE} into {root}, "
            f"or remove the folder; data.root=<folder> looks elsewhere, data=synthetic needs no "
            f"files"
        )
    if download:
        # Imported here because TLS and progress bars cost every start that needs no download.
        from trainer.data.download import fetch

        fetch(url, archive, ARCHIVE_SHA256)
        return archive
    raise FileNotFoundError(
        f"no CIFAR-10 in {root}: put {ARCHIVE} (or the folder {FOLDER}) there, or set "
        f"data.root=<folder>, or data.download=true, or run with data=synthetic"
    )


def read_files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each file in `SHA256`, one at a time and already verified.

    Args:
        source: What `provide` returned: the folder or the archive, which is not unpacked to disk.

    Yields:
        Name and bytes, from a folder in the order of `SHA256`, from an archive in its own.

    Raises:
        ValueError: One line: the wrong file, expected and found hash, and the way out.
        FileNotFoundError: A file is missing.
    """
    if source.is_dir():
        for name in SHA256:
            content = (source / name).read_bytes()
            found = hashlib.sha256(content).hexdigest()
            _check(source / name, SHA256[name], found, f"replace it, or remove {source}")
            yield name, content
            del content  # or it would stay in memory while the next one is read
        return
    with source.open("rb") as file:
        way_out = f"replace {source}, or move it away to have it fetched again"
        _check(source, ARCHIVE_SHA256, _sha256(file), way_out)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            for member in tar:
                name, inside = member.name.removeprefix(f"{FOLDER}/"), tar.extractfile(member)
                if name in SHA256 and inside is not None:
                    yield name, inside.read()


def _check(path: Path, expected: str, found: str, way_out: str) -> None:
    if found != expected:
        raise ValueError(
            f"{path} is not the published file: expected SHA-256 {expected}, found {found}; "
            f"{way_out}, or run with data=synthetic"
        )


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
