"""The built wheel works from any folder, with the configuration inside."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_wheel_carries_the_configuration_and_runs_anywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"  # building leaves folders behind, so not in the checkout
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "trainer", "conf"):
        (source / name).symlink_to(ROOT / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("lr_trainer-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = {p.relative_to(ROOT / "conf").as_posix() for p in (ROOT / "conf").rglob("*.yaml")}
    assert {f"trainer/conf/{name}" for name in files} <= set(names)
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "trainer").rglob("*.py")}
    assert modules <= set(names)
    assert "trainer/py.typed" in names
    templates = {f"trainer/report/{p.name}" for p in (ROOT / "trainer/report").glob("*.[!p]*")}
    assert "trainer/report/page.html.j2" in templates
    assert templates <= set(names)
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "trainer.preview", "experiment=vgg_steplr"],
        cwd=elsewhere,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert "11,700 steps" in done.stdout, done.stderr
    where = subprocess.run(
        [sys.executable, "-c", "import trainer; print(trainer.__file__)"],
        cwd=elsewhere,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(site))
