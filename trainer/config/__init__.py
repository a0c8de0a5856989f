"""A run as typed values."""
