"""A trained model as checked files that other programs run: ONNX and `torch.export`."""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import trainer
from trainer.config.sameness import identity
from trainer.data.build import load_data
from trainer.data.device_loader import MEAN, STD
from trainer.inference.images import RULE, SIDE
from trainer.inference.trained import Trained
from trainer.storage import files
from trainer.training.history import public

OPSET = 18  # what torch's exporter writes without converting
NAMES = ("logits", "probabilities")
TOLERANCE = 1e-4
IMAGES = 100  # shown to each file before it is written
SIZES = (1, 7, IMAGES - 8)  # in batches of so many

Forward = Callable[[torch.Tensor], Sequence[torch.Tensor]]
"""Logits and probabilities of images `(N, 3, 32, 32)` uint8: what each file computes."""


class Exported(nn.Module):
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


def export(trained: Trained, kinds: Mapping[str, str], folder: Path) -> list[str]:
    """Writes a model as files, once all of them are checked.

    Args:
        trained: The model, on the CPU.
        kinds: File name by format, `onnx` or `torch`.
        folder: Where to; made if need be.

    Returns:
        A line for each file.

    Raises:
        ValueError: If the model cannot be written so, or a file computes something else.
        OSError: If one cannot be written.
        Exception: Whatever `Trained.outputs` raises.
    """
    images, shown = sample(trained)
    logits = trained.logits(images)
    captured, values = capture(trained), metadata(trained)
    formats = {"onnx": (onnx_bytes, run_onnx), "torch": (pt2_bytes, run_pt2)}
    contents: dict[str, bytes] = {}
    lines: list[str] = []
    for kind, name in kinds.items():
        to_bytes, run = formats[kind]
        with _in_a_line(f"--format {kind}: the model cannot be written so"):
            contents[name] = to_bytes(captured, values)
        worst = largest_difference(run(contents[name]), images, logits)
        lines.append(
            f"{folder / name}: {len(contents[name]):,} bytes, within {worst:.1g} of the model on "
            f"{shown}"
        )
    files.make_folder(folder.absolute())
    for name, content in contents.items():
        files.write(folder / name, content)
    return lines


def sample(trained: Trained) -> tuple[torch.Tensor, str]:
    """Images `(100, 32, 32, 3)` uint8 that files are checked with, and what they are.

    The first test images of the run's data, over and over where they are too few; random ones
    where the data set is not at hand.
    """
    option = trained.config.data
    if hasattr(option, "download"):
        option.download = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        first = load_data(option).test.images[:IMAGES]
    except FileNotFoundError:
        generator = torch.Generator().manual_seed(0)
        size = (IMAGES, SIDE, SIDE, 3)
        images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        return images, f"{IMAGES} random images ({option.name} is not here)"
    images = first.repeat(-(-IMAGES // len(first)), 1, 1, 1)[:IMAGES]
    return images, f"{len(first)} test images of {option.name}"


@torch.no_grad()
def largest_difference(forward: Forward, images: torch.Tensor, logits: torch.Tensor) -> float:
    """How far a file is from the model, in logits and probabilities, in batches of 1, 7 and 92.

    Args:
        forward: The file.
        images: Of `sample`.
        logits: What the model itself answers to them, in fp32.

    Raises:
        ValueError: If it is more than 1e-4, or not a number.
    """
    batches = zip(images.permute(0, 3, 1, 2).split(SIZES), logits.split(SIZES), strict=True)
    apart = [
        (got - expected).abs().max()
        for pixels, ours in batches
        for got, expected in zip(forward(pixels.contiguous()), (ours, ours.softmax(1)), strict=True)
    ]
    worst = float(torch.stack(apart).max())
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the exported model differs by {worst:.2g} from the trained one, more than "
            f"{TOLERANCE:g}; nothing was written"
        )
    return worst


def metadata(trained: Trained) -> dict[str, str]:
    """What a file says about itself; every value is a text, lists are JSON."""
    config, digest = trained.config, hashlib.sha256(trained.source.path.read_bytes()).hexdigest()
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


def capture(trained: Trained) -> Any:
    """The model as `torch.export` captures it, for any number of images.

    Raises:
        ValueError: If it cannot be captured.
    """
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    whole = Exported(trained.model, flip=trained.config.test_time_flip).eval()
    name = trained.config.model.name
    with _in_a_line(f"model={name}: torch.export cannot capture it; no branch may hang on pixels"):
        captured = torch.export.export(whole, (example,), dynamic_shapes=shapes)
    for node in captured.graph.nodes:  # names of files on this machine
        node.meta.pop("stack_trace", None)
    return captured


@contextlib.contextmanager
def _in_a_line(words: str) -> Generator[None]:
    """Makes torch's pages about what it cannot do a ValueError of one line: `words` and why."""
    logging.disable()  # the same pages, in its log
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():  # as prints, too
            warnings.simplefilter("ignore")  # of one part of torch to another
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch, or the network itself, can raise anything
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        first = str(reason).strip().partition("\n")[0]
        raise ValueError(f"{words}: {first or type(reason).__name__}") from error
    finally:
        logging.disable(logging.NOTSET)


def pt2_bytes(captured: Any, values: Mapping[str, str]) -> bytes:
    """A captured model as a .pt2 file, with `metadata.json` inside."""
    buffer = io.BytesIO()
    torch.export.save(captured, buffer, extra_files={"metadata.json": json.dumps(values)})
    return buffer.getvalue()


def run_pt2(content: bytes) -> Forward:
    """A .pt2 file as a function."""
    with warnings.catch_warnings():  # torch 2.10's own, about how it reads its own file
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        return torch.export.load(io.BytesIO(content)).module()


def onnx_bytes(captured: Any, values: Mapping[str, str]) -> bytes:
    """A captured model as an ONNX file, with `metadata_props`."""
    import onnx

    written: Any = torch.onnx.export(
        captured,
        input_names=["images"],
        output_names=list(NAMES),
        dynamic_shapes=({0: "batch"},),
        opset_version=OPSET,
        verbose=False,
    )
    model = written.model_proto
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]  # where in torch, and in whose files, it came from
    onnx.helper.set_model_props(model, dict(values))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run_onnx(content: bytes) -> Forward:
    """An ONNX file as a function; onnxruntime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def forward(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(x) for x in session.run(list(NAMES), {"images": images.numpy()})]

    return forward
