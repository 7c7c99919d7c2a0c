"""The package's default random generator."""

from __future__ import annotations

import numpy as np

from .errors import inside, shown, whole

_default = np.random.default_rng()


def seed(n: int) -> None:
    """Start the default generator afresh: the same n gives the same numbers again.

    NumPy's global state is neither read nor written.  Functions that draw random numbers also take
    `rng`, a `numpy.random.Generator` of your own.
    """
    global _default
    _default = np.random.default_rng(whole("seed: n", n, least=0))


def generator(rng: np.random.Generator | None = None) -> np.random.Generator:
    """rng itself, or the default generator."""
    if rng is None:
        return _default
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, e.g. np.random.default_rng(0), not "
            f"{shown(rng)}{inside()}"
        )
    return rng
