"""The epoch table and the two loaders that follow it."""

import pytest
import torch
from PIL import Image
from torchvision import transforms

from trainer.data import synthetic
from trainer.data.build import load_data
from trainer.data.device_loader import MEAN, STD, DeviceLoader, Normalise
from trainer.data.epoch_table import EpochTable, epoch_table
from trainer.data.image_set import ImageSet
from trainer.data.options import Cifar10, Synthetic
from trainer.data.torchvision_loader import TorchvisionLoader

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return synthetic.make(0, 150, 10)[0]


def device_loader(images: ImageSet, padding: int = 4) -> DeviceLoader:
    return DeviceLoader(images, CPU, batch_size=32, padding=padding)


@pytest.mark.parametrize(
    ("padding", "flip", "workers"), [(4, True, 0), (2, False, 1), (0, True, 0)]
)
def test_both_loaders_give_equal_batches(
    images: ImageSet, padding: int, flip: bool, workers: int
) -> None:
    ours = device_loader(images, padding)
    theirs = TorchvisionLoader(images, CPU, batch_size=32, padding=padding, workers=workers)
    table = epoch_table(0, 3, len(images), padding=padding, flip=flip)
    for step in range(5):  # the last batch has 22 images
        batch, labels = ours.batch(table, step)
        expected, expected_labels = theirs.batch(table, step)
        assert torch.equal(batch, expected)
        assert torch.equal(labels, expected_labels)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert expected.is_contiguous(memory_format=torch.channels_last)
    assert len(labels) == 22


def test_a_batch_equals_torchvisions_own_pipeline_on_pil_images(images: ImageSet) -> None:
    pipeline = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = device_loader(images)
    torch.manual_seed(5)
    for number in range(40):
        generator = torch.get_rng_state()
        expected = pipeline(Image.fromarray(images.images[number].numpy()))
        after = torch.get_rng_state()
        torch.set_rng_state(generator)
        top, left, _, _ = transforms.RandomCrop.get_params(torch.empty(3, 40, 40), (32, 32))
        flip = bool(torch.rand(1) < 0.5)
        assert torch.equal(torch.get_rng_state(), after)
        row = EpochTable(torch.tensor([number]), torch.tensor([[top, left]]), torch.tensor([flip]))
        assert torch.equal(loader.batch(row, 0)[0][0], expected)


def test_the_border_is_black_before_normalising(images: ImageSet) -> None:
    row = EpochTable(torch.tensor([0]), torch.tensor([[0, 0]]), torch.tensor([False]))
    corner = device_loader(images).batch(row, 0)[0][0, :, 0, 0]
    assert torch.equal(corner, -torch.tensor(MEAN) / torch.tensor(STD))


def test_evaluation_sees_torchvisions_normalised_image(images: ImageSet) -> None:
    whole = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    expected = whole(Image.fromarray(images.images[7].numpy()))
    assert torch.equal(Normalise(CPU)(images.images[7:8])[0], expected)


def test_an_epoch_is_a_permutation_and_a_function_of_seed_and_epoch() -> None:
    one = epoch_table(1, 2, 1000, padding=4, flip=True)
    again = epoch_table(1, 2, 1000, padding=4, flip=True)
    assert torch.equal(one.order.sort().values, torch.arange(1000))
    assert torch.equal(one.order, again.order)
    assert torch.equal(one.offsets, again.offsets)
    assert torch.equal(one.flips, again.flips)
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        other = epoch_table(seed, epoch, 1000, padding=4, flip=True)
        assert not torch.equal(one.order, other.order)
        assert not torch.equal(one.offsets, other.offsets)
        assert not torch.equal(one.flips, other.flips)


def test_making_a_table_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch_table(1, 2, 100, padding=4, flip=True)
    assert torch.equal(before, torch.get_rng_state())


def test_offsets_and_flips_have_torchvisions_distribution() -> None:
    """Chi-square against the uniform distribution over 9 offsets and against a fair coin."""
    table = epoch_table(0, 0, 81_000, padding=4, flip=True)
    for axis in (0, 1):
        counts = torch.bincount(table.offsets[:, axis], minlength=9).double()
        assert len(counts) == 9
        chi_square = float(((counts - 9000) ** 2 / 9000).sum())
        assert chi_square < 26.1  # 8 degrees of freedom, p = 0.001
    pairs = torch.bincount(table.offsets[:, 0] * 9 + table.offsets[:, 1], minlength=81).double()
    assert float(((pairs - 1000) ** 2 / 1000).sum()) < 124.8  # 80 degrees of freedom, p = 0.001
    flips = int(table.flips.sum())
    assert abs(flips - 40_500) < 3.3 * (81_000 * 0.25) ** 0.5


def test_any_batch_can_be_asked_for_alone(images: ImageSet) -> None:
    table = epoch_table(0, 0, len(images), padding=4, flip=True)
    ours = device_loader(images)
    theirs = TorchvisionLoader(images, CPU, batch_size=32, padding=4, workers=0)
    for step in (3, 1, 2, 0):
        assert torch.equal(ours.batch(table, step)[0], theirs.batch(table, step)[0])


def test_cuts_that_ask_for_too_much_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.train_size=101: more than the 100"):
        Synthetic(train_images=100, train_size=101).training_images()
    with pytest.raises(ValueError, match=r"beside data.val_size=50"):
        Synthetic(train_images=100, train_size=51, val_size=50).training_images()
    with pytest.raises(ValueError, match=r"data.val_size=100: leaves nothing"):
        Synthetic(train_images=100, val_size=100).training_images()
    assert Synthetic(train_images=100, val_size=40).training_images() == 60


def test_validation_images_are_none_of_the_training_images() -> None:
    from trainer.data.build import load_data

    data = load_data(Synthetic(train_images=100, test_images=20, val_size=30))
    assert (len(data.train), len(data.evaluation), len(data.test)) == (70, 30, 20)
    assert data.split == "val"
    whole = load_data(Synthetic(train_images=100, test_images=20))
    assert torch.equal(torch.cat([data.train.images, data.evaluation.images]), whole.train.images)
    assert whole.evaluation is whole.test


def image_set(images: torch.Tensor | None = None, labels: torch.Tensor | None = None) -> ImageSet:
    whole = torch.zeros(5, 32, 32, 3, dtype=torch.uint8)
    return ImageSet(
        whole if images is None else images,
        torch.arange(5) if labels is None else labels,
        tuple("abcde"),
    )


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (image_set(torch.zeros(5, 64, 64, 3, dtype=torch.uint8)), "are uint8 (5, 64, 64, 3)"),
        (image_set(torch.zeros(5, 3, 32, 32, dtype=torch.uint8)), "are uint8 (5, 3, 32, 32)"),
        (image_set(torch.zeros(5, 32, 32, dtype=torch.uint8)), "are uint8 (5, 32, 32)"),
        (image_set(torch.zeros(5, 32, 32, 3)), "are float32 (5, 32, 32, 3)"),
        (image_set(torch.zeros(0, 32, 32, 3, dtype=torch.uint8)), "are uint8 (0, 32, 32, 3)"),
        (image_set(labels=torch.arange(4)), "labels are int64 (4,), must be int64 (5,)"),
        (image_set(labels=torch.zeros(5)), "labels are float32 (5,)"),
        (image_set(labels=torch.arange(5) + 1), "labels are in 1..5, must be in 0..4"),
        (image_set(labels=torch.arange(5) - 1), "labels are in -1..3, must be in 0..4"),
    ],
)
def test_a_data_set_of_another_form_is_refused(
    images: ImageSet, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "make", lambda *_: (image_set(), images, ""))
    with pytest.raises(ValueError, match="data=synthetic: its test images") as refused:
        load_data(Synthetic(train_images=5, test_images=5))
    assert said in str(refused.value)


def test_as_many_images_as_the_option_says_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are planned, and a validation set is cut off, by what it says."""
    monkeypatch.setattr(synthetic, "make", lambda *_: (image_set(), image_set(), ""))
    with pytest.raises(ValueError, match="5 training images were read, its option says 6"):
        load_data(Synthetic(train_images=6, test_images=5))


def test_the_names_of_the_classes_are_known_without_the_data() -> None:
    option = Synthetic(train_images=10, test_images=10)
    assert load_data(option).train.classes == option.classes()
    assert len(set(Cifar10().classes())) == 10
