"""Efficient video recognition: one config tree, one model registry, one clip dataset."""

__version__ = "0.1.0"
