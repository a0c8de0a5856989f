"""Data sets, the epoch table, and the loaders that follow it."""
