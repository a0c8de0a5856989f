"""The page of a report: self-contained, harmless, and readable on a desktop and on a phone."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image
from run_folders import write_run, write_seeds

from trainer.report import curves_figure
from trainer.report.analysis import analyse
from trainer.report.read import read_run
from trainer.report.style import LONGEST_LABEL, short_labels
from trainer.report.write import report

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
VOID = ("meta", "img", "source", "br")


class Elements(HTMLParser):
    """Every element with its attributes, and whether all that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many groups with long labels, several seeds, a failure with an evil error."""
    folder = tmp_path_factory.mktemp("sweep")
    for number in range(13):
        lr = 0.01 * (number + 1)
        more = {"optimizer.lr": lr, "name": f"{EVIL} $\\frac{{{number}$ a rather long name \u4e2d"}
        finals = [0.88 - 0.004 * number + 0.001 * ((seed * 7 + number) % 3) for seed in range(3)]
        write_seeds(folder / str(number), finals, scheduler="warmup_steplr", settings=more)
    error = {"error": f"{EVIL} & no space left on the device " + "x" * 300}
    write_run(folder / "13", [0.2], status="failed", summary=error, settings={"name": EVIL})
    return report([folder]).folder / "report.html"


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    elements = Elements(text)
    assert not elements.of("script", "link", "iframe", "object", "embed", "base", "form")
    addresses = [
        value or ""
        for _, attributes in elements.found
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert len(addresses) == 3
    for address in addresses:
        assert address.startswith("data:image/svg+xml;base64,")
        svg = base64.b64decode(address.partition(",")[2]).decode()
        assert svg.rstrip().endswith("</svg>")
        assert not [x for x in re.findall(r'href="([^"]*)"', svg) if not x.startswith("#")]
        assert "<script" not in svg
        assert "<image" not in svg
    assert "@import" not in text
    assert "url(" not in text
    assert not elements.open


def test_names_and_errors_come_out_as_text(page: Path) -> None:
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;" in text
    assert not [a for _, attributes in Elements(text).found for a in attributes if a[:2] == "on"]


def test_every_picture_says_what_it_shows(page: Path) -> None:
    images = Elements(page.read_text()).of("img")
    assert len(images) == 3
    for image in images:
        assert len(image["alt"] or "") > 40
    tables = [a for a in Elements(page.read_text()).of("div") if a.get("class") == "scroll"]
    assert all(a["role"] == "region" and a["tabindex"] == "0" and a["aria-label"] for a in tables)
    assert len(tables) == len(Elements(page.read_text()).of("table")) >= 6


def test_a_picture_takes_no_label_for_a_formula_or_for_none(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], settings={"name": "_first $\\frac{$"})
    write_run(tmp_path / "1", [0.7], settings={"name": "second", "optimizer.lr": 0.1})
    runs = [read_run(tmp_path / number, number) for number in ("0", "1")]
    result = analyse(runs, 0.8)
    figure = curves_figure.draw(result)
    figure.savefig(io.BytesIO())
    (legend,) = figure.legends
    texts = [text.get_text().strip() for text in legend.get_texts()]
    assert texts == ["_first \\$\\frac{\\$", "second"]


def test_labels_that_a_picture_shortens_stay_apart() -> None:
    labels = [f"{'x' * 30} {n} {'y' * 30}" for n in range(3)]
    made = short_labels(labels)
    assert len(set(made)) == 3
    assert max(map(len, made)) <= LONGEST_LABEL


def test_a_missing_browser_skips_unless_all_proofs_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TRAINER_ALL_PROOFS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium.find()
    monkeypatch.setenv("TRAINER_ALL_PROOFS", "1")
    with pytest.raises(pytest.fail.Exception):
        chromium.find()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_scrolling_sideways(
    page: Path, tmp_path: Path, width: int
) -> None:
    seen = chromium.measure(page, tmp_path / "m", width=width)
    assert seen["inner"] == width
    assert seen["scroll"] <= width
    assert seen["outside"] == []
    assert seen["tables"] >= 6
    assert (
        all(loaded and shown > 0.75 * width for loaded, shown, _ in seen["images"]) or width > 400
    )
    assert all(loaded for loaded, _, _ in seen["images"])


def test_names_do_not_run_and_nothing_is_fetched(page: Path, tmp_path: Path) -> None:
    # The copy that is measured lets scripts run: only the escaping stands between.
    seen = chromium.measure(page, tmp_path / "m", width=390)
    assert "owned" not in seen["title"].replace("document.title='owned'", "")
    assert seen["scripts"] == 1
    assert [name for name in seen["requests"] if not name.startswith("data:image/svg+xml")] == []


def test_the_page_follows_the_dark_scheme(page: Path, tmp_path: Path) -> None:
    light = chromium.measure(page, tmp_path / "light", width=390)["background"]
    dark = chromium.measure(page, tmp_path / "dark", width=390, dark=True)["background"]
    assert light == "rgb(245, 246, 248)"
    assert dark == "rgb(18, 22, 28)"


def test_the_pictures_are_shown_under_the_pages_own_policy(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    chromium.run(
        page, tmp_path / "b", f"--screenshot={shot}", "--window-size=1280,4000", width=1280
    )
    red, green, blue = np.moveaxis(np.asarray(Image.open(shot).convert("RGB")), -1, 0)
    dots = (red < 60) & (green > 110) & (green < 150) & (blue > 170)  # of the first group
    assert dots.sum() > 100
