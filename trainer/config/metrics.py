"""What there is to learn, free of torch: the loss, the score beside it, and which way is better."""

from dataclasses import dataclass

from trainer.cli.words import percent


@dataclass(frozen=True, slots=True)
class Task:
    """What a run learns.

    Attributes:
        score: Name of the metric beside the loss.
        higher: Whether more of it is better.
        chosen_by: The metric that `checkpoint.monitor=auto` means.
        examples: What the data set consists of.
    """

    score: str
    higher: bool
    chosen_by: str
    examples: str

    def metrics(self, split: str) -> tuple[str, ...]:
        """Names of the metrics of an evaluated epoch, the one that `auto` means first."""
        other = "loss" if self.chosen_by == self.score else self.score
        return (
            f"{split}/{self.chosen_by}",
            f"{split}/{other}",
            f"train/{self.score}",
            "train/loss",
        )

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of a metric, such as `test/loss`, is better."""
        return self.higher and metric.endswith(f"/{self.score}")

    def written(self, score: float) -> str:
        """The score for the screen."""
        return percent(score) if self.higher else f"{score:.4f}"


# By the value of `loss`.
TASKS = {
    "cross_entropy": Task("accuracy", higher=True, chosen_by="accuracy", examples="images"),
    "mse": Task("mae", higher=False, chosen_by="loss", examples="examples"),
}
