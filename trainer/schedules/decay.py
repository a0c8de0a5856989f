"""Schedules that fall by factors: constant, steplr, multistep, exponential."""

import itertools
from bisect import bisect_right
from dataclasses import field

from trainer.options.marks import within
from trainer.options.ranges import require
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span


@schedule("constant")
class Constant(Schedule):
    """lr(k) = base."""

    def curve(self, span: Span, key: str) -> Curve:
        """The base LR at every step."""
        return lambda k, base_lr: base_lr


@schedule("steplr")
class StepLR(Schedule):
    """lr(k) = base * gamma^floor(k / step_size): a drop at every multiple of step_size.

    The first drop is in force at step `step_size`.

    Attributes:
        step_size: Duration between drops, at least one step.
        gamma: Factor of each drop, in (0, 1].

    Source: torch.optim.lr_scheduler.StepLR.
    """

    step_size: Duration = 10
    gamma: float = within(0, 1, 0.1, "(]")

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        step_size = span.length(self.step_size, f"{key}.step_size", least=1)
        if step_size >= span.updates:
            span.warn(
                f"{key}.step_size={self.step_size}: is not shorter than the {span.updates} steps "
                "it decays over, so the LR never drops"
            )
        return lambda k, base_lr: base_lr * self.gamma ** (k // step_size)


@schedule("multistep")
class MultiStep(Schedule):
    """lr(k) = base * gamma^(number of milestones <= k): a drop at each milestone.

    Attributes:
        milestones: Durations from the start, strictly rising, each at least one step.
        gamma: Factor of each drop, in (0, 1].

    Source: torch.optim.lr_scheduler.MultiStepLR.
    """

    milestones: list[Duration] = field(default_factory=lambda: list[Duration]([15, 25]))
    gamma: float = within(0, 1, 0.1, "(]")

    def check(self, key: str) -> None:
        """Raises ValueError for no milestone."""
        Schedule.check(self, key)
        require(len(self.milestones) > 0, f"{key}.milestones", [], "a list of at least one")

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        key = f"{key}.milestones"
        milestones = [span.length(value, key, least=1) for value in self.milestones]
        listed = ", ".join(map(str, self.milestones))
        for previous, milestone in itertools.pairwise(milestones):
            require(previous < milestone, key, f"[{listed}]", "strictly rising")
        for value, milestone in zip(self.milestones, milestones, strict=True):
            if milestone >= span.updates:
                span.warn(
                    f"{key}: {value} is at or beyond the end ({span.updates} steps) and "
                    "never takes effect"
                )
        return lambda k, base_lr: base_lr * self.gamma ** bisect_right(milestones, k)


@schedule("exponential")
class Exponential(Schedule):
    """lr(k) = base * gamma^(k / every): one factor of gamma for each `every`, epoch or other.

    Attributes:
        gamma: Factor per `every`, in (0, 1].
        every: Duration over which the LR falls by `gamma`, at least one step; an epoch unless
            said otherwise, so a gamma keeps its meaning at any batch size.

    Source: torch.optim.lr_scheduler.ExponentialLR, which it equals at whole epochs.
    """

    gamma: float = within(0, 1, 0.9, "(]")
    every: Duration = 1

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        every = span.length(self.every, f"{key}.every", least=1)
        return lambda k, base_lr: base_lr * self.gamma ** (k / every)
