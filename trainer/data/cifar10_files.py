"""Finds CIFAR-10's files, in a folder or in the archive, and checks each before anyone parses it.

The batches are pickles, and a pickle can run code. So every file is read once, its SHA-256 is
compared with the published file's, and only those very bytes are handed on. The archive is never
unpacked to disk: its members are read one by one, under limits that hold for hostile archives.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
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

# The real files have up to 31.04 MB each and 186 MB together, in 9 members.
FILE_LIMIT = 32_000_000
ARCHIVE_LIMIT = 200_000_000
MEMBER_LIMIT = 64


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


def read_files(source: Path, expected: Mapping[str, str] = SHA256) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each expected file, one at a time and already verified.

    Args:
        source: What `provide` returned: the folder or the archive.
        expected: SHA-256 by file name; files of other names are left alone.

    Yields:
        Name and bytes, from a folder in the order of `expected`, from an archive in its own.

    Raises:
        ValueError: One line: the damaged file, expected and found hash, and the way out.
        FileNotFoundError: A file is missing.
    """
    if source.is_dir():
        files, way_out = _from_folder(source, expected), f"replace it, or remove {source}"
    else:
        files, way_out = _from_archive(source, expected), _archive_way_out(source)
    for name, content in files:
        found = hashlib.sha256(content).hexdigest()
        if found != expected[name]:
            raise ValueError(
                f"{source / name} is not the published file: expected SHA-256 {expected[name]}, "
                f"found {found}; {way_out}, or run with data=synthetic"
            )
        yield name, content
        del content  # or it would stay in memory while the next one is read


def _archive_way_out(archive: Path) -> str:
    return f"replace {archive}, or move it away to have it fetched again"


def _from_folder(folder: Path, expected: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Reads the files; never more than the limit of one, so that a wrong file stays harmless."""
    for name in expected:
        with (folder / name).open("rb") as file:
            yield name, file.read(FILE_LIMIT + 1)


def _from_archive(archive: Path, expected: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Like `_members`, with every way in which an archive can be broken as one ValueError."""
    missing = set(expected)
    try:
        with gzip.open(archive) as unzipped:
            for name, content in _members(_Bounded(unzipped), expected):
                missing.discard(name)
                yield name, content
                del content
        if missing:
            raise tarfile.ReadError(f"it lacks {', '.join(sorted(missing))}")
    except FileNotFoundError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        with archive.open("rb") as file:
            found = _sha256(file)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{archive} is damaged ({reason}): expected SHA-256 {ARCHIVE_SHA256}, found {found}; "
            f"{_archive_way_out(archive)}, or run with data=synthetic"
        ) from error


def _members(unzipped: "_Bounded", expected: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Streams the expected members out of a tar file, each once, and stops after the last."""
    missing_members = {f"{FOLDER}/{name}": name for name in expected}
    # "r|" reads strictly forward; links are never followed, nothing is written.
    with tarfile.open(fileobj=unzipped, mode="r|") as tar:
        for count, member in enumerate(tar):
            if count >= MEMBER_LIMIT:
                raise tarfile.ReadError(f"more than {MEMBER_LIMIT} members")
            if not 0 <= member.size <= FILE_LIMIT:
                raise tarfile.ReadError(f"member {member.name!r} has {member.size:,} bytes")
            plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
            name = missing_members.pop(member.name, None) if plain else None
            content = tar.extractfile(member) if name is not None else None
            if name is not None and content is not None:
                yield name, content.read(member.size)
            if not missing_members:
                return


class _Bounded(io.RawIOBase):
    """Counts what comes out of the decompressor, which a few bytes can blow up to gigabytes.

    Member sizes alone do not bound it: long names and extended headers are content as well.
    """

    def __init__(self, file: gzip.GzipFile) -> None:
        super().__init__()
        self._file = file
        self._left = ARCHIVE_LIMIT

    def read(self, size: int = -1, /) -> bytes:
        """As of a file; raises tarfile.ReadError beyond the limit."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {ARCHIVE_LIMIT:,} bytes")
        return content


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
