"""A trained model as files that other programs run: ONNX and `torch.export`."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import trainer
from trainer import storage
from trainer.conversion import identity
from trainer.data.build import load_data
from trainer.data.device_loader import MEAN, STD
from trainer.data.image_set import ImageSet
from trainer.evaluation import Evaluator
from trainer.history import public
from trainer.use.images import RULE, SIDE
from trainer.use.trained import Trained

OPSET = 18  # what torch's exporter writes without converting
TOLERANCE = 1e-4
IMAGES = 100  # shown to each file before it is written
NAMES = ("logits", "probabilities")

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Deployed(nn.Module):
    """A model behind its normalisation, from the pixels of an image to probabilities.

    Args:
        model: The network.
        flip: Whether the logits are the mean over each image and its mirror image, as the run
            was evaluated.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, *, flip: bool = False) -> None:
        super().__init__()
        self.model = model
        self.flip = flip
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and probabilities, `(N, classes)` float32, of images `(N, 3, 32, 32)` uint8."""
        inputs = (images.float() / 255.0 - self.mean) / self.std
        logits = self.model(inputs)
        if self.flip:
            logits = (logits + self.model(inputs.flip(3))) / 2
        return logits, logits.softmax(1)


def metadata(trained: Trained) -> dict[str, str]:
    """What a file says about itself; every value is a text, lists are JSON."""
    config, digest = trained.config, hashlib.sha256(trained.commit.path.read_bytes()).hexdigest()
    return {
        "classes": json.dumps(list(trained.classes)),
        "input": f"images: uint8 (N, 3, {SIDE}, {SIDE}), RGB, 0..255; normalised inside",
        "output": "logits and probabilities: float32 (N, classes)",
        "preprocessing": RULE,
        "model": config.model.name,
        "data": config.data.name,
        "run": config.name or "",
        "weights": trained.place.weights,
        "step": str(trained.step),
        "metrics": json.dumps(public(trained.row)),
        "config": json.dumps(identity(config)),
        "checkpoint_sha256": digest,
        "trainer": trainer.__version__,
    }


def program(trained: Trained) -> Any:
    """The model as `torch.export` captures it, for any number of images."""
    batch = torch.export.Dim("batch", min=1)
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    deployed = Deployed(trained.model, flip=trained.config.test_time_flip).eval()
    captured = torch.export.export(deployed, (example,), dynamic_shapes={"images": {0: batch}})
    for node in captured.graph.nodes:  # names of files on this machine
        node.meta.pop("stack_trace", None)
    return captured


def pt2_bytes(captured: Any, values: Mapping[str, str]) -> bytes:
    """A captured model as a .pt2 file, with `metadata.json` inside."""
    buffer = io.BytesIO()
    torch.export.save(captured, buffer, extra_files={"metadata.json": json.dumps(values)})
    return buffer.getvalue()


def onnx_bytes(captured: Any, values: Mapping[str, str]) -> bytes:
    """A captured model as an ONNX file, with `metadata_props`."""
    import onnx

    written: Any = torch.onnx.export(
        captured,
        input_names=["images"],
        output_names=list(NAMES),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = written.model_proto
    for node in model.graph.node:  # where in torch it came from
        del node.metadata_props[:]
    (width,) = {t.type.tensor_type.shape.dim[0].dim_param for t in model.graph.input}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == width:
                size.dim_param = "batch"
    onnx.helper.set_model_props(model, dict(values))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run_pt2(content: bytes) -> Forward:
    """A .pt2 file as a function."""
    return torch.export.load(io.BytesIO(content)).module()


def run_onnx(content: bytes) -> Forward:
    """An ONNX file as a function; onnxruntime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def forward(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, probabilities = session.run(list(NAMES), {"images": images.numpy()})
        return torch.from_numpy(logits), torch.from_numpy(probabilities)

    return forward


@dataclass(frozen=True, slots=True)
class Sample:
    """Images that a file is checked with.

    Attributes:
        images: `(100, 3, 32, 32)` uint8.
        logits: `(100, classes)` float32: what the model itself says, as evaluated in fp32.
        words: What they are.
    """

    images: torch.Tensor
    logits: torch.Tensor
    words: str


@torch.no_grad()
def sample(trained: Trained) -> Sample:
    """The first test images of the run's data; random ones where it is not at hand."""
    option = trained.config.data
    if hasattr(option, "download"):
        option.download = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        images = load_data(option).test.images[:IMAGES]
        words = f"{len(images)} test images of {option.name}"
    except FileNotFoundError:
        generator = torch.Generator().manual_seed(0)
        size = (IMAGES, SIDE, SIDE, 3)
        images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        words = f"{IMAGES} random images ({option.name} is not here)"
    labels = torch.zeros(len(images), dtype=torch.int64)
    known = ImageSet(images, labels, trained.classes)
    flip = trained.config.test_time_flip
    evaluator = Evaluator.on(known, torch.device("cpu"), "none", flip=flip)
    logits = evaluator.logits(trained.model, images)
    return Sample(images.permute(0, 3, 1, 2).contiguous(), logits, words)


@torch.no_grad()
def largest_difference(forward: Forward, shown: Sample) -> float:
    """How far a file is from the model, in logits and probabilities, in batches of 1, 7 and more.

    Raises:
        ValueError: If it is more than 1e-4.
    """
    worst = 0.0
    sizes = [1, 7, len(shown.images) - 8]
    for images, logits in zip(shown.images.split(sizes), shown.logits.split(sizes), strict=True):
        ours = (logits, logits.softmax(1))
        for got, expected in zip(forward(images), ours, strict=True):
            worst = max(worst, float((got - expected).abs().max()))
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the exported model differs by {worst:.2g} from the trained one, more than "
            f"{TOLERANCE:g}; nothing was written"
        )
    return worst


def export(trained: Trained, kinds: Mapping[str, str], folder: Path) -> list[str]:
    """Writes a model in each format, once all of them are checked.

    Args:
        trained: The model, on the CPU.
        kinds: File name by format, `onnx` or `torch`.
        folder: Where to; is there.

    Returns:
        A line for each file.

    Raises:
        ValueError: If a file computes something else.
        OSError: If one cannot be written.
    """
    captured, values, shown = program(trained), metadata(trained), sample(trained)
    made = {"onnx": (onnx_bytes, run_onnx), "torch": (pt2_bytes, run_pt2)}
    contents: dict[str, bytes] = {}
    lines: list[str] = []
    for kind, name in kinds.items():
        write, run = made[kind]
        contents[name] = write(captured, values)
        worst = largest_difference(run(contents[name]), shown)
        lines.append(
            f"{folder / name}: {len(contents[name]):,} bytes, within {worst:.1g} of the model on "
            f"{shown.words}"
        )
    for name, content in contents.items():
        storage.write(folder / name, content)
    return lines
