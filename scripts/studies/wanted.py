"""The questions of the study, and the runs that answer them."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.config.fields import Config
from trainer.config.overrides import compose_run
from trainer.training import device

# The documents' eight curves; then document 003's two remarks: twice the batch, with the same LR
# and with one scaled along, and each of the two initial LRs under the other schedule; then the
# same net with batch norm.
RUNS = {
    "vgg_constant": ["experiment=vgg_constant"],
    "vgg_steplr": ["experiment=vgg_steplr"],
    "vgg_multistep": ["experiment=vgg_multistep"],
    "vgg_exponential": ["experiment=vgg_exponential"],
    "vgg_warmup_steplr": ["experiment=vgg_warmup_steplr"],
    "vgg_warmup_multistep": ["experiment=vgg_warmup_multistep"],
    "vgg_warmup_exponential": ["experiment=vgg_warmup_exponential"],
    "vgg_warmup_cosine": ["experiment=vgg_warmup_cosine"],
    "vgg_exponential_batch256": ["experiment=vgg_exponential", "batch_size=256"],
    "vgg_exponential_batch256_lr0.08": [
        *("experiment=vgg_exponential", "batch_size=256", "optimizer.lr=0.08")
    ],
    "vgg_steplr_lr0.04": ["experiment=vgg_steplr", "optimizer.lr=0.04"],
    "vgg_exponential_lr0.01": ["experiment=vgg_exponential", "optimizer.lr=0.01"],
    "vgg_bn": ["experiment=vgg_bn"],
}


@dataclass(frozen=True, slots=True)
class Section:
    """A question.

    Attributes:
        folder: Where its report lies within the study's; empty: in the study's own.
        question: Its heading.
        runs: Names of the runs that are compared.
        asks: Those of them without which there is nothing to compare; empty: any two.
    """

    folder: str
    question: str
    runs: tuple[str, ...]
    asks: tuple[str, ...] = ()


SECTIONS = (
    Section("", "Which schedule?", tuple(RUNS)[:8]),
    Section(
        "batch_size",
        "Is batch 256 worse than 128?",
        ("vgg_exponential", "vgg_exponential_batch256", "vgg_exponential_batch256_lr0.08"),
        ("vgg_exponential_batch256", "vgg_exponential_batch256_lr0.08"),
    ),
    Section(
        "initial_lr",
        "Is an initial LR of 0.01 too small?",
        ("vgg_steplr", "vgg_steplr_lr0.04", "vgg_exponential", "vgg_exponential_lr0.01"),
        ("vgg_steplr_lr0.04", "vgg_exponential_lr0.01"),
    ),
    Section(
        "batch_norm", "What does batch norm add?", ("vgg_warmup_cosine", "vgg_bn"), ("vgg_bn",)
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that the study needs.

    Attributes:
        name: Its key in `RUNS`.
        seed: Its seed.
        overrides: What follows `python -m trainer`.
        config: What they come to.
    """

    name: str
    seed: int
    overrides: list[str]
    config: Config

    @property
    def label(self) -> str:
        """What its folder and its metrics are called."""
        return f"{self.name}_seed{self.seed}"


def is_label(text: str) -> bool:
    """Whether some run of the study has this label."""
    name, _, seed = text.rpartition("_seed")
    return name in RUNS and seed.isdecimal()


def want(name: str, seed: int, further: Sequence[str] = ()) -> Wanted:
    """A run of the study, composed and checked.

    Args:
        name: A key of `RUNS`.
        seed: Its seed.
        further: Overrides on top of its own.

    Raises:
        ValueError: If it does not compose, cannot be trained here, or is not for a comparison of
            whole runs by their test accuracy.
    """
    overrides = [*RUNS[name], *further, f"seed={seed}"]
    config = compose_run(overrides).config
    config.resolve_schedule()
    device.choose_precision(config.amp, device.choose_device(config.device))
    if config.metric_names()[0] != "test/accuracy":
        leads = f"data.val_size={config.data.val_size}, loss={config.loss}"
        raise ValueError(f"{leads}: the study compares test/accuracy; leave both as they are")
    if config.init is not None:
        raise ValueError(f"init={config.init}: the study's runs begin with weights of their own")
    if config.early_stopping.patience is not None:
        patience = config.early_stopping.patience
        raise ValueError(
            f"early_stopping.patience={patience}: the study compares whole runs; leave it out"
        )
    config.anchor()
    return Wanted(name, seed, overrides, config)
