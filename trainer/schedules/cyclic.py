"""Schedules that also cycle the momentum, against the LR: onecycle, cyclic."""

import math
from collections.abc import Callable

from trainer.options.marks import above, at_least, one_of, within
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span


@schedule("onecycle")
class OneCycle(Schedule):
    """One rise to max_lr and one long fall far below the start; the momentum goes the other way.

    With T steps, the LR goes from max_lr / div_factor at step 0 to max_lr at step
    pct_start * T - 1, and to max_lr / div_factor / final_div_factor at T - 1, where it stays. With
    three_phase it comes back to the start at 2 * pct_start * T - 2 before the last fall.

    Attributes:
        max_lr: Peak, absolute; null: the base LR of each group.
        pct_start: Share of the run spent rising, in [0, 1].
        div_factor: max_lr over the first LR, above 0.
        final_div_factor: First LR over the last, above 0.
        anneal: `cos` or `linear`.
        three_phase: Fall back to the start first, then to the last LR.
        cycle_momentum: Move the momentum (Adam: beta1) from max_momentum to base_momentum and back.
        base_momentum: Momentum at the peak of the LR, in [0, 1).
        max_momentum: Momentum at the start and the end, in [0, 1).

    Source: Smith and Topin, Super-Convergence, 2018 (arXiv 1708.07120);
    torch.optim.lr_scheduler.OneCycleLR.
    """

    takes_warmup = False

    max_lr: float | None = at_least(0, None)
    pct_start: float = within(0, 1, 0.3)
    div_factor: float = above(0, 25.0)
    final_div_factor: float = above(0, 1e4)
    anneal: str = one_of(("cos", "linear"), "cos")
    three_phase: bool = False
    cycle_momentum: bool = True
    base_momentum: float = within(0, 1, 0.85, "[)")
    max_momentum: float = within(0, 1, 0.95, "[)")

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        last, rise = span.updates - 1, self.pct_start * span.updates
        ends = [rise - 1, 2 * rise - 2, last] if self.three_phase else [rise - 1, last]
        if self.cycle_momentum:
            low, high = self.base_momentum, self.max_momentum
            momenta = [high, low, high, high] if self.three_phase else [high, low, high]
            span.notes.momentum = lambda k: self._at(min(k, last), ends, momenta)

        def lr(k: int, base_lr: float) -> float:
            top = base_lr if self.max_lr is None else self.max_lr
            first = top / self.div_factor
            bottom = first / self.final_div_factor
            values = [first, top, first, bottom] if self.three_phase else [first, top, bottom]
            return self._at(min(k, last), ends, values)

        return lr

    def _at(self, k: int, ends: list[float], values: list[float]) -> float:
        """The value at step k of a path through `values`, the i-th of them due at ends[i - 1]."""
        start = 0.0
        for number, end in enumerate(ends):
            if k <= end or number == len(ends) - 1:
                x = (k - start) / (end - start) if end != start else 1.0
                return self._between(values[number], values[number + 1], x)
            start = end
        return values[-1]

    def _between(self, start: float, end: float, x: float) -> float:
        if self.anneal == "linear":
            return start + (end - start) * x
        return end + (start - end) / 2 * (1 + math.cos(math.pi * x))


MODES: dict[str, Callable[[int, int, float], float]] = {
    "triangular": lambda cycle, k, gamma: 1.0,
    "triangular2": lambda cycle, k, gamma: 0.5**cycle,
    "exp_range": lambda cycle, k, gamma: gamma**k,
}


@schedule("cyclic")
class Cyclic(Schedule):
    """Triangles between base_lr and max_lr; the momentum goes the other way.

    A cycle rises for step_size_up steps and falls for step_size_down. Cycles are counted in
    integers from 0. The height of cycle c at step k is scaled by 1 (`triangular`), 0.5^c
    (`triangular2`) or gamma^k (`exp_range`).

    Attributes:
        base_lr: LR at the foot, absolute; null: a tenth of the group's base LR.
        max_lr: LR at the top of the first triangle, absolute; null: the group's base LR.
        step_size_up: Duration of the rise, at least one step.
        step_size_down: Duration of the fall; null: as the rise.
        mode: `triangular`, `triangular2` or `exp_range`.
        gamma: Factor per step of `exp_range`, in (0, 1].
        cycle_momentum: Move the momentum (Adam: beta1) between max_momentum and base_momentum.
        base_momentum: Momentum at the top of the LR, in [0, 1).
        max_momentum: Momentum at its foot, in [0, 1).

    Source: Smith, Cyclical Learning Rates, 2017 (arXiv 1506.01186);
    torch.optim.lr_scheduler.CyclicLR.
    """

    takes_warmup = False

    base_lr: float | None = at_least(0, None)
    max_lr: float | None = at_least(0, None)
    step_size_up: Duration = 5
    step_size_down: Duration | None = None
    mode: str = one_of(tuple(MODES), "triangular")
    gamma: float = within(0, 1, 1.0, "(]")
    cycle_momentum: bool = True
    base_momentum: float = within(0, 1, 0.8, "[)")
    max_momentum: float = within(0, 1, 0.9, "[)")

    def floor(self) -> float:
        """The foot of the triangles, where it is absolute."""
        return self.base_lr or 0.0

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        up = span.length(self.step_size_up, f"{key}.step_size_up", least=1)
        down = up
        if self.step_size_down is not None:
            down = span.length(self.step_size_down, f"{key}.step_size_down", least=1)
        scale, gamma = MODES[self.mode], self.gamma

        def height(k: int) -> float:
            cycle, place = divmod(k, up + down)
            triangle = place / up if place <= up else (up + down - place) / down
            return triangle * scale(cycle, k, gamma)

        if self.cycle_momentum:
            low, high = self.base_momentum, self.max_momentum
            span.notes.momentum = lambda k: high - (high - low) * height(k)

        def lr(k: int, base_lr: float) -> float:
            foot = base_lr / 10 if self.base_lr is None else self.base_lr
            top = base_lr if self.max_lr is None else self.max_lr
            return foot + (top - foot) * height(k)

        return lr
