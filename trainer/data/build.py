"""From a data option to the image sets of a run."""

from dataclasses import dataclass

from trainer.data.data_set import DataOptions
from trainer.data.image_set import ImageSet


@dataclass(frozen=True, slots=True)
class Data:
    """The images of a run.

    Attributes:
        train: What is trained on.
        evaluation: What is evaluated after an epoch: the validation set if there is one, else the
            test set.
        test: The test set, always whole.
        split: `val` or `test`: what `evaluation` is.
        sha256: Hash of the whole data set, before any cut.
    """

    train: ImageSet
    evaluation: ImageSet
    test: ImageSet
    split: str
    sha256: str


def load_data(option: DataOptions) -> Data:
    """Reads or makes the data set and cuts it.

    Raises:
        FileNotFoundError: If it is not there and cannot be downloaded.
        ValueError: If a file is damaged, the cut leaves nothing, or it is not what its option
            says.
    """
    whole, test, sha256 = option.build()
    if option.gives == "images":
        whole.check(f"data={option.name}: its training images")
        test.check(f"data={option.name}: its test images")
    if len(whole) != option.available():
        raise ValueError(
            f"data={option.name}: {len(whole)} training images were read, its option says "
            f"{option.available()} (available)"
        )
    train = whole.slice(0, option.training_images())
    if option.val_size:
        validation = whole.slice(len(whole) - option.val_size, len(whole))
        return Data(train, validation, test, "val", sha256)
    return Data(train, test, test, "test", sha256)
