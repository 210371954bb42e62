"""Giving trained networks away."""
