"""Headless Chromium, for what only a browser knows about a page."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-step",
    "--disable-sync",
    "--hide-scrollbars",
]
# Tells the page around it what its layout came to. It sits in a frame: no window is as narrow as a
# phone.
MEASURE = """<script>window.addEventListener("load", () => {
  const wide = window.innerWidth;
  const inside = (e) => e.closest(".scroll") !== null;
  parent.postMessage(JSON.stringify({
    title: document.title,
    inner: wide,
    scroll: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
    images: [...document.images].map((i) => [
      i.complete && i.naturalWidth > 0, i.getBoundingClientRect().width, i.currentSrc.length]),
    outside: [...document.querySelectorAll("body *")].filter(
      (e) => !inside(e) && e.getBoundingClientRect().right > wide + 1).map((e) => e.tagName),
    tables: [...document.querySelectorAll(".scroll")].filter(
      (e) => getComputedStyle(e).overflowX === "auto").length,
    background: getComputedStyle(document.body).backgroundColor,
    scripts: document.scripts.length,
    requests: performance.getEntriesByType("resource").map((e) => e.name.slice(0, 30)),
  }), "*");
});</script>"""
FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><title></title>
<script>onmessage = (message) => { document.title = message.data; };</script>
<iframe src="copy.html" style="width: {width}px; height: 900px; border: 0"></iframe>"""


def find() -> str:
    """The browser; without one the test is skipped, or fails where all proofs are asked for."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        message = "no Chromium here: apt-get install chromium, or another of " + ", ".join(NAMES)
        if os.environ.get("TRAINER_ALL_PROOFS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def run(page: Path, folder: Path, *arguments: str, width: int, dark: bool = False) -> str:
    """Opens a page with a new, empty profile; returns what the browser prints."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    size = [f"--window-size={width},900", f"--user-data-dir={profile}"]
    command = [find(), *FLAGS, *scheme, *size, *arguments, page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def measure(page: Path, folder: Path, *, width: int, dark: bool = False) -> dict[str, Any]:
    """The layout of a page at a width, measured by a script in a copy that may run scripts."""
    allowed, policies = re.subn(
        r"script-src [^;\"]*", "script-src 'unsafe-inline'", page.read_text()
    )
    assert policies == 1
    folder.mkdir()
    (folder / "copy.html").write_text(allowed.replace("</body>", f"{MEASURE}</body>"))
    around = folder / "around.html"
    around.write_text(FRAME.replace("{width}", str(width)))
    dom = run(around, folder, "--dump-dom", width=width + 100, dark=dark)
    found = re.search(r"<title>(\{.*?\})</title>", dom, re.DOTALL)
    assert found, dom[:300]
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


class Tab:
    """A page that can be touched, over DevTools' own protocol.

    Attributes:
        seen: Every event that the browser told of: requests, exceptions, console lines.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.seen: list[dict[str, Any]] = []
        self._commands, self._answers = commands, answers
        self._number, self._session, self._rest = 0, {}, b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Sends a command and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                chunk = os.read(self._answers, 1 << 20)
                assert chunk, "the browser is gone"
                self._rest += chunk
            line, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.seen.append(answer)

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Shows a page at a width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        phone = {"deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, **phone)
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, code: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, code: str, seconds: float = 30) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({code})"):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.05)

    def find(self, element: str) -> tuple[float, float]:
        """Scrolls to an element, an expression, and gives the middle of it on the screen."""
        code = f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
        code += (
            "const r = e.getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2] })()"
        )
        x, y = self.run(code)
        return x, y

    def mouse(self, kind: str, x: float, y: float, buttons: int = 0) -> None:
        """Moves, presses or releases the mouse."""
        more = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=buttons, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Presses, moves and releases; a click where both ends are one."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, buttons=1)
        self.mouse("mouseMoved", (start[0] + end[0]) / 2, (start[1] + end[1]) / 2, buttons=1)
        self.mouse("mouseMoved", *end, buttons=1)
        self.mouse("mouseReleased", *end)

    def click(self, element: str) -> None:
        """Clicks on the middle of an element, an expression."""
        middle = self.find(element)
        self.drag(middle, middle)

    def choose_next(self, select: str) -> None:
        """Chooses the option below with the keyboard."""
        self.run(f"{select}.focus()")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key="ArrowDown", windowsVirtualKeyCode=40
            )

    def screenshot(self, file: Path) -> None:
        """Writes what is to be seen as a PNG file."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def tab(folder: Path) -> Generator[Tab]:
    """A browser of its own, with a new, empty profile."""
    theirs, ours = os.pipe(), os.pipe()
    # It reads commands from descriptor 3 and answers into 4.
    shell = ["sh", "-c", f'exec "$@" 3</dev/fd/{theirs[0]} 4>/dev/fd/{ours[1]}', "sh"]
    command = [find(), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(
        [*shell, *command],
        pass_fds=(theirs[0], ours[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs[0])
    os.close(ours[1])
    try:
        yield Tab(theirs[1], ours[0])
    finally:
        process.terminate()
        process.wait(30)
        os.close(theirs[1])
        os.close(ours[0])
