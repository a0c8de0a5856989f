"""Models for 32x32 colour images."""
