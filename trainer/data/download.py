"""Fetches one file over https: whole, verified and once, or not at all."""

import fcntl
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tqdm import tqdm

BLOCK = 1 << 16
TIMEOUT = 10.0  # seconds without any answer, on connecting and on reading
# Bytes per second over each window of seconds: a timeout alone waits without end for a server that
# sends a byte every nine seconds.
RATE, WINDOW = 300_000.0, 30.0
SIZE = 512_000_000  # most bytes of a file; the archive has 170 MB


def fetch(url: str, target: Path, sha256: str) -> None:
    """Downloads `url` to `target`, unless another process has done so by the time it may.

    `target` never holds anything but the finished, verified file. There are no retries.

    Args:
        url: https address.
        target: Where the file goes; its folder is made.
        sha256: The file's SHA-256.

    Raises:
        FileNotFoundError: One line: what failed, which file to put where, and how to do without.
    """
    try:
        if not url.startswith("https://"):
            raise ValueError("https only")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if not target.exists():
                _download(url, target, sha256)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FileNotFoundError(
            f"cannot download {url}: {_reason(error)}; put {target.name} into "
            f"{target.parent} yourself, or set data.url=<mirror>, or run with data=synthetic"
        ) from error


@contextmanager
def _locked(target: Path) -> Generator[None, None, None]:
    """Holds `<target>.lock`, which stays: removing it would let two processes lock two files."""
    with Path(f"{target}.lock").open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            _print(f"waiting for another process that downloads {target}")
            fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def _download(url: str, target: Path, sha256: str) -> None:
    part = Path(f"{target}.part")
    opener = urllib.request.build_opener(_HttpsRedirects())
    try:
        with part.open("wb") as file, opener.open(url, timeout=TIMEOUT) as response:
            found = _receive(response, url, target.name, file)
            if found != sha256:
                page = response.headers.get_content_type() == "text/html"
                raise ValueError(
                    f"the answer is {'a web page' if page else 'another file'}: "
                    f"expected SHA-256 {sha256}, found {found}"
                )
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(response: http.client.HTTPResponse, url: str, name: str, file: IO[bytes]) -> str:
    """Writes the answer into `file`; returns its SHA-256."""
    total = int(response.headers.get("Content-Length", 0)) or None
    quiet = not sys.stderr.isatty()
    if quiet:
        _print(f"downloading {url}" + (f" ({total / 1e6:.1f} MB)" if total else ""))
    digest, received = hashlib.sha256(), 0
    window_began, window_start = time.monotonic(), 0
    with tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=quiet, leave=False) as bar:
        # read1 returns what has come; read would wait for a whole block
        while block := response.read1(BLOCK):
            received += len(block)
            if received > SIZE:
                raise ValueError(f"the answer is longer than {SIZE / 1e6:g} MB")
            digest.update(block)
            file.write(block)
            bar.update(len(block))
            seconds = time.monotonic() - window_began
            if seconds >= WINDOW:
                rate = (received - window_start) / seconds
                if rate < RATE:
                    raise ValueError(
                        f"too slow: {rate / 1e6:.3g} MB/s over {seconds:.3g} s, "
                        f"less than {RATE / 1e6:g} MB/s"
                    )
                window_began, window_start = time.monotonic(), received
    if total is not None and received < total:
        raise ValueError(f"the connection ended after {received:,} of {total:,} bytes")
    if quiet:
        _print(f"downloaded {name}: {received / 1e6:.1f} MB")
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    """What failed, short and on one line."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return " ".join(f"HTTP {error.code} {error.msg}".split())
    cause: object = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    return " ".join(str(cause).split()) or type(cause).__name__


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuses a new address of any other scheme."""
        if not newurl.startswith("https://"):
            reason = f"redirect to {newurl} refused, https only"
            raise urllib.error.HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
