"""Bytes that survive: atomic writes, locks, checkpoints, run folders."""
