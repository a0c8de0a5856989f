"""The synthetic sets: reproducible, isolated from other randomness, learnable but not by a line."""

import hashlib
import time
from pathlib import Path

import pytest
import torch

import trainer
from trainer.config.overrides import compose_run
from trainer.config.saved import read_saved, to_object
from trainer.data import synthetic
from trainer.data.options import Synthetic

PATTERNS = pytest.mark.parametrize("pattern", ["waves", "shapes"])


@PATTERNS
def test_the_sets_have_the_form_of_every_data_set(pattern: str) -> None:
    train, test, _ = synthetic.make(3, 1_010, 20, pattern)
    assert (len(train), len(test)) == (1_010, 20)
    assert train.images.shape == (1_010, 32, 32, 3)
    assert train.images.is_contiguous()
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert train.labels.bincount().tolist() == [101] * 10
    assert test.labels.bincount().tolist() == [2] * 10
    assert train.labels[:10].tolist() != list(range(10))
    assert len(set(train.classes)) == 10
    assert train.classes == test.classes == Synthetic(pattern=pattern).classes()
    assert all(name.isalpha() for name in train.classes)


@PATTERNS
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(pattern: str) -> None:
    first, again, other = (synthetic.make(seed, 600, 50, pattern) for seed in (7, 7, 8))
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


@PATTERNS
def test_training_and_test_images_do_not_overlap_or_depend_on_each_other(pattern: str) -> None:
    train, test, _ = synthetic.make(0, 300, 300, pattern)
    seen = {image.numpy().tobytes() for image in train.images}
    assert len(seen) == 300
    assert seen.isdisjoint(image.numpy().tobytes() for image in test.images)
    _, same, _ = synthetic.make(0, 40, 300, pattern)
    assert torch.equal(test.images, same.images)
    # The next seed's sets are not this seed's under another name.
    following = synthetic.make(1, 300, 300, pattern)
    assert not torch.equal(following[0].images, test.images)


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = synthetic.make(0, 50, 10)[2]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert synthetic.make(0, 50, 10)[2] == first


@pytest.mark.parametrize("threads", [1, 2])
@PATTERNS
def test_the_number_of_threads_does_not_change_a_byte(threads: int, pattern: str) -> None:
    here = synthetic.make(0, 600, 10, pattern)[2]
    synthetic.make.cache_clear()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert synthetic.make(0, 600, 10, pattern)[2] == here
    finally:
        torch.set_num_threads(before)


def test_the_largest_seed_a_user_may_give_works() -> None:
    assert len(synthetic.make(2**70, 10, 10)[0]) == 10


def test_the_default_size_is_made_in_less_than_a_second() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other would count as work
    try:
        began = time.process_time()
        synthetic.make(0, 10_000, 2_000)
        assert time.process_time() - began < 3  # a bound for busy machines; 0.3 s is usual
    finally:
        torch.set_num_threads(threads)


@PATTERNS
def test_no_class_is_told_by_its_brightness_and_few_pixels_are_clipped(pattern: str) -> None:
    train, _, _ = synthetic.make(0, 3_000, 10, pattern)
    images = train.images.float()
    clipped = ((train.images == 0) | (train.images == 255)).float().mean().item()
    assert clipped < 0.1
    means = torch.stack([images[train.labels == label].mean() for label in range(10)])
    spread = images.mean((1, 2, 3)).std()
    assert (means.max() - means.min()) < 2 * spread


@PATTERNS
def test_every_class_is_as_learnable_mirrored(pattern: str) -> None:
    # Averaged over position, tilt and colour, an image of a class looks like its mirror image:
    # its mean, and how far from its mean it is.
    train, _, _ = synthetic.make(0, 5_000, 10, pattern)
    for label in range(10):
        values = train.images[train.labels == label].float().mean(3)
        for shown in (values.mean(0), values.std(0)):
            assert (shown - shown.flip(1)).abs().mean() < 2


def test_the_old_images_are_those_that_they_were() -> None:
    """Written down before there were others."""
    assert synthetic.make(7, 10, 10, "shapes")[2].startswith("b5f70961b9f3acd6")


def test_a_run_older_than_the_key_had_the_old_images(tmp_path: Path) -> None:
    saved = compose_run(["data=synthetic", "data.seed=3"]).config.to_dict()
    assert saved["data"].pop("pattern") == "waves"
    for group, expected in (({}, "shapes"), ({"pattern": "waves"}, "waves")):
        read = to_object(read_saved({**saved, "data": saved["data"] | group}, tmp_path))
        assert isinstance(read.data, Synthetic)
        assert (read.data.pattern, read.data.seed) == (expected, 3)


def test_a_linear_model_stays_below_60_percent() -> None:
    train, test, _ = synthetic.make(0, 10_000, 2_000)
    inputs, held_out = (flat(images.images) for images in (train, test))
    weights = torch.zeros(3072, 10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=15, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        penalty = 0.05 * (weights**2).sum()
        loss = torch.nn.functional.cross_entropy(inputs @ weights, train.labels) + penalty
        loss.backward()
        return loss

    optimizer.step(loss)
    with torch.no_grad():
        right = [
            (x @ weights).argmax(1) == s.labels for x, s in ((inputs, train), (held_out, test))
        ]
    assert right[0].float().mean() > 0.25  # it has learned what it can
    assert right[1].float().mean() < 0.60  # 29 % is usual


def flat(images: torch.Tensor) -> torch.Tensor:
    return (images.flatten(1).float() / 255 - 0.5) / 0.25


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_three_epochs_with_defaults_reach_80_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    run = trainer.train("data=synthetic", "epochs=3", f"seed={seed}")
    assert run.history[-1]["test/accuracy"] >= 0.80
