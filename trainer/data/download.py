"""Fetches one file over https: whole, verified and once, or not at all."""

import fcntl
import hashlib
import http.client
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO

from tqdm import tqdm

BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """When a download counts as failed.

    Attributes:
        timeout: Seconds without any answer, on connecting and on reading.
        window: Seconds over which the rate is taken.
        rate: Least bytes per second over each window.
        size: Most bytes of a file; the archive has 170 MB.
    """

    timeout: float = 10.0
    window: float = 30.0
    rate: float = 300_000.0
    size: int = 512_000_000


LIMITS = Limits()


def https_opener(context: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """An opener that knows no scheme but https, so that nothing can lead it to another.

    Args:
        context: Certificates to trust; None: the system's.

    Returns:
        The opener; it honours the environment's proxies.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        _HttpsRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def fetch(
    url: str,
    target: Path,
    sha256: str,
    opener: urllib.request.OpenerDirector | None = None,
    limits: Limits = LIMITS,
) -> None:
    """Downloads `url` to `target`, unless another process has done so by the time it may.

    `target` never holds anything but the finished, verified file.

    Args:
        url: https address.
        target: Where the file goes; its folder is made.
        sha256: The file's SHA-256.
        opener: Opens addresses; None: `https_opener()`.
        limits: When to give up. There are no retries.

    Raises:
        FileNotFoundError: One line: what failed, which file to put where, and how to do without.
    """
    try:
        if not url.startswith("https://"):
            raise ValueError("https only")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if not target.exists():
                _download(url, target, sha256, opener or https_opener(), limits)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FileNotFoundError(
            f"cannot download {url}: {_reason(error, limits)}; put {target.name} into "
            f"{target.parent} yourself, or set data.url=<mirror>, or run with data=synthetic"
        ) from error


@contextmanager
def _locked(target: Path) -> Generator[None, None, None]:
    """Holds `<target>.lock`, which stays: removing it would let two processes lock two files."""
    with Path(f"{target}.lock").open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            _say(f"waiting for another process that downloads {target}")
            fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def _download(
    url: str, target: Path, sha256: str, opener: urllib.request.OpenerDirector, limits: Limits
) -> None:
    part = Path(f"{target}.part")
    try:
        with part.open("wb") as file:
            found, start = _receive(url, target.name, file, opener, limits)
            if found != sha256:
                page = start.lstrip()[:1] == b"<"
                raise ValueError(
                    f"the answer is {'a web page' if page else 'another file'}: "
                    f"expected SHA-256 {sha256}, found {found}"
                )
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(
    url: str,
    name: str,
    file: IO[bytes],
    opener: urllib.request.OpenerDirector,
    limits: Limits,
) -> tuple[str, bytes]:
    """Copies the answer into `file`; returns its SHA-256 and its first bytes."""
    response: http.client.HTTPResponse
    with opener.open(url, timeout=limits.timeout) as response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        quiet = not sys.stderr.isatty()
        if quiet:
            _say(f"downloading {url}" + (f" ({total / 1e6:.1f} MB)" if total else ""))
        digest, start, received = hashlib.sha256(), b"", 0
        window_began, window_start = time.monotonic(), 0
        with tqdm(
            total=total, desc=name, unit="B", unit_scale=True, disable=quiet, leave=False
        ) as bar:
            # read1 returns what has come; read would wait for a whole block, without end if the
            # server sends a byte every nine seconds.
            while block := response.read1(BLOCK):
                start = start or block
                received += len(block)
                if received > limits.size:
                    raise ValueError(f"the answer is longer than {limits.size / 1e6:g} MB")
                digest.update(block)
                file.write(block)
                bar.update(len(block))
                now = time.monotonic()
                if now - window_began >= limits.window:
                    _check_rate(received - window_start, now - window_began, limits)
                    window_began, window_start = now, received
        if total is not None and received < total:
            raise ValueError(f"the connection ended after {received:,} of {total:,} bytes")
        if quiet:
            _say(f"downloaded {name}: {received / 1e6:.1f} MB")
    return digest.hexdigest(), start


def _check_rate(received: int, seconds: float, limits: Limits) -> None:
    if received < limits.rate * seconds:
        raise ValueError(
            f"too slow: {received / seconds / 1e6:.3g} MB/s over {seconds:.3g} s, "
            f"less than {limits.rate / 1e6:g} MB/s"
        )


def _reason(error: Exception, limits: Limits) -> str:
    """What failed, short and on one line."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return " ".join(f"HTTP {error.code} {error.msg}".split())
    cause: object = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {limits.timeout:g} s"
    return " ".join(str(cause).split()) or type(cause).__name__


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects from https to https only."""

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
            refused: Message = headers
            raise urllib.error.HTTPError(
                req.full_url, code, f"redirect to {newurl} refused, https only", refused, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
