"""conf/ and docs/configuration.md say what the options' docstrings and defaults say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from trainer.config.choices import options
from trainer.config.overrides import compose_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conf_writer", ROOT / "scripts" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_those_that_scripts_conf_writes(writer: ModuleType) -> None:
    wanted: dict[str, str] = writer.files()
    assert len(wanted) > 40
    for name, text in wanted.items():
        assert (ROOT / name).read_text() == text, f"{name}: scripts/conf writes it"
    for file in (ROOT / "conf").rglob("*.yaml"):
        if file.read_text().startswith(writer.MADE):
            assert file.relative_to(ROOT).as_posix() in wanted, "no option stands behind it"


def test_a_recipe_comes_after_the_runs_own_defaults() -> None:
    assert compose_run(["experiment=linear_regression_cosine"]).config.epochs == 50
    assert "warmup_cosine" in options("scheduler")
