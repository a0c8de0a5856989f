"""Options of the `optimizer` group, free of torch."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from typing_extensions import dataclass_transform

from trainer.options.marks import above, at_least, check, within
from trainer.options.registry import register

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(slots=True, kw_only=True)
class Group:
    """Parameters that get settings of their own.

    Attributes:
        match: Regular expression searched in the parameter names; the first group to match wins.
        lr_scale: Multiplies `optimizer.lr` into the group's base LR, at least 0.
        weight_decay: Replaces the optimizer's; null: the same.
    """

    match: str = ""
    lr_scale: float = at_least(0, 1.0)
    weight_decay: float | None = at_least(0, None)

    def label(self) -> str:
        """The expression as a column and tag: letters, digits and the signs that harm neither."""
        return re.sub(r"[^\w.^$|-]+", "_", self.match)


def _distinct(labels: list[str]) -> list[str]:
    """The labels, those that are there already with a number behind."""
    result: list[str] = []
    for label in labels:
        other, number = label, 2
        while other in result:
            other, number = f"{label}_{number}", number + 1
        result.append(other)
    return result


@dataclass(kw_only=True)
class OptimizerOptions:
    """What every optimizer shares.

    Attributes:
        name: The option's name, as in `optimizer=<name>`.
        lr: Base learning rate, the peak of the schedule, above 0.
        weight_decay: At least 0.
        decay_norm_and_bias: Whether it applies to norms and biases, too (parameters of one
            dimension). If not, those that no entry of `groups` matches make a group of their own,
            `norm_and_bias`.
        groups: Parameters with settings of their own, e.g. `[{match: '^fc', lr_scale: 0.1}]`.
    """

    name: str = "?"
    lr: float = above(0, 0.1)
    weight_decay: float = at_least(0, 0.0)
    decay_norm_and_bias: bool = True
    groups: list[Group] = field(default_factory=list[Group])

    def base_lrs(self) -> list[tuple[str, float]]:
        """Name and base LR of each parameter group; the last takes the parameters left."""
        lrs = [(group.label(), self.lr * group.lr_scale) for group in self.groups]
        lrs += [] if self.decay_norm_and_bias else [("norm_and_bias", self.lr)]
        lrs.append(("rest", self.lr))
        names = _distinct([name for name, _ in lrs])
        return [(name, lr) for name, (_, lr) in zip(names, lrs, strict=True)]

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        check(self, key)
        for number, group in enumerate(self.groups):
            place = f"{key}.groups[{number}]"
            if not group.match:
                raise ValueError(f"{place}.match: must be a regular expression")
            try:
                re.compile(group.match)
            except re.error as error:
                raise ValueError(f"{place}.match={group.match}: {error}") from error
            check(group, place)

    def build(self, groups: list[dict[str, Any]], **shared: Any) -> "Optimizer":
        """The optimizer; whatever it makes at its first step is there, and zero, from the start.

        Args:
            groups: Its parameter groups, each with `params`, `name`, `lr` and `weight_decay`.
            shared: `lr` and `fused`, for torch's own optimizers.
        """
        raise ValueError(f"optimizer.name={self.name}: is not an optimizer")


OPTIONS: dict[str, type[OptimizerOptions]] = {}
O = TypeVar("O", bound=OptimizerOptions)  # noqa: E741


@dataclass_transform(kw_only_default=True)
def optimizer(name: str) -> Callable[[type[O]], type[O]]:
    """Registers a dataclass as `optimizer=<name>`.

    Raises:
        ValueError: If the name is taken.
    """
    return register("optimizer", OPTIONS, name)


@optimizer("sgd")
class SGD(OptimizerOptions):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient.

    Attributes:
        momentum: In [0, 1).
        nesterov: Nesterov's momentum; needs a momentum above 0.

    Source: torch.optim.SGD; the defaults are those of the recipes.
    """

    lr: float = above(0, 0.04)
    momentum: float = within(0, 1, 0.9, "[)")
    weight_decay: float = at_least(0, 5e-4)
    nesterov: bool = False

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        OptimizerOptions.check(self, key)
        if self.nesterov and self.momentum == 0:
            raise ValueError(f"{key}.nesterov=true: needs {key}.momentum above 0")

    def build(self, groups: list[dict[str, Any]], **shared: Any) -> "Optimizer":
        """Torch's SGD, each momentum at zero."""
        import torch

        from trainer.optimizers.uncompiled import fill_momentum, uncompiled

        made = uncompiled(torch.optim.SGD)(
            groups, momentum=self.momentum, nesterov=self.nesterov, **shared
        )
        fill_momentum(made)
        return made


@optimizer("adam")
class Adam(OptimizerOptions):
    """Adam; weight decay is added to the gradient.

    Attributes:
        beta1: Decay of the mean of the gradients, in [0, 1).
        beta2: Decay of the mean of their squares, in [0, 1).
        eps: Added to the denominator, above 0.

    Source: Kingma and Ba, 2015 (arXiv 1412.6980); torch.optim.Adam.
    """

    torch_name: ClassVar[str] = "Adam"

    lr: float = above(0, 1e-3)
    beta1: float = within(0, 1, 0.9, "[)")
    beta2: float = within(0, 1, 0.999, "[)")
    eps: float = above(0, 1e-8)

    def build(self, groups: list[dict[str, Any]], **shared: Any) -> "Optimizer":
        """Torch's Adam or AdamW, its moments at zero."""
        import torch

        from trainer.optimizers.uncompiled import fill_moments, uncompiled

        made = uncompiled(getattr(torch.optim, self.torch_name))(
            groups,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            capturable=groups[0]["params"][0].is_cuda,
            **shared,
        )
        fill_moments(made)
        return made


@optimizer("adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter, 2019 (arXiv 1711.05101); torch.optim.AdamW.
    """

    torch_name = "AdamW"

    weight_decay: float = at_least(0, 1e-2)
