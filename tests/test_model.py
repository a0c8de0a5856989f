"""The small VGG against the tutorial's own forward pass."""

import torch
import torch.nn.functional as F

from trainer.models.build import build_model
from trainer.models.options import VGG


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
        model = build_model(VGG(), 10).to(memory_format=torch.channels_last)
        images = torch.randn(16, 3, 32, 32).to(memory_format=torch.channels_last)
        images[:4] = images[:4].round()  # ties
        images[4] = 0  # nothing but zeros
        ours = outputs_and_gradients(model, model, images, bf16)
        theirs = outputs_and_gradients(lambda x, m=model: relu_then_pool(m, x), model, images, bf16)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_vgg_has_exactly_688224_parameters() -> None:
    model = build_model(VGG(), 10)
    assert sum(p.numel() for p in model.parameters()) == 688_224
    assert all(not name.endswith("bias") for name, _ in model.named_parameters())


def test_the_initial_weights_are_torchs_defaults() -> None:
    torch.manual_seed(3)
    ours = build_model(VGG(), 10).state_dict()
    torch.manual_seed(3)
    layers = {"conv1": (3, 32), "conv2_1": (32, 64), "conv2_2": (64, 64), "conv3_1": (64, 128)}
    layers |= {"conv3_2": (128, 128), "conv3_3": (128, 128)}
    theirs = {n: torch.nn.Conv2d(i, o, 3, bias=False).weight for n, (i, o) in layers.items()}
    theirs |= {
        "fc1": torch.nn.Linear(2048, 128, bias=False).weight,
        "fc2": torch.nn.Linear(128, 10, bias=False).weight,
    }
    assert all(torch.equal(ours[f"{name}.weight"], weight) for name, weight in theirs.items())
