"""Weights that depend on nothing but a tensor's name and shape."""

import math
import zlib

import numpy as np


def golden_value(name, shape):
    """Weight fill A of tensor `name`, float64."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("running_mean"):
        return 0.1 * rng.standard_normal(shape)
    if len(shape) >= 2:
        return rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    if name.endswith("weight"):
        return rng.uniform(0.5, 1.5, shape)
    return 0.1 * rng.standard_normal(shape)
