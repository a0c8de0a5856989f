"""The synthetic set: reproducible, isolated from other randomness, learnable but not trivial."""

import hashlib
import time

import pytest
import torch

from trainer.data import synthetic
from trainer.data.image_set import ImageSet


def test_the_sets_have_the_form_of_every_data_set() -> None:
    train, test, _ = synthetic.make(3, 1_010, 20)
    assert (len(train), len(test)) == (1_010, 20)
    assert train.images.shape == (1_010, 32, 32, 3)
    assert train.images.is_contiguous()
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert train.labels.bincount().tolist() == [101] * 10
    assert test.labels.bincount().tolist() == [2] * 10
    assert train.labels[:10].tolist() != list(range(10))
    assert len(set(train.classes)) == 10
    assert train.classes == test.classes
    assert all(name.isalpha() for name in train.classes)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (synthetic.make(seed, 600, 50) for seed in (7, 7, 8))
    for ours, theirs in zip(first[:2], again[:2], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
    assert first[2] == again[2]
    assert first[2] != other[2]
    assert not torch.equal(first[0].images, other[0].images)
    assert not torch.equal(first[0].labels, other[0].labels)


def test_the_hash_covers_every_image_and_label_byte() -> None:
    train, test, digest = synthetic.make(1, 30, 10)
    content = b"".join(
        tensor.numpy().tobytes()
        for tensor in (train.images, train.labels, test.images, test.labels)
    )
    assert digest == hashlib.sha256(content).hexdigest()


def test_training_and_test_images_do_not_overlap_or_depend_on_each_other() -> None:
    train, test, _ = synthetic.make(0, 300, 300)
    seen = {image.numpy().tobytes() for image in train.images}
    assert len(seen) == 300
    assert seen.isdisjoint(image.numpy().tobytes() for image in test.images)
    _, same, _ = synthetic.make(0, 40, 300)
    assert torch.equal(test.images, same.images)
    # The next seed's sets are not this seed's under another name.
    following = synthetic.make(1, 300, 300)
    assert not torch.equal(following[0].images, test.images)


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = synthetic.make(0, 50, 10)[2]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert synthetic.make(0, 50, 10)[2] == first


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_a_byte(threads: int) -> None:
    here = synthetic.make(0, 600, 10)[2]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert synthetic.make(0, 600, 10)[2] == here
    finally:
        torch.set_num_threads(before)


def test_the_largest_seed_a_user_may_give_works() -> None:
    assert len(synthetic.make(2**70, 10, 10)[0]) == 10


def test_the_default_size_is_made_in_about_a_second() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other would count as work
    try:
        began = time.process_time()
        synthetic.make(0, 10_000, 2_000)
        assert time.process_time() - began < 6  # a bound for busy machines; 1 s is usual
    finally:
        torch.set_num_threads(threads)


def test_no_class_is_told_by_its_brightness_and_few_pixels_are_clipped() -> None:
    train, _, _ = synthetic.make(0, 3_000, 10)
    images = train.images.float()
    clipped = ((train.images == 0) | (train.images == 255)).float().mean().item()
    assert clipped < 0.1
    means = torch.stack([images[train.labels == label].mean() for label in range(10)])
    spread = images.mean((1, 2, 3)).std()
    assert (means.max() - means.min()) < 2 * spread


def inputs(images: ImageSet) -> torch.Tensor:
    return (images.images.permute(0, 3, 1, 2).float() / 255 - 0.42) / 0.2


def test_a_linear_classifier_learns_something_but_stays_below_45_percent() -> None:
    train, test, _ = synthetic.make(0, 10_000, 2_000)
    x, y, held_out = inputs(train), train.labels, inputs(test)
    best = 0.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=0.01)
        for _ in range(4):
            for rows in torch.randperm(len(x)).split(128):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
            best = max(best, (model(held_out).argmax(1) == test.labels).float().mean().item())
    assert 0.2 < best < 0.45


def test_every_class_is_as_learnable_mirrored() -> None:
    # Averaged over position, tilt and colour, an image of a class looks like its mirror image.
    train, _, _ = synthetic.make(0, 5_000, 10)
    for label in range(10):
        mean = train.images[train.labels == label].float().mean((0, 3))
        assert (mean - mean.flip(1)).abs().mean() < 2
