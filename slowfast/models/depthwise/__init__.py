"""Triton kernels of depthwise 3D convolutions, and how they are launched."""
