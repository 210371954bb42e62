"""Pieces that several tests build on."""
