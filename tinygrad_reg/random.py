"""The package's default random generator."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from .errors import in_scope, shown
from .settings import check_int

_default: np.random.Generator | None = None  # made when first asked for: np.random loads slowly


class StandIn:
    """Base class of what stands for a generator and records its draws: `program/` has such."""

    draw: Callable[..., Any]  # calls a function of a generator


# What `generator` puts in the place of a generator: mostly itself.
replaced: ContextVar[Callable[[Any], Any]] = ContextVar("replaced", default=lambda rng: rng)


def seed(n: int) -> None:
    """Start the default generator afresh: the same n gives the same numbers again.

    NumPy's global state is neither read nor written.  Functions that draw random numbers also take
    `rng`, a `numpy.random.Generator` of your own.

    Parameters
    ----------
    n
        A whole number, 0 or more.

    Examples
    --------
    >>> seed(0)
    >>> first = generator().random()
    >>> seed(0)
    >>> generator().random() == first
    True
    """
    global _default
    _default = np.random.default_rng(check_int("seed: n", n, least=0))


def generator(rng: np.random.Generator | None = None) -> Any:
    """The given generator, or by default the package's.

    Parameters
    ----------
    rng
        A generator of your own, e.g. `np.random.default_rng(0)`.
    """
    global _default
    if rng is None:
        if _default is None:
            _default = np.random.default_rng()
        rng = _default
    elif isinstance(rng, StandIn):
        return rng
    elif not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, e.g. np.random.default_rng(0), not "
            f"{shown(rng)}{in_scope()}"
        )
    return replaced.get()(rng)


def random_bits(rng: Any, n: int) -> Any:
    """n independent random numbers of 16 bits: four of each number of 64 bits that is drawn.

    Parameters
    ----------
    rng
        A generator, as `generator` gives it.
    n
        How many.

    Returns
    -------
    array
        Of `uint16`, (n,).

    Examples
    --------
    >>> random_bits(np.random.default_rng(0), 3)
    array([33375, 55746, 60367], dtype=uint16)
    """
    if isinstance(rng, StandIn):
        return rng.draw(random_bits, n)
    words, bits = -(-n // 4), rng.bit_generator
    if type(bits).__name__ == "MT19937":  # its own numbers have 32 bits
        return rng.integers(0, 2**64, words, np.uint64).view(np.uint16)[:n]
    return bits.random_raw(words).view(np.uint16)[:n]
