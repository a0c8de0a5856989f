"""The learning-rate range test: the loss of a few hundred steps while the LR rises."""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.config.fields import Config
from trainer.schedules.schedule import Curve, Schedule
from trainer.schedules.span import Span
from trainer.training.preparation import prepare

SMOOTHING = 0.98  # fastai's; about the last 50 losses count
DIVERGED = 4.0  # times the best smoothed loss; fastai's
SETTLING = 10  # first steps, whose smoothed loss is hardly smoothed; fastai's


@dataclass(slots=True, kw_only=True)
class Rise(Schedule):
    """lr(k) = base * factor^(k / (steps - 1)): from the base LR to `factor` times as much.

    Attributes:
        factor: Last LR over first.
        updates: Steps of the test.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017 (arXiv 1506.01186),
    section 3.3, which raises the LR linearly; exponentially as in fastai.
    """

    name: str = "range_test"
    factor: float = 1.0
    updates: int = 2

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form."""
        last = self.updates - 1
        return lambda k, base_lr: base_lr * self.factor ** (min(k, last) / last)


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What a range test saw.

    Attributes:
        lrs: The LR of each step, of a group with `lr_scale` 1.
        losses: The mean loss of each batch, before the step.
        smoothed: The same, averaged over the past.
        diverged: Whether it ended because the loss had run away.
        skipped: Steps that the GradScaler left out.
    """

    lrs: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged: bool
    skipped: int = 0

    @property
    def lowest(self) -> int:
        """The step with the lowest smoothed loss."""
        finite = [loss if math.isfinite(loss) else math.inf for loss in self.smoothed]
        return min(range(len(finite)), key=finite.__getitem__)

    @property
    def fell(self) -> bool:
        """Whether the smoothed loss fell by more than three times its noise.

        The noise is that of the first third, where the LR does little, taken from differences, so
        that a slope does not count.
        """
        lowest, head = self.lowest, self.losses[: max(len(self.losses) // 3, 3)]
        if lowest <= SETTLING + 1:
            return False
        jumps = [(after - before) ** 2 for before, after in itertools.pairwise(head)]
        # An average of the whole past is as good as a mean over so many losses; early on of fewer.
        whole, early = (1 + SMOOTHING) / (1 - SMOOTHING), SETTLING + 1
        noise = math.sqrt(sum(jumps) / len(jumps) / 2 * (1 / whole + 1 / early))
        return self.smoothed[SETTLING] - self.smoothed[lowest] > 3 * noise

    @property
    def steepest(self) -> float | None:
        """The LR at which the smoothed loss fell fastest per factor of LR; None: it did not fall.

        Source: fastai's `steep`: equal factors are equal distances, so the slope is a difference.
        """
        if not self.fell:
            return None
        places = range(SETTLING + 1, self.lowest)
        slope = min(places, key=lambda k: self.smoothed[k + 1] - self.smoothed[k - 1])
        return self.lrs[slope]

    @property
    def tenth(self) -> float | None:
        """A tenth of the LR at the lowest smoothed loss; None: it did not fall."""
        return self.lrs[self.lowest] / 10 if self.fell else None


def run_range_test(
    config: Config,
    *,
    lowest: float,
    highest: float,
    updates: int,
    report: Callable[[float], object] = bool,
) -> RangeTest:
    """Trains with a rising LR until the loss runs away; writes nothing.

    Batches, step, precision and engine are those of a training with this configuration.

    Args:
        config: The training; its LR and schedule are left out.
        lowest: LR of the first step.
        highest: LR of the last.
        updates: How many, at least 3.
        report: Called with the smoothed loss of each step.

    Raises:
        ValueError: If configuration and machine do not fit.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
    """
    run = prepare(rising(config, lowest=lowest, highest=highest, updates=updates), None)
    images, steps = len(run.data.train), run.steps_per_epoch
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    skipped = 0
    for k in range(updates):
        epoch, step = divmod(k, steps)
        if step == 0:
            skipped += int(run.sums.skipped)
            run.sums.clear()
            run.engine.begin(run.augmentation.table(config.seed, epoch, images))
        lrs.append(run.scheduler.resolved.lr(k, lowest))
        run.engine.train_on(step)
        # Waits for the device at every step: a test that runs away has to be seen to.
        losses.append(float(run.sums.losses[step]))
        smoothed.append(smooth(losses[-1], smoothed, k))
        report(smoothed[-1])
        if runs_away(smoothed):
            return RangeTest(lrs, losses, smoothed, True, skipped + int(run.sums.skipped))
    return RangeTest(lrs, losses, smoothed, False, skipped + int(run.sums.skipped))


def rising(config: Config, *, lowest: float, highest: float, updates: int) -> Config:
    """The same training with a rising LR, just long enough."""
    changed = copy.deepcopy(config)
    changed.optimizer.lr = lowest
    changed.scheduler = Rise(factor=highest / lowest, updates=updates)
    changed.epochs = -(-updates // config.steps_per_epoch())
    return changed


def smooth(loss: float, before: Sequence[float], k: int) -> float:
    """The average of the losses 0..k, each older one counting 0.98 times as much.

    Args:
        loss: Of step k.
        before: The averages of the steps before.
        k: From 0.

    Source: Kingma and Ba, Adam, 2015 (arXiv 1412.6980), section 3: exponential average, its bias
    towards zero taken out.
    """
    weight = 1 - SMOOTHING ** (k + 1)
    past = before[-1] * (1 - SMOOTHING**k) if before else 0.0
    return (SMOOTHING * past + (1 - SMOOTHING) * loss) / weight


def runs_away(smoothed: Sequence[float]) -> bool:
    """Whether the newest smoothed loss is not finite, or four times the best."""
    return not math.isfinite(smoothed[-1]) or smoothed[-1] > DIVERGED * min(smoothed)
