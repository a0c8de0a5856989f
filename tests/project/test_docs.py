"""Every command, example, key and link of README.md and docs/ is tried, or says here why not."""

import contextlib
import dataclasses
import functools
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pages
import pytest
import torch
from hydra.core.override_parser.types import Override
from pages import PAGES, ROOT, Command
from PIL import Image
from processes import TINY, train
from torch.optim.optimizer import register_optimizer_step_pre_hook

from trainer import __main__ as train_command
from trainer import checkpoints, find_lr, preview
from trainer.__main__ import main as trainer_main
from trainer.config.choices import GROUP_NAMES
from trainer.config.fields import Config
from trainer.config.overrides import compose_run, jobs, parse
from trainer.config.quoting import quoted
from trainer.inference.arguments import use_values
from trainer.inference.which_checkpoint import resolve
from trainer.schedules.options import OPTIONS
from trainer.sweep import __main__, launchers, search_options
from trainer.sweep.dry_run import shown
from trainer.sweep.plan import planned
from trainer.training.start import Resume

COMMANDS = pages.commands()
RUN = re.compile(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d|(?:first|second)/run")
SWEEP = re.compile(r"(?<!dir=)outputs/sweeps/[\w-]+")  # not where one is to go
DATES = re.compile(r"outputs/\d{4}-\d\d-\d\d(?![/\d-])")
# What is not run here, by how it begins, and who does run it.
NOT_RUN = {
    ". .venv/bin/activate": "the shell's",
    "pip": "there may be no network; the extras that it names are looked up",
    "sbatch": "there is no SLURM; what it starts is read",
    "torchrun": "test_launcher and test_distributed start it",
    "tensorboard": "a server; test_sweep reads the event files with TensorBoard's own reader",
    "scripts/quickstart": "test_the_quickstart_ends_in_a_trained_model does",
    "scripts/test": "it is what runs this",
    "scripts/": "minutes to hours of training; their flags are looked up",
    "python scripts/": "minutes of measuring or drawing; their arguments are parsed",
    "python tests/": "test_breaks runs it",
    "python -m pytest": "a part of the suite; its files are looked up",
    "python -c": "a yardstick",
    "python -X importtime": "test_layout looks at what is imported",
}
REFUSED = ["epochs=0"]  # the one command that is there as a mistake


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two short runs."""
    folder = tmp_path_factory.mktemp("made")
    train([*TINY, "epochs=2", "-m", "seed=0,1", "hydra.sweep.dir=sweep"], folder)
    return folder / "sweep"


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes, in the current folder, the folders and files that a command speaks of."""
    monkeypatch.chdir(tmp_path)

    def put(text: str) -> None:
        for name in {*RUN.findall(text)}:
            shutil.copytree(made / "0", name)
            for step in re.findall(rf"{name}/checkpoints/(step_\d+\.pt)", text):
                newest = max(Path(name, "checkpoints").glob("step_*.pt"))
                shutil.copy(newest, Path(name, "checkpoints", step))
        for name in {*SWEEP.findall(text)}:
            shutil.copytree(made, name)
        for name in {*DATES.findall(text)}:
            shutil.copytree(made / "0", Path(name, "10-00-00"))
            shutil.copytree(made / "1", Path(name, "11-00-00"))
        for name in ("cat.jpg", "dog.png", "photos/3.png", "more/a/b.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), "teal").save(name)

    return put


def overrides_of(words: list[str]) -> list[str]:
    return [quoted(word) for word in words if "=" in word and not word.startswith("-")]


def check_flags(module: str, words: list[str]) -> None:
    """Each `--flag` is one that the command's help names."""
    shown = help_of(module)
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{word.partition('=')[0]}\b", shown), f"{module} has no {word}"


@functools.cache
def help_of(module: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        importlib.import_module(module).main(["--help"])
    return said.getvalue()


def check_training(words: list[str]) -> None:
    if "--help" in words or "--cfg" in words:
        assert trainer_main(words) == 0
        return
    overrides = parse([quoted(word) for word in words if word != "-m"])
    named = [override.key_or_group for override in overrides]
    if "resume" in named and "resume=auto" not in words:
        with contextlib.ExitStack() as locks:
            assert isinstance(train_command.begin(words, locks), Resume)
        return
    if words == REFUSED:
        with pytest.raises(ValueError, match="epochs=0: must be at least 1"):
            compose_run(words)
        return
    if "-m" not in words:
        composed = compose_run([quoted(word) for word in words]).config
        composed.resolve_schedule()
        assert composed.init is None or Path(composed.init).exists()
        return
    skip_unless_installed(overrides)
    planned([], overrides)


def skip_unless_installed(overrides: list[Override]) -> None:
    try:
        launchers.check_installed(overrides)
    except ValueError as error:
        pytest.skip(str(error))


def check_script(script: str, words: list[str]) -> None:
    file = ROOT / script
    assert os.access(file, os.X_OK) or file.suffix == ".py", f"{script} is not there"
    text = "".join(path.read_text() for path in (file, file.with_suffix(".py")) if path.exists())
    if script == "scripts/bench.py":
        sys.path.insert(0, str(ROOT / "scripts"))
        bench = importlib.import_module("bench")
        if "--help" not in words:
            asked = bench.parser().parse_intermixed_args(words)
            assert {*asked.suites} <= {*bench.SUITES}
        return
    for word in words:
        assert not word.startswith("-") or word in text, f"{script} does not know {word}"


def check_torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    if "-m" not in words:  # `torchrun --max-restarts=3`: flags alone
        words = [*words, "-m", "trainer"]
    asked = get_args_parser().parse_args(words)
    assert asked.module
    assert asked.training_script == "trainer"
    config = compose_run([quoted(word) for word in asked.training_script_args]).config
    config.resolve_schedule()
    processes = int(asked.nproc_per_node) * int(asked.nnodes.split(":")[-1])
    assert config.batch_size % processes == 0


def check_module(module: str, words: list[str]) -> None:
    """`python -m trainer.<something>`: run where that takes a second, else read."""
    if not words:  # named in a text
        assert help_of(module)
    elif module == "trainer.preview":
        values = overrides_of(words)
        if values:
            assert preview.main(words) == 0
        check_flags(module, words)
    elif module == "trainer.checkpoints":
        assert words[0] in ("inspect", "diff", "verify")
        assert len(words) == 1 or checkpoints.main(words) == 0
    elif module == "trainer.sweep":
        if words[0] == "plan":
            assert "nothing was run" in shown([*words[1:], *TINY])[-1]
            return
        assert __main__.main(["status", *words[1:]]) == 0
        assert words[0] in ("status", "retry")
    elif module == "trainer.report":
        check_flags("trainer.report.__main__", words)
        assert all(Path(word).exists() for word in words if word.startswith(("outputs", "first")))
    elif module == "trainer.verify_resume":
        compose_run(overrides_of(words)).config.resolve_schedule()
        check_flags(module, words)
    elif module == "trainer.find_lr":
        find_lr.configured([*overrides_of(words), "data=synthetic"])
        check_flags(module, words)
    elif module in ("trainer.evaluate", "trainer.predict", "trainer.export"):
        check_flags(module, words)
        use_values([word for word in words if "=" in word])
        assert resolve(Path(words[0]), None)
    else:
        pytest.fail(f"nobody knows the command {module}")


def check(words: list[str]) -> None:
    """That a command is understood: names, keys, values, flags, files."""
    first, rest = words[0], words[1:]
    if first == "." and rest == [".venv/bin/activate"]:
        return
    if first == "python" and rest[:1] == ["-m"]:
        if rest[1] == "trainer":
            check_training(rest[2:])
        elif rest[1] == "pytest":
            assert all((ROOT / word).exists() for word in rest if word.startswith("tests/"))
        else:
            check_module(rest[1], rest[2:])
    elif first == "python" and rest[0].startswith(("scripts/", "tests/")):
        check_script(rest[0], rest[1:])
    elif first == "python" and rest[0] in ("-c", "-X"):
        assert rest[1] in ("import torch", "importtime")
    elif first.startswith("scripts/"):
        check_script(first, rest)
    elif first == "torchrun":
        check_torchrun(rest)
    elif first == "sbatch":
        wrapped = re.sub(r"\$\([^)]*\)", "node1", rest[rest.index("--wrap") + 1])
        check(shlex.split(wrapped)[1:])
    elif first == "tensorboard":
        assert rest[0] == "--logdir"
    elif first == "pip":
        known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        assert {*re.findall(r"\[(\w+)\]", " ".join(rest))} <= {*known}
    else:
        pytest.fail(f"nobody knows the command {shlex.join(words)}")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text[:90])
def test_the_command_is_understood(command: Command, place: Callable[[str], None]) -> None:
    place(command.text)
    check(command.words)


def really_run() -> list[Command]:
    """The commands that train or use a model; the others were run by the test above."""
    modules = ("evaluate", "predict", "export", "find_lr", "verify_resume", "report", "sweep retry")
    kinds = ("python -m trainer ", *(f"python -m trainer.{name} " for name in modules))
    found: list[Command] = []
    for command in COMMANDS:
        text = re.sub(r"^(\w+=\S+ )+|^\.venv/bin/", "", command.text) + " "
        known = text.startswith(("python -m trainer.", *NOT_RUN))
        assert known or text.startswith("python -m trainer "), f"{text}: nobody says who runs it"
        if text.startswith(kinds) and "--help" not in text and "submitit" not in text:
            found.append(command)
    return found


def smaller(words: list[str]) -> list[str]:
    """What is put behind a training's words so that it takes a second or two."""
    if any(re.match("resume=(?!auto)", word) for word in words) or "--cfg" in words:
        return []
    if words == REFUSED:
        return []
    ramp = any(word.startswith("experiment=vgg_warmup") for word in words)  # of five epochs
    more = [f"epochs={7 if ramp else 2}", "device=cpu", "log.progress=none"]
    if any(word.startswith("experiment=linear") for word in words):
        return more
    if not any(word.startswith("data=") for word in words):
        more.append("data=synthetic")
    size = "2560" if "data.train_size=2560" in words else "60"
    more += [f"data.train_images={size}", "data.test_images=20"]
    more += [] if "--kills" in words and size != "60" else ["batch_size=20"]
    return more + ["search.n_trials=2"] * ("search=lr" in words)


@pytest.mark.slow
@pytest.mark.parametrize("command", really_run(), ids=lambda command: command.text[:90])
def test_the_command_does_it(
    command: Command, place: Callable[[str], None], tmp_path: Path
) -> None:
    place(command.text)
    check(command.words)  # skips what is not installed
    _, _, module, *words = command.words
    if module == "trainer":
        train([*words, *smaller(words)], tmp_path, expect=2 if words == REFUSED else 0)
        return
    if module in ("trainer.verify_resume", "trainer.find_lr"):
        words += smaller(words)
    more = {"trainer.verify_resume": ["--kills", "2"], "trainer.find_lr": ["--updates", "40"]}
    words += more.get(module, [])
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_quickstart_ends_in_a_trained_model(tmp_path: Path) -> None:
    for name in ("trainer", "conf", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    # An environment in which everything is installed already, as the script notes it down.
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    checksum = subprocess.check_output(["cksum"], input=(ROOT / "pyproject.toml").read_bytes())
    (tmp_path / ".venv" / f".installed-{checksum.decode().replace(' ', '').strip()}-run").touch()

    def run(words: list[str]) -> str:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    few = ["data=synthetic", "data.train_images=60", "data.test_images=20", "batch_size=20"]
    said = run(["scripts/quickstart", *few, "device=cpu"])
    assert "installing" not in said
    assert "epoch 3/3" in said
    (picture,) = re.findall(r"^LR picture +(.*)$", said, re.MULTILINE)
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    following = said[said.rindex("\nnext\n") :].splitlines()[2:]
    assert [line.split()[0] for line in following] == [
        *[".venv/bin/python"] * 2,
        ".venv/bin/tensorboard",
    ]
    assert "epoch 5/5" in run(shlex.split(following[0]))
    check(["python", *shlex.split(following[1])[1:]])
    if "CIFAR10_ROOT" in os.environ:  # found where it is, and not taken for missing
        tiny = ["data.train_size=60", "batch_size=20", "device=cpu", "epochs=1"]
        assert "not at hand" not in run(["scripts/quickstart", *tiny])


@contextlib.contextmanager
def seen_lrs() -> Iterator[list[float]]:
    """The LR of each step that any optimizer makes meanwhile."""
    seen: list[float] = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: seen.append(float(optimizer.param_groups[0]["lr"]))
    )
    try:
        yield seen
    finally:
        hook.remove()


def run_python(text: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "example"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other side's
        exec(compile(text, "example", "exec"), space)
    return space


EXAMPLES = [
    block
    for block in pages.blocks()
    if block.language == "python" and block.page.name not in ("extend.md", "use.md")
]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.page.name)
def test_the_example_runs(block: pages.Block) -> None:
    # test_extend and test_use run those of their pages
    if "import lightning" in block.text:
        pytest.skip("test_lightning_follows_the_schedule runs it")
    space = run_python(block.text)
    schedule, optimizer = space["schedule"], space["optimizer"]
    assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]


DIFFS = [block for block in pages.blocks() if block.language == "diff"]


@pytest.mark.parametrize("block", DIFFS, ids=["torch", "transformers"])
def test_both_sides_of_a_comparison_have_the_same_lrs(block: pages.Block) -> None:
    lines = block.text.splitlines()
    sides: list[list[float]] = []
    for sign in "-+":
        text = "\n".join(line[1:] for line in lines if line[:1] in ("", " ", sign))
        with seen_lrs() as seen:
            run_python(text)
        sides.append(seen)
    theirs, ours = sides
    assert len(ours) == 500
    assert max(ours) > 0
    assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-15)


@pytest.mark.slow
def test_lightning_follows_the_schedule(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    (block,) = [b for b in pages.blocks() if b.language == "python" and "lightning" in b.text]
    from trainer.schedules import Cosine, Warmup

    with warnings.catch_warnings(), seen_lrs() as seen:
        warnings.simplefilter("ignore")
        net = run_python(block.text)["Net"]()
        images = torch.utils.data.TensorDataset(torch.randn(64, 10))
        quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        fit = lightning.Trainer(
            max_epochs=3, accelerator="cpu", default_root_dir=tmp_path,
            enable_model_summary=False, **quiet,
        )  # fmt: skip
        fit.fit(net, torch.utils.data.DataLoader(images, batch_size=8))
    curve = Warmup(warmup=1, after=Cosine()).resolve(8, 24)
    assert seen == [curve.lr(k, 0.1) for k in range(24)]


def key_spans() -> list[tuple[str, str]]:
    """Code within the text that is nothing but `key=value`, several of them or one."""
    first = {*GROUP_NAMES, "checkpoint", "log", "early_stopping"}
    first |= {field.name for field in dataclasses.fields(Config)}
    found: dict[tuple[str, str], None] = {}
    for page in PAGES:
        if page.name == "extend.md":
            continue
        for span in pages.spans(page):
            try:
                words = shlex.split(span)
            except ValueError:
                continue
            whole = [re.fullmatch(r"([a-z_]+)((?:\.\w+)*)=([^<]+)", word) for word in words]
            if words and all(whole) and all(m and (m[1] in first or m[2]) for m in whole):
                found[(page.name, span)] = None
    return list(found)


@pytest.mark.parametrize(("page", "span"), key_spans())
def test_the_keys_in_the_text_are_real(page: str, span: str) -> None:
    words = [quoted(w) for w in shlex.split(span) if not w.startswith(("resume=", "data.root="))]
    if any(re.search(r"=.*(\bN\b|\.\.\.|\|)", word) for word in words):
        pytest.skip("stands for several values")
    overrides = parse(words)
    skip_unless_installed(overrides)
    if any(search_options.concerns(override) for override in overrides):
        assert search_options.asked_for([*overrides, *parse(["optimizer.lr=0.1,0.2"])])
        return
    for job in jobs(overrides):
        compose_run(job)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in pages.links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in pages.anchors(file), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    linked = {link.partition("#")[0] for link in pages.links(ROOT / "docs" / "README.md")}
    assert {page.name for page in PAGES[1:]} - {"README.md"} <= linked


def test_every_option_is_in_the_readmes_table() -> None:
    text = PAGES[0].read_text()
    table = text[text.index("| option |") : text.index("Lengths are epochs")]
    for name in OPTIONS:
        assert f"`{name}`" in table or name == "warmup"


def test_every_schedule_has_its_formula_picture_and_use() -> None:
    rows = re.findall(
        r"^\| !\[(\w+)\]\(schedules/\1\.png\) \| \*\*`([\w<>]+)`\*\*.*<br>(.*) \| (.{20,}) \|$",
        (ROOT / "docs" / "schedules.md").read_text(),
        re.MULTILINE,
    )
    shown = {"warmup" if name == "warmup_<option>" else name: cell for _, name, cell, _ in rows}
    assert shown.keys() == OPTIONS.keys()
    for name, cell in shown.items():
        fields = {field.name: field for field in dataclasses.fields(OPTIONS[name])}
        for key, value in re.findall(r"\b([a-z_0]+)=([^ `;,]*)", cell):
            assert key in fields, f"{name} has no {key}"
            default = fields[key].default
            if re.fullmatch(r"[\d.e-]+", value) and isinstance(default, int | float):
                assert float(value) == default, f"{name}.{key} is {default}"
