"""The page of a report: self-contained, harmless, and readable on a desktop and on a phone."""

import io
import json
import re
import shlex
from collections.abc import Generator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import chromium
import pytest
from run_folders import write_run, write_seeds

from trainer.report import figures
from trainer.report.analysis import analyse
from trainer.report.read import read_run
from trainer.report.write import report

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
VOID = ("meta", "img", "br")
MOST_BYTES = 5_000_000
DRAWN = "[...document.querySelectorAll('.chart')].every(e => e.querySelector('.main-svg'))"


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
        more = {"optimizer.lr": lr, "name": f"{number} {EVIL} $\\frac{{$ a rather long name \u4e2d"}
        finals = [0.88 - 0.004 * number + 0.001 * ((seed * 7 + number) % 3) for seed in range(3)]
        lrs = [lr * (1 - step / 20) for step in range(20)]
        command = {"command": ["python", "-m", "trainer", f"optimizer.lr={lr}", f"name={EVIL}"]}
        write_seeds(
            folder / str(number), finals, scheduler="a", settings=more, lrs=lrs, summary=command
        )
    error = {"error": f"{EVIL} & no space left on the device " + "x" * 300}
    more = {"name": EVIL, "epochs": 2}
    write_run(folder / "13 #=%", [0.2], status="failed", summary=error, settings=more)
    return report([folder]).folder / "report.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Generator[chromium.Tab]:
    """One browser for all tests that touch a page."""
    with chromium.tab(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


def show(tab: chromium.Tab, page: Path, **how: int | bool) -> None:
    """Opens a page, and waits until its charts are drawn."""
    tab.seen.clear()
    tab.open(page, **{"width": 1280, **how})
    tab.wait(DRAWN)


def chart(name: str) -> str:
    return f"document.querySelector('[data-chart={name}]')"


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    elements = Elements(text)
    assert not elements.of("link", "iframe", "object", "embed", "base", "form", "img")
    assert not any("src" in script for script in elements.of("script"))
    assert not elements.open
    css = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert css
    assert "@import" not in css[1]
    assert "url(" not in css[1]
    assert len(text.encode()) < MOST_BYTES


@pytest.mark.slow
def test_a_page_of_many_long_runs_stays_small(tmp_path: Path) -> None:
    for number in range(24):
        for seed in range(2):
            accuracies = [0.9 - 0.8 / (epoch + 1.1) for epoch in range(200)]
            lrs = [0.1 * (1 - step / 2000) / (number + 1.7) for step in range(2000)]
            more = {"optimizer.lr": 0.01 * number}
            place = tmp_path / f"{number}_{seed}"
            write_run(place, accuracies, seed=seed, settings=more, lrs=lrs)
    assert (report([tmp_path]).folder / "report.html").stat().st_size < MOST_BYTES


def test_names_and_errors_come_out_as_text(page: Path) -> None:
    text = page.read_text()
    assert "<script>document" not in text
    assert "&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;" in text
    elements = Elements(text)
    assert len(elements.of("script")) == 3
    assert not [a for _, attributes in elements.found for a in attributes if a[:2] == "on"]


def test_every_chart_says_what_it_shows(page: Path) -> None:
    elements = Elements(page.read_text())
    charts = [a for a in elements.of("div") if a.get("class") == "chart"]
    assert [a["data-chart"] for a in charts] == ["final", "curves", "gap"]
    assert all(len(a["aria-label"] or "") > 40 and a["role"] == "img" for a in charts)
    tables = [a for a in elements.of("div") if a.get("class") == "scroll"]
    assert all(a["role"] == "region" and a["tabindex"] == "0" and a["aria-label"] for a in tables)
    assert len(tables) == len(elements.of("table")) >= 6


def test_every_run_links_to_its_folder_and_shows_its_command(page: Path) -> None:
    links = [a["href"] or "" for a in Elements(page.read_text()).of("a")]
    folders = {(page.parent / unquote(link)).resolve() for link in links}
    assert len(folders) == 40
    assert all(link.startswith("../") for link in links)  # so that the sweep can be moved
    assert all((folder / "summary.json").exists() for folder in folders)
    command = shlex.join(["python", "-m", "trainer", "optimizer.lr=0.01", "name=X"])[:-1]
    assert page.read_text().count(f"<code>{command}".replace("name=", "")) == 3


def test_a_picture_takes_no_label_for_a_formula_or_for_none(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], settings={"name": "_first $\\frac{$"})
    write_run(tmp_path / "1", [0.7], settings={"name": "second", "optimizer.lr": 0.1})
    runs = [read_run(tmp_path / number, number) for number in ("0", "1")]
    figure = figures.draw(analyse(runs, 0.8))["curves"]
    figure.savefig(io.BytesIO())
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["_first \\$\\frac{\\$", "second"]


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


def test_names_do_not_run_where_scripts_may(page: Path, tmp_path: Path) -> None:
    # The copy that is measured lets any script run: only the escaping stands between.
    seen = chromium.measure(page, tmp_path / "m", width=390)
    assert "owned" not in seen["title"].replace("document.title='owned'", "")
    assert seen["requests"] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_draws_its_charts_under_its_own_policy(
    tab: chromium.Tab, page: Path, width: int
) -> None:
    show(tab, page, width=width)
    assert tab.run(f"{chart('final')}.querySelectorAll('.point').length") == 13 * 4  # 13 means
    assert tab.run("document.title").startswith("0 <script>document.title='owned'")
    addresses = [
        event["params"]["request"]["url"]
        for event in tab.seen
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert addresses == [page.resolve().as_uri()]
    wrong = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in tab.seen if event["method"] in wrong] == []
    assert tab.run("document.documentElement.scrollWidth") <= width


def test_hovering_shows_the_value_of_a_point(tab: chromium.Tab, page: Path) -> None:
    show(tab, page)
    point = tab.find(f"{chart('final')}.querySelector('.point')")
    tab.mouse("mouseMoved", point[0] - 3, point[1])
    tab.mouse("mouseMoved", *point)
    tab.wait(f"{chart('final')}.querySelector('.hovertext')")
    text = tab.run(f"{chart('final')}.querySelector('.hovertext').textContent")
    assert re.search(r"seed [012]: 8[78]", text)
    assert "<script>document" in text


def test_a_click_on_the_legend_hides_the_curves_of_a_group(tab: chromium.Tab, page: Path) -> None:
    show(tab, page)
    lines = f"{chart('curves')}.querySelectorAll('.scatterlayer .js-line').length"
    before = tab.run(lines)
    tab.click(f"{chart('curves')}.querySelector('.legendtoggle')")
    tab.wait(f"{lines} < {before}")
    hidden = f"{chart('curves')}._fullData.filter(t => t.visible === 'legendonly')"
    assert tab.run(f"[...new Set({hidden}.map(t => t.legendgroup))].length") == 1
    assert tab.run(f"{hidden}.length") >= 4  # a line in each panel
    tab.choose_next("document.querySelector('[data-axis=x]')")
    tab.wait(f"{chart('curves')}._fullLayout.xaxis.title.text === 'completed steps'")
    assert tab.run(f"{hidden}.length") >= 4  # and stays hidden


def test_axes_are_chosen(tab: chromium.Tab, page: Path) -> None:
    show(tab, page)
    axes = f"{chart('curves')}._fullLayout"
    for axis in ("yaxis", "yaxis2", "yaxis3", "yaxis4"):
        assert tab.run(f"{axes}.{axis}.type") == "linear"
    assert tab.run(f"{axes}.annotations.map(a => a.text)") == [
        "<b>learning rate</b>",
        "<b>train loss</b>",
        "<b>test loss</b>",
        "<b>test accuracy (%)</b>",
    ]
    ends = f"Math.max(...{chart('curves')}._fullData.flatMap(t => t.x))"
    for name, end in (("epoch", 2), ("step", 20), ("time", 4 / 60)):
        assert tab.run("document.querySelector('[data-axis=x]').value") == name
        tab.wait(f"Math.abs({ends} - {end}) < 1e-6")
        tab.choose_next("document.querySelector('[data-axis=x]')")
    tab.choose_next("document.querySelector('[data-axis=lr]')")
    tab.wait(f"{axes}.yaxis.type === 'log'")
    assert tab.run(f"{axes}.yaxis2.type") == "linear"
    tab.choose_next("document.querySelector('[data-axis=loss]')")
    tab.wait(f"{axes}.yaxis2.type === 'log'")
    assert tab.run(f"{axes}.yaxis3.type") == "log"
    assert tab.run(f"{axes}.yaxis4.type") == "linear"


def test_dragging_zooms(tab: chromium.Tab, page: Path) -> None:
    show(tab, page)
    span = f"(([a, b]) => b - a)({chart('curves')}._fullLayout.xaxis.range)"
    before = tab.run(span)
    x, y = tab.find(f"{chart('curves')}.querySelector('.xy4 .nsewdrag, .nsewdrag')")
    tab.drag((x - 60, y), (x + 60, y))
    tab.wait(f"{span} < {before} / 2")


def test_tables_sort_by_numbers_and_by_text(tab: chromium.Tab, page: Path) -> None:
    show(tab, page)
    table = "document.querySelector('table')"
    cells = f"[...{table}.tBodies[0].rows].map(r => r.cells[{{}}].textContent)"
    best = cells.format(2)
    numbers = [float(text.split()[0]) for text in tab.run(best)[:13]]
    assert numbers == sorted(numbers, reverse=True)
    for reverse in (True, False):
        tab.click(f"{table}.tHead.rows[0].cells[2].firstElementChild")
        numbers = [float(text.split()[0]) for text in tab.run(best)[:13]]
        assert numbers == sorted(numbers, reverse=reverse)
    assert tab.run(best)[13] == "\N{EN DASH}"  # what is not known stays below
    tab.click(f"{table}.tHead.rows[0].cells[0].firstElementChild")
    labels = tab.run(cells.format(0))
    assert [label.split()[0] for label in labels[:3]] == ["12", "11", "10"]
    assert tab.run(f"{table}.tHead.rows[0].cells[0].getAttribute('aria-sort')") == "descending"


def test_a_search_is_drawn(tab: chromium.Tab, tmp_path: Path) -> None:
    place = tmp_path / "s"
    place.mkdir()
    (place / "sweep.json").write_text(json.dumps({"search": {"direction": "maximize"}}))
    for number in range(12):
        more = {"optimizer.lr": 10 ** (-number / 4)}
        write_run(place / str(number), [0.5 + number % 5 / 10], settings=more)
    show(tab, report([place]).folder / "report.html")
    assert tab.run(f"{chart('search')}.querySelectorAll('.point').length") == 24
    assert tab.run(f"{chart('search')}._fullLayout.xaxis2.type") == "log"


def test_the_page_and_its_charts_follow_the_dark_scheme(tab: chromium.Tab, page: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    text = f"{chart('curves')}._fullLayout.font.color"
    for dark, expected in (
        (False, "rgb(245, 246, 248) #1c2430"),
        (True, "rgb(18, 22, 28) #e8ecf1"),
    ):
        show(tab, page, dark=dark)
        assert tab.run(f"{background} + ' ' + {text}") == expected
