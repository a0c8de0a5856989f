"""What every trainer process imports and computes alike: done once, before they are forked."""

import torch
from hydra import main

from trainer.config import fields
from trainer.training import session
from trainer.training.code_hash import code_sha256

__all__ = ["main", "session", "torch"]

fields.register()
code_sha256()  # parses a third of the package
