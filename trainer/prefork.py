"""What every trainer process imports and computes alike: done once, before they are forked."""

import torch
from hydra import main

from trainer import __main__, config, session
from trainer.code_hash import code_sha256

__all__ = ["__main__", "main", "session", "torch"]

config.register()
code_sha256()  # parses a third of the package
