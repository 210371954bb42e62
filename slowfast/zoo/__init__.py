"""Weights by name, from wherever they are published."""
