"""The average of the weights along the way of a training."""

import copy
from collections.abc import Mapping

import torch
from torch import nn


class WeightAverage:
    """The exponential moving average of a model's weights, kept on its device.

    After each step `average = decay * average + (1 - decay) * weights`, beginning with the
    initial weights. Running statistics of batch norms are averaged likewise, so that they belong to
    the averaged weights; integer buffers are copied.

    Args:
        model: What is trained; its parameters and buffers must stay where they are.
        decay: In (0, 1); 0.999 remembers about 1000 steps.

    Source: Polyak and Juditsky, 1992; Tarvainen and Valpola, 2017 (arXiv 1703.01780), eq. 1; the
    numbers are those of torch.optim.swa_utils.get_ema_multi_avg_fn.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        here, there = self.model.state_dict(keep_vars=True), model.state_dict(keep_vars=True)
        once = {id(value): name for name, value in here.items()}  # tied weights have several names
        self._averaged = [name for name in once.values() if here[name].is_floating_point()]
        self._copied = [name for name in once.values() if not here[name].is_floating_point()]
        self._here, self._there = here, there

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights as they are now; nothing here waits for the device."""
        averages = [self._here[name] for name in self._averaged]
        weights = [self._there[name] for name in self._averaged]
        # as in torch.optim.swa_utils: one launch instead of one per tensor
        torch._foreach_lerp_(averages, weights, 1 - self.decay)  # pyright: ignore
        if self._copied:
            counts = [self._here[name] for name in self._copied]
            torch._foreach_copy_(counts, [self._there[name] for name in self._copied])  # pyright: ignore

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averaged weights and statistics, by the names of the model's own."""
        return self.model.state_dict()

    def load_state_dict(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Goes on from averages, or begins anew with weights."""
        self.model.load_state_dict(dict(weights))
