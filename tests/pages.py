"""What README.md and docs/*.md say: their fenced blocks, their commands, their links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"(?:\w+=\S+ )*(?:(?:\.venv/bin/)?python\b|scripts/\w+|torchrun|tensorboard |pip |sbatch |\. )"
)
INLINE = re.compile(
    r"(?:\w+=\S+ )?(?:python -|python [a-z]+/|scripts/\w+( |$)|torchrun -|tensorboard -|pip )"
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language ("" if it has none), its text."""

    page: Path
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a page, without its comment; words that only stand for others are filled in."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(re.sub(r"^(\w+=\S+ )+|^\.venv/bin/", "", self.text))


def blocks() -> Iterator[Block]:
    for page in PAGES:
        found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        for language, text in found:
            yield Block(page, language, text)


def commands() -> list[Command]:
    """Every command, once: the lines of fenced blocks, and code within the text."""
    found: dict[str, Command] = {}
    for block in blocks():
        if block.language not in ("", "bash", "sh", "console"):
            continue
        lines = block.text.replace("\\\n", " ").splitlines()
        if block.language or COMMAND.match(lines[0]):
            for line in lines:
                if line.strip():
                    text = filled(line)
                    found.setdefault(text, Command(block.page.name, text))
    for page in PAGES:
        for span in spans(page):
            if INLINE.match(span):
                found.setdefault(filled(span), Command(page.name, filled(span)))
    # That page speaks of what it builds itself; test_extend does it literally.
    return [command for command in found.values() if command.page != "extend.md"]


def spans(page: Path) -> list[str]:
    """Code within the text of a page, its lines joined."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def filled(line: str) -> str:
    """A command with its placeholders filled in and its comment taken off."""
    line = re.sub(r"\s+#\s.*$", "", line.strip())
    for short, whole in (
        ("<run folder or checkpoint>", "outputs/2026-11-21/10-00-00"),
        ("<checkpoint>", "outputs/2026-11-21/10-00-00/checkpoints/last.pt"),
        ("outputs/.../", "outputs/2026-11-21/10-00-00/"),
        ("[--tensors]", "--tensors"),
        ("trainer key=value", "trainer epochs=3"),
    ):
        line = line.replace(short, whole)
    return re.sub(r"\s+", " ", line.removesuffix(" ..."))


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page point to, other sites left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in found if not target.startswith(("https://", "http://"))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return set(plain)
