"""The README's example runs, and its commands say what the program knows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from trainer.arguments import compose_run, jobs, parse, quoted

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_example_of_a_users_own_loop_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    check = "\nassert optimizer.param_groups[0]['lr'] == schedule.get_last_lr()[0] == 0.0\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example + check],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_composes() -> None:
    lines = re.findall(
        r"^(?:\.venv/bin/)?python -m trainer(?:\.preview)? ?(.*)$", TEXT, re.MULTILINE
    )
    assert len(lines) >= 9
    for line in lines:
        words = shlex.split(line.partition("   #")[0])
        if any(word.startswith(("resume=", "--help")) for word in words):
            continue
        overrides = [word for word in words if "=" in word and not word.startswith("-")]
        for job in jobs(parse([quoted(word) for word in overrides])):
            compose_run(job).config.resolve_schedule()


def test_every_option_is_in_the_table() -> None:
    from trainer.schedules.options import OPTIONS

    table = TEXT[TEXT.index("| option |") : TEXT.index("Lengths are epochs")]
    for name in OPTIONS:
        assert f"`{name}`" in table or name == "warmup"
