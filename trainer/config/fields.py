"""A run's configuration: its dataclass, its cross-field checks, and how it is read."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from trainer.config.metrics import TASKS, Task
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions
from trainer.data import options as data_options
from trainer.models import options as model_options
from trainer.optimizers import options as optimizer_options
from trainer.options.marks import above, asked, at_least, check, marked, one_of, where, within
from trainer.options.ranges import require
from trainer.schedules import options as schedule_options
from trainer.schedules.durations import Duration
from trainer.schedules.horizon import CHOICES as HORIZON_CHOICES
from trainer.schedules.schedule import ResolvedSchedule, Schedule
from trainer.schedules.span import Span

HERE = Path(__file__).resolve().parent.parent
# In a wheel the configuration lies inside the package, in a checkout beside it.
CONF = HERE / "conf" if (HERE / "conf" / "config.yaml").exists() else HERE.parent / "conf"
GROUPS: dict[str, Mapping[str, type[Any]]] = {
    "data": data_options.OPTIONS,
    "model": model_options.OPTIONS,
    "optimizer": optimizer_options.OPTIONS,
    "scheduler": schedule_options.OPTIONS,
}
MOST_UPDATES = 10_000_000  # each one's LR is recorded


def _is_device(name: str) -> bool:
    return re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is not None


@dataclass(kw_only=True)
class Config:
    """One run.

    Attributes:
        name: A name for the run in reports; null: none.
        epochs: Passes over the training images.
        batch_size: Images per step, all processes together.
        accumulate: Micro-batches that a batch is split into; must divide it. Batch norm takes the
            statistics of each by itself.
        seed: Decides initial weights, order, crops and flips.
        device: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:N`.
        amp: `auto`, `none`, `bf16`, `fp16` (with GradScaler, CUDA only).
        engine: `graph` (each step is one CUDA graph), `eager`; `auto`: graph where it applies.
        deterministic: Only kernels that repeat bit for bit.
        clip_norm: Largest norm of the gradient; null: not clipped.
        loss: `cross_entropy` for classes, `mse` (mean squared error) for values.
        label_smoothing: Share of each label that is spread over all classes, in [0, 1).
        mixup: Blend each training image with another of its batch, by a share drawn from
            Beta(mixup, mixup) for each batch; 0: not. The published runs have 1 on CIFAR-10.
        ema: Decay of the moving average of the weights, in (0, 1), e.g. 0.999; what is evaluated,
            and kept as the best, is then the average. null: none.
        test_time_flip: Evaluate by the mean of the logits of each image and its mirror image.
        evaluate_every: Evaluate after every n epochs, and after the last.
        until: Stop there, a duration from the start, as if asked to: the run's length and schedule
            stay, and a resume goes on; null: at the end.
        resume: Run folder or checkpoint to go on from; `auto`: this folder's, if it has one.
        fork: Run folder or checkpoint to branch off from, with another schedule: `RUN` (its newest
            checkpoint), `RUN@10` (after 10 epochs), `RUN@3900steps`. Everything else is the run's.
        init: Checkpoint to take the initial weights from.
        on_horizon_change: What the schedule does if a resumed run gets another length.
        on_process_change: `continue` lets another number of processes go on with a run, which is
            not bit for bit; `error` refuses.
        plugins: Modules with options of your own, by their dotted names, e.g. `[mine.schedules]`.
        data: Data set and loader.
        model: Network.
        optimizer: Optimizer and parameter groups.
        scheduler: Learning-rate schedule.
        checkpoint: When to save a checkpoint.
        early_stopping: When to end before the last epoch.
        log: What to show.
    """

    name: str | None = where(None)
    epochs: int = asked(at_least(1, 30))
    batch_size: int = at_least(1, 128)
    accumulate: int = at_least(1, 1)
    seed: int = marked(0, "in 0..2^63-1", lambda seed: 0 <= seed < 2**63)
    device: str = where(marked("auto", "auto, cpu, cuda or cuda:N", _is_device))
    amp: str = asked(one_of(("auto", "none", "bf16", "fp16"), "auto"))
    engine: str = where(one_of(("auto", "eager", "graph"), "auto"))
    deterministic: bool = True
    clip_norm: float | None = above(0, None)
    loss: str = one_of(tuple(TASKS), "cross_entropy")
    label_smoothing: float = within(0, 1, 0.0, "[)")
    mixup: float = at_least(0, 0.0)
    ema: float | None = within(0, 1, None, "()")
    test_time_flip: bool = False
    evaluate_every: int = at_least(1, 1)
    until: Duration | None = where(None)
    resume: str | None = where(None)
    fork: str | None = where(None)
    init: str | None = asked(None)
    on_horizon_change: str = where(one_of(("error", *HORIZON_CHOICES), "error"))
    on_process_change: str = where(one_of(("error", "continue"), "error"))
    plugins: list[str] = where(field(default_factory=list[str]))
    data: data_options.DataOptions = MISSING
    model: model_options.ModelOptions = MISSING
    optimizer: optimizer_options.OptimizerOptions = MISSING
    scheduler: Schedule = MISSING
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    early_stopping: EarlyStoppingOptions = field(default_factory=EarlyStoppingOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def check(self) -> None:
        """Raises ValueError, naming the key, for the first value that cannot be."""
        check(self)
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate={self.accumulate}: must divide batch_size={self.batch_size}"
            )
        for key in GROUPS:
            getattr(self, key).check(key)
        for key in ("checkpoint", "early_stopping", "log"):
            check(getattr(self, key), key)
        self._check_task()
        monitor, names = self.checkpoint.monitor, self.metric_names()
        known = ", ".join(("auto", *names))
        require(monitor in ("auto", *names), "checkpoint.monitor", monitor, f"one of {known}")

    def _check_task(self) -> None:
        """Data, model and loss must be for the same task."""
        data, model = self.data.name, self.model.name
        classes = bool(self.data.classes())
        if classes != (self.loss == "cross_entropy"):
            raise ValueError(
                f"loss={self.loss}: data={data} has {'classes' if classes else 'values'}; set "
                f"loss={'cross_entropy' if classes else 'mse'}"
            )
        if self.model.takes != self.data.gives:
            raise ValueError(
                f"model={model}: does not fit data={data}; "
                + ("it takes no images" if classes else "model=linear does")
            )
        for key in ("label_smoothing", "mixup", "test_time_flip"):
            if getattr(self, key) and not classes:
                raise ValueError(f"{key}={getattr(self, key)}: is for images, not for data={data}")

    def task(self) -> Task:
        """What is learned."""
        return TASKS[self.loss]

    def split(self) -> str:
        """What is evaluated after an epoch: `val` if images were kept out for it, else `test`."""
        return "val" if self.data.val_size else "test"

    def metric_names(self) -> tuple[str, ...]:
        """The metrics that the run produces, the one that `auto` means first."""
        return self.task().metrics(self.split())

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of a metric is better."""
        return self.task().higher_is_better(metric)

    def monitored(self) -> str:
        """The metric that decides which weights are the best."""
        name = self.checkpoint.monitor
        return self.metric_names()[0] if name == "auto" else name

    def direction(self) -> str:
        """Which way the monitored metric is better: `maximize` or `minimize`."""
        return "maximize" if self.higher_is_better(self.monitored()) else "minimize"

    def steps_per_epoch(self) -> int:
        """Steps in an epoch.

        Raises:
            ValueError: If there are none.
        """
        images = self.data.training_images()
        whole, rest = divmod(images, self.batch_size)
        steps = whole if self.data.drop_last or not rest else whole + 1
        if steps == 0:
            raise ValueError(
                f"batch_size={self.batch_size}: is more than the {images} training "
                f"{self.task().examples}; lower "
                "it or set data.drop_last=false"
            )
        return steps

    def resolve_schedule(self) -> ResolvedSchedule:
        """The schedule over the whole run, as the preview shows it and a new run trains with it.

        Raises:
            ValueError: If it does not fit the run.
        """
        steps = self.steps_per_epoch()
        updates = self.epochs * steps
        if updates > MOST_UPDATES:
            raise ValueError(f"epochs={self.epochs}: is {updates} steps, more than {MOST_UPDATES}")
        self.until_step()
        self.kept_steps()
        resolved = self.scheduler.resolve(steps, updates)
        if (tracker := resolved.plateau) is not None:
            tracker.option.monitored(dict.fromkeys(self.metric_names(), 0.0), tracker.key)
        return resolved

    def until_step(self) -> int | None:
        """The completed steps that `until` stops at; None: the end.

        Raises:
            ValueError: If it is no duration of at least a step.
        """
        if self.until is None:
            return None
        return self.span().length(self.until, "until", least=1)

    def kept_steps(self) -> frozenset[int]:
        """The completed steps whose checkpoints are kept for good.

        Raises:
            ValueError: If one is no duration of at least a step.
        """
        span, options = self.span(), self.checkpoint
        kept = {span.length(at, "checkpoint.keep_at", least=1) for at in options.keep_at}
        if options.keep_every is not None:
            each = options.keep_every * span.steps_per_epoch
            kept |= set(range(each, span.updates + 1, each))
        return frozenset(kept)

    def span(self) -> Span:
        """The whole run, in steps."""
        steps = self.steps_per_epoch()
        return Span(steps, self.epochs * steps)

    def anchor(self) -> None:
        """Makes the paths absolute, so that the run goes on from whichever folder it is resumed."""
        self.data.anchor()
        if self.init:
            self.init = str(Path(self.init).expanduser().absolute())

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and values."""
        return dataclasses.asdict(self)


def register() -> None:
    """Makes the dataclasses known to Hydra: as the schemas of `conf/`, and those without a file.

    A schedule has its `warmup_<name>` by itself. A file in `conf/` comes before an entry here.
    """
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config)
    for group, options in GROUPS.items():
        for name, option in options.items():
            store.store(group=f"schema/{group}", name=name, node=option)
            if not (CONF / group / f"{name}.yaml").exists():
                store.store(group=group, name=name, node=option)
    for name in warmed_up():
        if (CONF / "scheduler" / f"{name}.yaml").exists():
            continue
        inner = name.removeprefix("warmup_")
        defaults = ["/schema/scheduler/warmup@_here_", {"/scheduler@after": inner}, "_self_"]
        store.store(group="scheduler", name=name, node={"defaults": defaults})


def warmed_up() -> list[str]:
    """`warmup_<name>` of each schedule that can stand behind a warm-up."""
    options = schedule_options.OPTIONS.items()
    return [f"warmup_{name}" for name, option in options if option.takes_warmup]
