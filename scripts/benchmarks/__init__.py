"""The suites of `scripts/bench.py`, one file each; nothing heavy is imported before one runs."""

# name: (file, default --steps, default --repeats, what it compares)
SUITES = {
    "plain": ("plain", 20, 3, "the loop that people write, in fp32 and in bf16 + channels_last"),
    "lightning": ("lightning_loop", 20, 3, "PyTorch Lightning's Trainer, the same recipe"),
    "accelerate": ("accelerate_loop", 20, 3, "Hugging Face Accelerate, the same recipe"),
    "timm": ("timm_loop", 20, 3, "timm's loader, optimizer and kind of loop, the same recipe"),
    "resident": ("resident_loop", 20, 3, "data kept on the device and augmented in batches there"),
    "step": ("step", 20, 3, "our own step on one frozen batch: what loading costs"),
    "writing": ("writing", 20, 5, "epochs with and without logs, evaluation line and checkpoint"),
    "scaling": (
        "scaling",
        8,
        1,
        "batch 32 to 4096, 1 and 2 threads, data 1x to 8x, 1 to 100 epochs",
    ),
    "distributed": ("distributed", 10, 2, "1 and 2 processes under torchrun, one thread each"),
    "startup": ("startup", 1, 3, "from the command line to an answer, or to the first step"),
    "memory": ("memory", 1, 1, "peak memory of a real run"),
    "cuda": ("cuda", 0, 3, "what a GPU must show: images/s, whole job, idle share, one step"),
}
