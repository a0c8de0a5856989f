"""Hydra's launchers and sweepers as a sweep needs them: installed, and fitted to the machine."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from trainer.cli.launch import Launch
from trainer.config.choices import options
from trainer.config.fields import Config

# What comes with the extra `sweep`: option, and the module that must be there.
PLUGINS = {
    ("hydra/launcher", "joblib"): "hydra_plugins.hydra_joblib_launcher",
    ("hydra/launcher", "submitit_local"): "hydra_plugins.hydra_submitit_launcher",
    ("hydra/launcher", "submitit_slurm"): "hydra_plugins.hydra_submitit_launcher",
    ("hydra/sweeper", "optuna"): "hydra_plugins.hydra_optuna_sweeper",
}
# A run can be stopped and resumed at any step, so a job may be long and be requeued often.
DEFAULTS = {
    "submitit_local": {"timeout_min": 1440},
    "submitit_slurm": {"timeout_min": 1440, "max_num_timeout": 100},
}
LOCAL = ("joblib", "submitit_local")  # their jobs end when the sweep is stopped


@dataclass(frozen=True, slots=True)
class JobLaunch:
    """How the jobs of a sweep are started.

    Attributes:
        launcher: Hydra's name of what starts them, `basic` for one after the other.
        at_once: Jobs side by side.
        threads: CPU threads of each; None: left alone.
        gpus: GPUs that are dealt out, a name each; empty: none, or left alone.
        arguments: Overrides that say so to Hydra.
    """

    launcher: str = "basic"
    at_once: int = 1
    threads: int | None = None
    gpus: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def check_installed(overrides: Sequence[Override]) -> None:
    """Raises ValueError, naming the extra, for a launcher or sweeper that is not installed."""
    for override in overrides:
        group, option = override.key_or_group, str(override.value())
        if group == "search" and option in options("search"):
            group, option = "hydra/sweeper", "optuna"  # what all of them are for
        module = PLUGINS.get((group, option))
        if module is not None and not _installed(module):
            raise ValueError(
                f"{override.input_line}: needs the extra `sweep`: pip install "
                "'lr-trainer[sweep]' (in a checkout: pip install -e '.[sweep]')"
            )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def fitted(
    hydra: Any, given_keys: Sequence[str], configs: Sequence[Config], search: bool
) -> JobLaunch:
    """Launcher settings that use the machine without overloading it, where the user left them open.

    Args:
        hydra: Hydra's own configuration of a job.
        given_keys: Keys that the user set.
        configs: The jobs; the base of a search.
        search: Whether the jobs are chosen as it goes.

    Raises:
        ValueError: If more jobs are asked for side by side than the machine carries.
    """
    launcher = str(hydra.runtime.choices["hydra/launcher"])
    defaults = {f"hydra.launcher.{k}": v for k, v in DEFAULTS.get(launcher, {}).items()}
    arguments = [f"{key}={value}" for key, value in defaults.items() if key not in given_keys]
    if launcher != "basic" and Launch.from_environment().processes > 1:
        raise ValueError(
            f"hydra/launcher={launcher}: starts processes of its own; leave out torchrun or -m"
        )
    if launcher not in LOCAL:
        return JobLaunch(launcher, arguments=tuple(arguments))
    cores, gpus = _cores(), _gpus(configs)
    most = len(gpus) or cores
    jobs = int(hydra.sweeper.n_jobs) if search else len(configs)
    key = "hydra.launcher.n_jobs" if launcher == "joblib" else "hydra.sweeper.max_batch_size"
    if search and launcher == "submitit_local":
        key = "hydra.sweeper.n_jobs"
    asked = _asked(hydra, key) if key in given_keys else None
    limit = max(cores, len(gpus))
    if asked is not None and asked > limit:
        raise ValueError(
            f"{key}={asked}: this machine has {cores} cores and {len(gpus)} GPUs to give to jobs; "
            f"at most {limit} run at once"
        )
    at_once = min(asked or most, max(jobs, 1))
    threads = max(1, cores // at_once)
    if (wish := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        threads = min(threads, max(1, int(wish)))
    arguments.append(f"{key}={at_once}")
    if gpus and launcher == "submitit_local":  # it hides the others
        arguments.append(f"hydra.launcher.gpus_per_node={len(gpus)}")
    return JobLaunch(launcher, at_once, threads, gpus, tuple(arguments))


def _asked(hydra: Any, key: str) -> int | None:
    group, name = key.split(".")[1:]
    value = getattr(hydra, group).get(name)
    return int(value) if value is not None and int(value) > 0 else None  # -1: all


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus(configs: Sequence[Config]) -> tuple[str, ...]:
    """The GPUs of this machine, if every job takes whichever it is given."""
    if any(config.device not in ("auto", "cuda") for config in configs):
        return ()
    import torch  # takes seconds, and the checks before it have imported it

    count = torch.cuda.device_count()  # less than the variable names where a name is no GPU
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if visible is None else visible.split(",")
    return tuple(name.strip() for name in names)[:count]
