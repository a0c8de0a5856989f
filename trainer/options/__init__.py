"""What all options share: their keys and the ranges of their values."""
