"""One step against the plain loop that everybody writes."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainer.models.options import VGG, VGGBN
from trainer.optimizers.build import build_optimizer
from trainer.optimizers.options import SGD, Adam, AdamW, Group, OptimizerOptions
from trainer.training.loss_watch import first_non_finite
from trainer.training.losses import Classification
from trainer.training.update import EpochSums, Update

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def batches(count: int, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(size, 3, 32, 32, generator=generator),
            torch.randint(10, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def trained(
    option: OptimizerOptions, device: str = "cpu", precision: str = "none", **settings: object
):
    torch.manual_seed(0)
    model = VGG().build(10).to(device)
    optimizer = build_optimizer(option, model)
    scaler = GradScaler(device, enabled=precision == "fp16")
    update = Update(model, optimizer, precision=precision, scaler=scaler, **settings)  # type: ignore[arg-type]
    sums = EpochSums.zeros(4, torch.device(device))
    for images, labels in batches(4):
        update(images.to(device), labels.to(device), sums)
    return model, sums


@pytest.mark.parametrize(
    ("option", "theirs"),
    [
        (SGD(lr=0.05), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=5e-4)),
        (
            SGD(lr=0.05, nesterov=True, weight_decay=0),
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
        ),
        (Adam(), lambda p: torch.optim.Adam(p, 1e-3)),
        (AdamW(), lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=1e-2)),
    ],
)
def test_four_updates_equal_the_plain_loop(option: OptimizerOptions, theirs) -> None:
    model, sums = trained(option)
    torch.manual_seed(0)
    plain = VGG().build(10)
    optimizer = theirs(plain.parameters())
    for step, (images, labels) in enumerate(batches(4)):
        optimizer.zero_grad()
        logits = plain(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        assert float(sums.losses[step]) == pytest.approx(loss.item(), rel=1e-5)
    for ours, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_accumulating_micro_batches_equals_the_whole_batch() -> None:
    whole, sums = trained(SGD(lr=0.05))
    for parts in (2, 3):  # 8 images in parts of 3, 3, 2
        split, split_sums = trained(SGD(lr=0.05), accumulate=parts)
        torch.testing.assert_close(sums.losses, split_sums.losses)
        assert torch.equal(sums.score, split_sums.score)
        for a, b in zip(whole.parameters(), split.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_accumulating_gives_batch_norm_the_statistics_of_each_micro_batch() -> None:
    torch.manual_seed(0)
    model = VGGBN().build(10)
    plain = copy.deepcopy(model)
    update = Update(
        model, build_optimizer(SGD(), model), precision="none", scaler=GradScaler(enabled=False),
        accumulate=2,
    )  # fmt: skip
    images, labels = batches(1)[0]
    update(images, labels, EpochSums.zeros(1, CPU))
    for part in images.split(4):
        plain(part)
    seen, expected = model.get_buffer("norm1.running_var"), plain.get_buffer("norm1.running_var")
    assert torch.equal(seen, expected)
    assert int(model.get_buffer("norm1.num_batches_tracked")) == 2


def test_clipping_bounds_the_gradient_and_is_off_by_default() -> None:
    model, _ = trained(SGD(lr=1e-9), clip_norm=1e-3)
    norm = math.sqrt(sum(float(p.grad.norm()) ** 2 for p in model.parameters()))  # type: ignore[union-attr]
    assert norm == pytest.approx(1e-3, rel=1e-3)
    free, _ = trained(SGD(lr=1e-9))
    assert math.sqrt(sum(float(p.grad.norm()) ** 2 for p in free.parameters())) > 1e-2  # type: ignore[union-attr]


def test_label_smoothing_clipping_and_accumulating_equal_torchs_own_in_a_plain_loop() -> None:
    settings = {"clip_norm": 0.05, "accumulate": 2, "objective": Classification(0.1)}
    model, _ = trained(SGD(lr=0.05), **settings)
    torch.manual_seed(0)
    plain = VGG().build(10)
    optimizer = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for images, labels in batches(4):
        optimizer.zero_grad()
        for half in (slice(4), slice(4, None)):
            (criterion(plain(images[half]), labels[half]) / 2).backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.05)
        assert norm > 0.05  # it does clip
        optimizer.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_bf16_stays_close_to_fp32(device: str) -> None:
    exact, sums = trained(SGD(lr=0.05), device)
    rough, rough_sums = trained(SGD(lr=0.05), device, "bf16")
    torch.testing.assert_close(sums.losses, rough_sums.losses, rtol=1e-2, atol=1e-2)
    assert next(rough.parameters()).dtype == torch.float32
    assert not torch.equal(sums.losses, rough_sums.losses)
    for a, b in zip(exact.parameters(), rough.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.1, atol=1e-2)


def test_an_overflow_in_the_first_update_leaves_the_momentum_at_zero() -> None:
    """The CPU's fused kernel takes the same early way out on `found_inf` as CUDA's."""
    model = VGG().build(10)
    optimizer = build_optimizer(SGD(), model)
    optimizer.found_inf = torch.tensor(1.0)  # type: ignore[attr-defined]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter in model.parameters():
        assert not optimizer.state[parameter]["momentum_buffer"].any()


@pytest.mark.cuda
def test_fp16_with_an_overflow_skips_the_update_and_counts_it() -> None:
    model = VGG().build(10).cuda()
    optimizer = build_optimizer(SGD(), model)
    scaler = GradScaler("cuda", init_scale=2.0**40)
    before = [p.clone() for p in model.parameters()]
    update = Update(model, optimizer, precision="fp16", scaler=scaler)
    sums = EpochSums.zeros(1, torch.device("cuda"))
    images, labels = batches(1)[0]
    update(images.cuda(), labels.cuda(), sums)
    assert int(sums.skipped) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(optimizer.state[p]["momentum_buffer"].any() for p in model.parameters())


def test_groups_take_the_first_expression_that_matches() -> None:
    option = SGD(
        groups=[Group(match="^fc", lr_scale=0.1, weight_decay=0.0), Group(match="conv|fc1")]
    )
    optimizer = build_optimizer(option, VGG().build(10))
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [
        ("^fc", pytest.approx(0.004), 0.0),
        ("conv|fc1", 0.04, 5e-4),
    ]
    assert [len(g["params"]) for g in optimizer.param_groups] == [2, 6]
    with pytest.raises(ValueError, match=r"optimizer.groups\[0\].match=bias: matches none"):
        build_optimizer(SGD(groups=[Group(match="bias")]), VGG().build(10))


def test_each_group_has_a_name_of_its_own() -> None:
    """They are columns of lr.csv and tags of TensorBoard."""
    groups = [Group(match="(weight)"), Group(match="[weight]"), Group(match="rest|bias")]
    option = SGD(groups=groups, decay_norm_and_bias=True)
    assert [name for name, _ in option.base_lrs()] == [
        "_weight_",
        "_weight__2",
        "rest|bias",
        "rest",
    ]
    names = SGD(groups=[Group(match="rest")]).base_lrs()
    assert [name for name, _ in names] == ["rest", "rest_2"]
    made = build_optimizer(
        SGD(groups=[Group(match="(weight)"), Group(match="[bias]")]), normalised()
    )
    assert [group["name"] for group in made.param_groups] == ["_weight_", "_bias_"]


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.LayerNorm(4), nn.Linear(4, 10)
    )


def test_norms_and_biases_without_decay_are_those_that_transformers_leaves_out() -> None:
    from transformers.trainer_pt_utils import get_parameter_names

    model = normalised()
    optimizer = build_optimizer(AdamW(decay_norm_and_bias=False), model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {g["name"]: [names[id(p)] for p in g["params"]] for g in optimizer.param_groups}
    layers = [nn.BatchNorm2d, nn.LayerNorm]
    decayed = [n for n in get_parameter_names(model, layers) if not n.endswith("bias")]
    assert sorted(found["rest"]) == sorted(decayed) == ["0.weight", "3.weight"]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 1e-2]
    assert [g["lr"] for g in optimizer.param_groups] == [1e-3, 1e-3]
    assert sum(map(len, found.values())) == len(names)


def test_a_group_takes_its_biases_with_it() -> None:
    option = SGD(decay_norm_and_bias=False, groups=[Group(match="^3", lr_scale=0.5)])
    optimizer = build_optimizer(option, normalised())
    assert [(g["name"], len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups] == [
        ("^3", 2, 5e-4),
        ("norm_and_bias", 4, 0.0),
        ("rest", 1, 5e-4),
    ]
    assert [name for name, _ in option.base_lrs()] == ["^3", "norm_and_bias", "rest"]


def test_a_model_without_norms_and_biases_cannot_leave_them_out() -> None:
    with pytest.raises(ValueError, match="decay_norm_and_bias=false: the model has no norm or bia"):
        build_optimizer(SGD(decay_norm_and_bias=False), VGG().build(10))


def test_the_first_non_finite_loss_is_found() -> None:
    losses = torch.tensor([1.0, 2.0, math.nan, math.inf])
    assert first_non_finite(losses) == 2
    assert first_non_finite(losses[:2]) is None
    assert first_non_finite(torch.tensor([3e38, 3e38])) is None
    assert first_non_finite(torch.tensor([math.inf, -math.inf])) == 0
