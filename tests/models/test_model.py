"""The models against torchvision's blocks and the tutorial's own forward pass."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from torchvision.models.vgg import cfgs, make_layers

from trainer.config.choices import options
from trainer.models.build import parameters_of
from trainer.models.cifar_vgg import BLOCKS
from trainer.models.options import OPTIONS, VGG, VGGBN, ResNet18


def relu_then_pool(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The forward pass as the tutorial writes it: ReLU in front of each pool."""
    m = dict(model.named_children())
    x = F.max_pool2d(F.relu(m["conv1"](images)), 2)
    x = F.relu(m["conv2_1"](x))
    x = F.max_pool2d(F.relu(m["conv2_2"](x)), 2)
    x = F.relu(m["conv3_1"](x))
    x = F.relu(m["conv3_2"](x))
    x = F.max_pool2d(F.relu(m["conv3_3"](x)), 2)
    return m["fc2"](F.relu(m["fc1"](x.flatten(1))))


def outputs_and_gradients(forward, model, images, bf16: bool) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = forward(images)
    F.cross_entropy(logits.float(), torch.arange(len(images)) % 10).backward()
    return [logits, *(p.grad for p in model.parameters())]


def test_pooling_before_relu_gives_bit_equal_outputs_and_gradients() -> None:
    for seed, bf16 in ((0, False), (1, True)):
        torch.manual_seed(seed)
        model = VGG().build(10).to(memory_format=torch.channels_last)
        images = torch.randn(16, 3, 32, 32).to(memory_format=torch.channels_last)
        images[:4] = images[:4].round()  # ties
        images[4] = 0  # nothing but zeros
        ours = outputs_and_gradients(model, model, images, bf16)
        theirs = outputs_and_gradients(lambda x, m=model: relu_then_pool(m, x), model, images, bf16)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_vgg_with_batch_norm_is_the_vgg_with_a_norm_behind_each_convolution() -> None:
    torch.manual_seed(0)
    model = VGGBN().build(10)
    assert not any(n.endswith("bias") and "norm" not in n for n, _ in model.named_parameters())
    fresh, m = copy.deepcopy(model), dict(model.named_children())
    images = torch.randn(8, 3, 32, 32)
    x = images
    for stage, convolutions in ((1, [""]), (2, ["_1", "_2"]), (3, ["_1", "_2", "_3"])):
        for place in convolutions:
            x = F.relu(m[f"norm{stage}{place}"](m[f"conv{stage}{place}"](x)))
        x = F.max_pool2d(x, 2)
    expected = m["fc2"](F.relu(m["fc1"](x.flatten(1))))
    assert torch.equal(fresh(images), expected)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vgg", 688_224),
        ("vgg_bn", 689_312),
        ("vgg11", 9_225_610),
        ("vgg13", 9_410_122),
        ("vgg16", 14_719_818),
        ("vgg19", 20_029_514),
        ("vgg11_bn", 9_231_114),
        ("vgg13_bn", 9_416_010),
        ("vgg16_bn", 14_728_266),
        ("vgg19_bn", 20_040_522),
        ("resnet18", 11_173_962),
    ],
)
def test_each_model_has_the_known_number_of_parameters(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in parameters_of(OPTIONS[name]()).values()) == parameters
    assert f"{parameters:,} parameters" in " ".join((OPTIONS[name].__doc__ or "").split())


def test_every_model_has_its_file() -> None:
    assert set(options("model")) == set(OPTIONS)


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_the_convolutions_of_a_vgg_are_torchvisions_bit_for_bit(name: str) -> None:
    torch.manual_seed(0)
    ours = OPTIONS[name]().build(10)
    letter = {"vgg11": "A", "vgg16_bn": "D"}[name]
    theirs = nn.Sequential()
    theirs.add_module("features", make_layers(cfgs[letter], batch_norm=name.endswith("_bn")))
    theirs.add_module("flatten", nn.Flatten())
    theirs.add_module("classifier", nn.Linear(512, 10))
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images))
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), key  # the norms' statistics, too
    ours.eval()
    theirs.eval()
    assert torch.equal(ours(images), theirs(images))


def test_the_depth_of_a_vgg_is_torchvisions() -> None:
    for depth, letter in ((11, "A"), (13, "B"), (16, "D"), (19, "E")):
        flat = [item for block in BLOCKS[depth] for item in (*block, "M")]
        assert flat == cfgs[letter]


def test_the_resnet_is_torchvisions_but_for_the_stem_bit_for_bit() -> None:
    torch.manual_seed(0)
    ours = ResNet18().build(10)
    theirs = resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()  # type: ignore[assignment]
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 32, 32)
    labels = torch.tensor([3, 7])
    for model in (ours, theirs):
        F.cross_entropy(model(images), labels).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad)
    ours.eval()
    theirs.eval()
    assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_the_initial_weights_are_he_normal(name: str) -> None:
    torch.manual_seed(0)
    model = OPTIONS[name]().build(10)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            out = module.out_channels * module.kernel_size[0] ** 2
            assert float(module.weight.detach().std()) == pytest.approx(
                math.sqrt(2 / out), rel=0.05
            )
            assert abs(float(module.weight.detach().mean())) < 0.1 * math.sqrt(2 / out)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(512)
            std = bound / math.sqrt(3) if name == "resnet18" else 0.01
            assert float(module.weight.detach().std()) == pytest.approx(std, rel=0.05)
            assert name == "resnet18" or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()


def test_the_vgg_has_exactly_688224_parameters() -> None:
    model = VGG().build(10)
    assert sum(p.numel() for p in model.parameters()) == 688_224
    assert all(not name.endswith("bias") for name, _ in model.named_parameters())


def test_the_initial_weights_are_torchs_defaults() -> None:
    torch.manual_seed(3)
    ours = VGG().build(10).state_dict()
    torch.manual_seed(3)
    layers = {"conv1": (3, 32), "conv2_1": (32, 64), "conv2_2": (64, 64), "conv3_1": (64, 128)}
    layers |= {"conv3_2": (128, 128), "conv3_3": (128, 128)}
    theirs = {n: torch.nn.Conv2d(i, o, 3, bias=False).weight for n, (i, o) in layers.items()}
    theirs |= {
        "fc1": torch.nn.Linear(2048, 128, bias=False).weight,
        "fc2": torch.nn.Linear(128, 10, bias=False).weight,
    }
    assert all(torch.equal(ours[f"{name}.weight"], weight) for name, weight in theirs.items())
