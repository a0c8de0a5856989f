"""The download: https only, whole and verified or not at all, against real servers on loopback."""

import fcntl
import hashlib
import os
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainer.data import download
from trainer.data.download import fetch

CONTENT = bytes(range(256)) * 1500
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "cifar-10-python.tar.gz"
PAGE = b"<!doctype html>\n<html><body>Please log in</body></html>"

# What a second process runs: the real function.
CHILD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell put us behind &
import sys
from pathlib import Path
from trainer.data.download import fetch
url, target, sha256 = sys.argv[1:]
fetch(url, Path(target), sha256)
"""


class Handler(BaseHTTPRequestHandler):
    """Answers by the path: `/good`, `/slow`, `/status/404` and so on."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        answer = getattr(self, "get_" + self.path.strip("/").split("/")[0])
        try:
            answer()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True  # the client went away, as some tests mean it to

    def send(self, body: bytes, length: int | None = None, kind: str = "application/gzip") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def get_good(self) -> None:
        self.send(CONTENT)

    def get_page(self) -> None:
        self.send(PAGE, kind="text/html")

    def get_other(self) -> None:
        self.send(CONTENT[:-1] + b"x")

    def get_short(self) -> None:
        self.send(CONTENT[:1000], length=len(CONTENT))

    def get_status(self) -> None:
        self.send_error(int(self.path.split("/")[2]))

    def get_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.server.location)
        self.end_headers()

    def get_slow(self) -> None:
        self.send(b"", length=len(CONTENT))
        for _ in range(200):  # with an end, so that broken code fails instead of hanging
            if self.server.go_on.wait(0.05):
                return
            self.wfile.write(b"drip")

    def get_silent(self) -> None:
        self.server.go_on.wait(20)

    def get_half(self) -> None:
        half = len(CONTENT) // 2
        self.send(CONTENT[:half], length=len(CONTENT))
        self.server.half_sent.set()
        self.server.go_on.wait(20)
        self.wfile.write(CONTENT[half:])

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server on loopback that notes the paths asked for."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.location = ""
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is part of the tests

    def __enter__(self) -> "Server":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=loopback -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # what is trusted instead of the system's
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with Server(context) as running:
        yield running


class Client:
    """Calls `fetch` with a target in the test's folder."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "data" / NAME

    def fetch(self, url: str) -> None:
        fetch(url, self.target, SHA256)

    def refused(self, url: str) -> str:
        """The one line of a failed download, which leaves nothing behind."""
        with pytest.raises(FileNotFoundError) as caught:
            self.fetch(url)
        message = str(caught.value)
        assert "\n" not in message
        for part in (url, f"put {NAME} into {self.target.parent}", "data.url=", "data=synthetic"):
            assert part in message
        assert self.left() <= {f"{NAME}.lock"}
        return message

    def left(self) -> set[str]:
        return {path.name for path in self.target.parent.glob("*")}

    def child(self, url: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(self.target), SHA256],
            stderr=stderr,
            text=True,
            cwd=Path(__file__).parents[2],
        )


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_a_good_download_is_stored_whole_and_leaves_no_partial_file(
    server: Server, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    client.fetch(server.url + "/good")
    assert client.target.read_bytes() == CONTENT
    assert client.left() == {NAME, f"{NAME}.lock"}
    # Not a terminal: one line at the start and one at the end.
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"downloading {server.url}/good (0.4 MB)",
        f"downloaded {NAME}: 0.4 MB",
    ]


def test_a_terminal_shows_a_progress_bar_instead_of_lines(server: Server, client: Client) -> None:
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with client.child(server.url + "/good", stderr=theirs) as process:
        assert process.wait(20) == 0
        shown = os.read(ours, 10_000).decode()  # before the last writer closes the terminal
    os.close(theirs)
    os.close(ours)
    assert f"{NAME}:   0%" in shown
    assert "downloading" not in shown


def test_a_finished_file_is_not_fetched_again(server: Server, client: Client) -> None:
    client.fetch(server.url + "/good")
    client.fetch(server.url + "/good")
    assert server.paths == ["/good"]


def test_http_is_refused_without_asking_the_server(client: Client) -> None:
    with Server(None) as plain:
        assert "https only" in client.refused(plain.url + "/good")
        assert plain.paths == []


def test_a_redirect_to_http_is_refused_and_one_to_https_followed(
    server: Server, client: Client
) -> None:
    with Server(None) as plain:
        server.location = plain.url + "/good"
        assert "https only" in client.refused(server.url + "/redirect")
        assert plain.paths == []
    server.location = server.url + "/good"
    client.fetch(server.url + "/redirect")
    assert client.target.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "x"])
def test_no_other_scheme_is_opened(client: Client, url: str) -> None:
    assert "https only" in client.refused(url)


def test_an_untrusted_certificate_is_refused(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "CERTIFICATE_VERIFY_FAILED" in client.refused(server.url + "/good")
    assert server.paths == []


@pytest.mark.parametrize(("path", "body"), [("/page", PAGE), ("/other", CONTENT[:-1] + b"x")])
def test_a_wrong_file_is_refused_with_both_hashes(
    server: Server, client: Client, path: str, body: bytes
) -> None:
    message = client.refused(server.url + path)
    assert ("web page" in message) == (path == "/page")
    assert SHA256 in message
    assert hashlib.sha256(body).hexdigest() in message


def test_a_connection_that_ends_early_is_named(server: Server, client: Client) -> None:
    assert "ended after 1,000 of 384,000 bytes" in client.refused(server.url + "/short")


def test_an_endless_answer_is_cut_off(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SIZE", 100_000)
    assert "longer than 0.1 MB" in client.refused(server.url + "/good")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_status_is_named_and_not_retried(
    server: Server, client: Client, status: int
) -> None:
    assert f"HTTP {status}" in client.refused(f"{server.url}/status/{status}")
    assert len(server.paths) == 1


def test_a_server_that_is_not_there_is_named(client: Client) -> None:
    assert "refused" in client.refused("https://127.0.0.1:1/x")


def test_a_slow_server_is_given_up_on(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WINDOW", 0.5)
    began = time.monotonic()
    assert "too slow" in client.refused(server.url + "/slow")
    assert 0.5 <= time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/silent", "/half"])
def test_a_server_that_is_or_falls_silent_is_given_up_on(
    server: Server, client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    began = time.monotonic()
    assert "no answer within 0.3 s" in client.refused(server.url + path)
    assert time.monotonic() - began < 2.5


def test_the_limits_are_ten_seconds_and_a_third_of_a_megabyte_per_second() -> None:
    assert (download.TIMEOUT, download.WINDOW, download.RATE) == (10.0, 30.0, 300_000.0)


def test_a_folder_that_cannot_be_written_is_named_in_one_line(
    server: Server, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(FileNotFoundError, match="data=synthetic"):
        client.fetch(server.url + "/good")


def test_two_processes_at_once_download_once(server: Server, client: Client) -> None:
    with client.child(server.url + "/half") as first:
        assert server.half_sent.wait(20)
        with client.child(server.url + "/half") as second:
            assert second.stderr is not None
            line = second.stderr.readline()
            assert line == f"waiting for another process that downloads {client.target}\n"
            assert not client.target.exists()
            server.go_on.set()
            assert second.wait(20) == 0
            assert second.stderr.read() == ""
        assert first.wait(20) == 0
    assert server.paths == ["/half"]
    assert client.target.read_bytes() == CONTENT


def test_a_process_killed_in_mid_download_leaves_no_archive_and_the_next_one_works(
    server: Server, client: Client
) -> None:
    part = Path(f"{client.target}.part")
    with client.child(server.url + "/half") as process:
        assert server.half_sent.wait(20)
        while not part.exists() or part.stat().st_size == 0:
            time.sleep(0.01)
            assert process.poll() is None
        process.kill()
    assert not client.target.exists()
    assert part.exists()
    client.fetch(server.url + "/good")
    assert client.target.read_bytes() == CONTENT
    assert not part.exists()


def test_an_interrupted_download_removes_its_partial_file(server: Server, client: Client) -> None:
    part = Path(f"{client.target}.part")
    with client.child(server.url + "/half") as process:
        assert server.half_sent.wait(20)
        while not part.exists() or part.stat().st_size == 0:
            time.sleep(0.01)
            assert process.poll() is None
        os.kill(process.pid, 2)
        assert process.stderr is not None
        assert "KeyboardInterrupt" in process.stderr.read()
    assert client.left() == {f"{NAME}.lock"}
