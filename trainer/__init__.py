"""Learning-rate experiments on CIFAR-10: train, preview, resume, compare."""

__version__ = "0.1.0"
