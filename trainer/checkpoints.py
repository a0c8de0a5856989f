"""`python -m trainer.checkpoints`: what they hold, how two differ, whether they are whole."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # nothing is written

from pathlib import Path

from trainer.cli.command import Parser, framed, leave, show

EXAMPLES = """\
examples:
  python -m trainer.checkpoints inspect outputs/2026-11-21/10-00-00
  python -m trainer.checkpoints diff one/checkpoints/last.pt other/checkpoints/last.pt
  python -m trainer.checkpoints verify outputs/*/*

A folder stands for its newest checkpoint; verify looks at all that it has.
exit code: 0 whole and, for diff, equal bit for bit; 1 damaged, missing or different"""


@framed
def main(arguments: list[str]) -> int:
    """Prints what was asked for; returns the exit code."""
    parser = Parser(
        "checkpoints",
        "inspect|diff|verify FILE... [--tensors]",
        "Looks into checkpoints; changes nothing and runs nothing that is in them.",
        EXAMPLES,
    )
    parser.add_argument("--tensors", action="store_true", help="inspect: list every tensor")
    flags = parser.read(arguments).flags
    from trainer.cli import inspection  # torch takes seconds

    match [flags.words[:1], [Path(word) for word in flags.words[1:]]]:
        case [["inspect"], [_, *_] as places]:
            lines, code = inspection.inspected(places, tensors=flags.tensors), 0
        case [["diff"], [one, other]]:
            lines, code = inspection.diff(one, other)
        case [["verify"], [_, *_] as places]:
            lines, code = inspection.verify(places)
        case _:
            raise ValueError(
                "name inspect or verify and files, or diff and two files; --help shows the usage"
            )
    return max(code, show("\n".join(lines)))


if __name__ == "__main__":
    leave(main())
