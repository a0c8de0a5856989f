"""Headless Chromium, for what only a browser knows about a page."""

import json
import os
import re
import shutil
import subprocess
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
    text = page.read_text()
    assert "default-src 'none';" in text
    allowed = text.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    folder.mkdir()
    (folder / "copy.html").write_text(allowed.replace("</body>", f"{MEASURE}</body>"))
    around = folder / "around.html"
    around.write_text(FRAME.replace("{width}", str(width)))
    dom = run(around, folder, "--dump-dom", width=width + 100, dark=dark)
    found = re.search(r"<title>(\{.*?\})</title>", dom, re.DOTALL)
    assert found, dom[:300]
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
