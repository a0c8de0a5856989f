"""Cutout and mixup: what the epoch table draws for them, and what both loaders make of it."""

import re

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from torchvision.transforms import v2

from trainer.config.overrides import compose_run
from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import Augmentation, epoch_table
from trainer.data.image_set import ImageSet
from trainer.data.mixup import Mixed
from trainer.data.torchvision_loader import TorchvisionLoader
from trainer.training.losses import Classification

CPU = torch.device("cpu")
BATCH = 32


def augmentation(cutout: bool = False, mixup: float = 0.0) -> Augmentation:
    return Augmentation(padding=4, flip=True, cutout=cutout, mixup=mixup, batch_size=BATCH)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return synthetic.make(0, 150, 10)[0]


@pytest.mark.parametrize(
    ("cutout", "mixup", "workers"), [(16, 0.0, 0), (7, 0.0, 1), (0, 1.0, 1), (32, 0.2, 0)]
)
def test_both_loaders_give_equal_batches(
    images: ImageSet, cutout: int, mixup: float, workers: int
) -> None:
    ours = DeviceLoader(images, CPU, batch_size=BATCH, padding=4, cutout=cutout, mixup=mixup > 0)
    theirs = TorchvisionLoader(
        images, CPU, batch_size=BATCH, padding=4, workers=workers, cutout=cutout
    )
    table = augmentation(cutout > 0, mixup).table(0, 3, len(images))
    for step in (*range(5), 2):  # the last batch has 22 images; then from the middle
        batch, targets = ours.batch(table, step)
        expected, expected_targets = theirs.batch(table, step)
        fixed, fixed_targets = ours.batch_at(torch.tensor(step), len(targets))
        assert torch.equal(batch, expected)
        assert torch.equal(batch, fixed)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert expected.is_contiguous(memory_format=torch.channels_last)
        for found in (expected_targets, fixed_targets):
            if isinstance(targets, Mixed):
                assert torch.equal(targets.labels, found.labels)
                assert torch.equal(targets.others, found.others)
                assert torch.equal(targets.weight, found.weight)
            else:
                assert torch.equal(targets, found)


def test_cutout_blanks_the_square_that_the_paper_blanks(images: ImageSet) -> None:
    """After the normalisation, [middle - 8, middle + 8) in both directions, cut off at 0 and 32."""
    with_holes = DeviceLoader(images, CPU, batch_size=150, padding=4, cutout=16)
    without = DeviceLoader(images, CPU, batch_size=150, padding=4)
    table = augmentation(cutout=True).table(0, 0, len(images))
    assert table.holes is not None
    whole = without.batch(epoch_table(0, 0, len(images), padding=4, flip=True), 0)[0]
    for number, (y, x) in enumerate(table.holes.tolist()):
        mask = torch.ones(32, 32)
        mask[max(y - 8, 0) : min(y + 8, 32), max(x - 8, 0) : min(x + 8, 32)] = 0
        whole[number] *= mask
    assert torch.equal(with_holes.batch(table, 0)[0], whole)


def test_cutout_and_mixup_leave_order_crops_and_flips_alone() -> None:
    plain = epoch_table(1, 2, 500, padding=4, flip=True)
    assert plain.holes is plain.partners is plain.weights is None
    both = augmentation(cutout=True, mixup=1.0).table(1, 2, 500)
    for name in ("order", "offsets", "flips"):
        assert torch.equal(getattr(both, name), getattr(plain, name))
    alone = augmentation(cutout=True).table(1, 2, 500)
    assert alone.holes is not None
    assert both.holes is not None
    assert torch.equal(alone.holes, both.holes)
    # made by the version before these options
    assert plain.order[:5].tolist() == [222, 87, 117, 240, 209]
    assert plain.offsets[:3].tolist() == [[7, 1], [3, 8], [7, 4]]


def test_what_is_drawn_is_a_function_of_seed_and_epoch() -> None:
    draw = augmentation(cutout=True, mixup=1.0)
    one, again = draw.table(1, 2, 500), draw.table(1, 2, 500)
    for name in ("holes", "partners", "weights"):
        assert torch.equal(getattr(one, name), getattr(again, name))
        for seed, epoch in ((1, 3), (2, 2), (2, 1)):
            assert not torch.equal(getattr(one, name), getattr(draw.table(seed, epoch, 500), name))


def test_holes_are_everywhere_alike() -> None:
    holes = augmentation(cutout=True).table(0, 0, 64_000).holes
    assert holes is not None
    for axis in (0, 1):
        counts = torch.bincount(holes[:, axis], minlength=32)
        assert stats.chisquare(counts.numpy()).pvalue > 0.001
        assert len(counts) == 32


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_weights_have_the_beta_distribution(alpha: float) -> None:
    weights = augmentation(mixup=alpha).table(0, 0, BATCH * 5000).weights
    assert weights is not None
    assert weights.dtype == torch.float32
    assert stats.kstest(weights.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_partners_are_a_permutation_within_each_batch() -> None:
    partners = augmentation(mixup=1.0).table(0, 0, 150).partners
    assert partners is not None
    for start in range(0, 150, BATCH):
        rows = torch.arange(start, min(start + BATCH, 150))
        assert torch.equal(partners[rows].sort().values, rows)
        assert not torch.equal(partners[rows], rows)


def test_a_mixed_batch_is_what_torchvisions_mixup_makes_of_its_images(images: ImageSet) -> None:
    """Its partner is the neighbour, its labels are shares; image, loss and weight are the same."""
    table = augmentation(mixup=1.0).table(0, 0, len(images))
    neighbours = torch.cat([torch.arange(BATCH).roll(1), torch.arange(BATCH, len(images))])
    table = type(table)(table.order, table.offsets, table.flips, None, neighbours, table.weights)
    loader = DeviceLoader(images, CPU, batch_size=BATCH, padding=4, mixup=True)
    batch, targets = loader.batch(table, 0)
    assert isinstance(targets, Mixed)
    mixup = v2.MixUp(num_classes=10)
    mixup._dist = torch.distributions.Uniform(targets.weight - 1e-6, targets.weight + 1e-6)
    unmixed = epoch_table(0, 0, len(images), padding=4, flip=True)
    plain, labels = DeviceLoader(images, CPU, batch_size=BATCH, padding=4).batch(unmixed, 0)
    expected, shares = mixup(plain, labels)
    torch.testing.assert_close(batch, expected)
    logits = torch.randn(BATCH, 10, generator=torch.Generator().manual_seed(0))
    for smoothing in (0.0, 0.1):
        theirs = F.cross_entropy(logits, shares, label_smoothing=smoothing)
        torch.testing.assert_close(Classification(smoothing).loss(logits, targets), theirs)
    right = shares[torch.arange(BATCH), logits.argmax(1)].sum()
    torch.testing.assert_close(Classification().score(logits, targets), right)


def test_label_smoothing_is_torchs() -> None:
    logits = torch.randn(8, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)
    assert torch.equal(Classification(0.1).loss(logits, labels), expected)
    unsmoothed = nn.CrossEntropyLoss(reduction="sum")(logits, labels)
    assert torch.equal(Classification(0.1).summed_loss(logits, labels), unsmoothed)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("data.cutout=33", "data.cutout=33: must be in 0..32"),
        ("mixup=-1", "mixup=-1.0: must be at least 0"),
        ("mixup=inf", "mixup=inf: must be at least 0"),
        ("ema=1", "ema=1.0: must be in (0, 1), or null"),
        ("ema=0", "ema=0.0: must be in (0, 1), or null"),
        ("early_stopping.patience=0", "early_stopping.patience=0: must be at least 1"),
        ("early_stopping.min_delta=-1", "early_stopping.min_delta=-1.0: must be at least 0"),
    ],
)
def test_a_value_out_of_its_range_is_refused(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compose_run(["data=synthetic", argument])
