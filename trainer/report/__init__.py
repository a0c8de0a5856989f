"""Comparing runs: what `python -m trainer.report` reads, computes and writes. Free of torch."""
