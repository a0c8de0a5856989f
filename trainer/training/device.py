"""Which device, precision and engine a run uses, and the process flags that make it repeatable."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from trainer.cli.launch import Launch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
# How CUDA itself, cuBLAS and cuDNN say what has a type of its own in torch.
NO_MEMORY = ("CUDA error: out of memory", "STATUS_ALLOC_FAILED", "ALLOCATION_FAILED")


def choose_device(name: str, launch: Launch | None = None) -> torch.device:
    """The device that `device=<name>` means on this machine.

    Args:
        name: The key's value.
        launch: Of several processes, each takes a GPU of its own.

    Raises:
        ValueError: If it names a CUDA device that is not there.
        OSError: If it is there and does not work.
    """
    launch = launch or Launch()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device("cuda", device.index or launch.local_rank)
    if launch.local_processes > count > 0:
        raise ValueError(
            f"device={name}: {launch.local_processes} processes need a GPU each, this one sees "
            f"{count}; start {count}, let each process see all GPUs, or use device=cpu"
        )
    if device.index >= count:
        raise ValueError(f"device={name}: this machine has {count} CUDA devices; use device=auto")
    # Events, pinned memory and streams belong to the current device unless told otherwise.
    try:
        torch.cuda.set_device(device)
    except RuntimeError as error:
        raise failure(name, error) from error
    return device


def choose_precision(amp: str, device: torch.device) -> str:
    """`none`, `bf16` or `fp16`: what `amp=<amp>` means on a device.

    `auto` takes bf16 where the hardware multiplies in it, else fp16 on CUDA, else none.

    Raises:
        ValueError: If fp16 is asked for on a CPU.
    """
    if device.type == "cpu":
        if amp == "fp16":
            raise ValueError("amp=fp16: needs a CUDA device; use amp=bf16, none or auto")
        return ("bf16" if cpu_multiplies_bf16() else "none") if amp == "auto" else amp
    if amp == "auto":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return amp


def choose_engine(
    engine: str, device: torch.device, *, loader: str, cycles_momentum: bool, processes: int = 1
) -> str:
    """`eager` or `graph`: what `engine=<engine>` means for a run.

    Raises:
        ValueError: If `graph` is asked for where a step cannot be captured; names the reason.
    """
    reason = None
    if device.type != "cuda":
        reason = "needs a CUDA device"
    elif loader != "device":
        reason = f"cannot capture data.loader={loader}; data.loader=device gives the same batches"
    elif processes > 1:
        reason = f"cannot capture the exchange of {processes} processes"
    elif cycles_momentum:
        reason = "cannot capture a momentum that changes; scheduler.cycle_momentum=false keeps it"
    if engine == "graph" and reason is not None:
        raise ValueError(f"engine=graph: {reason}; engine=auto takes eager")
    return "eager" if engine == "eager" or reason is not None else "graph"


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 dot products; elsewhere bf16 is slower than fp32."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # macOS
        return False
    flags = cpuinfo.read_text(errors="replace")
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def set_determinism(deterministic: bool) -> None:
    """Sets the process flags for kernels that repeat bit for bit, or for the fastest ones."""
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    # fp32 means fp32: `amp` alone decides about less.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # Read once, at the first product of a process, and a sweep's next job may be deterministic.
    if os.environ.get(CUBLAS) not in (":4096:8", ":16:8"):
        os.environ[CUBLAS] = ":4096:8"
    # The same flag as use_deterministic_algorithms, which would import inductor (2.5 s).
    torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    # Older versions of torch flag max-pool's backward on CUDA, whose additions could collide where
    # windows overlap. Ours do not; tests/training/test_cuda.py shows that runs repeat.
    warnings.filterwarnings("ignore", message="max_pool2d_with_indices_backward_cuda")
    # Filling fresh memory guards against reading it uninitialised, at the price of a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore


def environment(device: torch.device) -> dict[str, str]:
    """What bit-equality depends on beside the configuration, in plain values."""
    cudnn = torch.backends.cudnn.version() if device.type == "cuda" else None
    return {"device": describe(device), "torch": str(torch.__version__), "cudnn": str(cudnn)}


def describe(device: torch.device) -> str:
    """The device in words, for the log and `summary.json`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = "CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    threads = torch.get_num_threads()
    return f"{model}, {threads} thread{'s' if threads > 1 else ''}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from or over, and so on inwards."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def out_of_memory(error: BaseException) -> bool:
    """Whether the GPU's memory was too small, whichever library found out."""
    return isinstance(error, RuntimeError) and any(
        isinstance(cause, torch.OutOfMemoryError) or any(text in str(cause) for text in NO_MEMORY)
        for cause in causes(error)
    )


def failure(name: str, cause: BaseException) -> OSError:
    """What `device=<name>` reports of itself, with the way out."""
    line = str(cause).partition("\n")[0]
    return OSError(f"device={name}: {line}; device=cpu computes without it")
