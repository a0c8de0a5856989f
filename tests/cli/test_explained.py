"""What a GPU reports, as a line with key and way out."""

from pathlib import Path

import pytest
import torch

from trainer.__main__ import main
from trainer.config.overrides import compose_run
from trainer.training.session import explained

CONFIG = compose_run(["data=synthetic", "device=cuda"]).config
INVALIDATED = "CUDA error: operation failed due to a previous error during capture\nSearch for ..."


def over(inner: Exception, outer: Exception) -> Exception:
    """An error that was raised while another one was handled."""
    outer.__context__ = inner
    return outer


def accelerator(text: str) -> Exception:
    return torch.AcceleratorError(text)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        accelerator("CUDA error: out of memory\nSearch for ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_too_little_memory_whoever_says_so(error: Exception) -> None:
    for found in (error, over(error, accelerator(INVALIDATED))):
        known = explained(found, CONFIG)
        assert isinstance(known, MemoryError)
        assert str(known) == (
            "batch_size=128: the GPU is out of memory; accumulate=2 or a smaller batch needs less"
        )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (accelerator("CUDA error: no kernel image is available for execution on the device\nFor"),
         "CUDA error: no kernel image is available for execution on the device"),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"),
         "CUDA error: no kernel image is available for execution on the device"),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nFor"),
         "CUDA error: all CUDA-capable devices are busy or unavailable"),
        (accelerator("CUDA error: an illegal memory access was encountered\nCUDA kernel"),
         "CUDA error: an illegal memory access was encountered"),
        (over(accelerator("CUDA error: unspecified launch failure"), accelerator(INVALIDATED)),
         "CUDA error: unspecified launch failure"),
        (over(ValueError("a user's"), accelerator("CUDA error: misaligned address")),
         "CUDA error: misaligned address"),
    ],
)  # fmt: skip
def test_what_a_device_reports_is_one_line_that_names_the_way_out(
    error: Exception, line: str
) -> None:
    known = explained(error, CONFIG)
    assert isinstance(known, OSError), "exit code 1"
    assert str(known) == f"device=cuda: {line}; device=cpu computes without it"


def test_a_programs_own_error_stays_one() -> None:
    memory = torch.OutOfMemoryError("CUDA out of memory")
    assert explained(RuntimeError("shapes"), CONFIG) is None
    assert explained(over(memory, ValueError("batch_size=9: too many")), CONFIG) is None
    hidden = RuntimeError("shapes")
    hidden.__context__, hidden.__suppress_context__ = memory, True  # raise ... from None
    assert explained(hidden, CONFIG) is None


def test_the_memory_of_the_machine_is_named_as_such() -> None:
    error = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    assert "batch_size=128: the machine is out of memory" in str(explained(error, CONFIG))


def test_a_gpu_that_another_program_holds_is_one_line_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def held(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy\nFor")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", held)
    monkeypatch.chdir(tmp_path)
    assert main(["data=synthetic"]) == 1
    assert capsys.readouterr().err == (
        "trainer: error: device=cuda: CUDA error: all CUDA-capable devices are busy; device=cpu "
        "computes without it\n"
    )
    assert not list(tmp_path.iterdir())
