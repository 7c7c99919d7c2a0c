"""The masks of dropout, drawn by hand: 16 random bits for each unit, four units from 64."""

import numpy as np


def kept(rng, shape, p):
    """Which units stay, if each is dropped with probability p."""
    n = int(np.prod(shape))
    bits = rng.bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n]
    return bits.reshape(shape) / 65536 >= round(p * 65536) / 65536
