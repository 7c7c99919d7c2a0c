"""`compile`: programs give what the engine gives, bit for bit, and leave what it leaves."""

import warnings

import numpy as np
import pytest
from catalogue import catalogue, sample

import tinygrad_reg as tg
from tinygrad_reg import Tensor

# --- Every function ------------------------------------------------------------------------------


def same(a, b):
    """Whether two arrays are the same to the last bit, NaN and the sign of zero included."""
    a, b = np.asarray(a), np.asarray(b)
    return (a.shape, a.dtype) == (b.shape, b.dtype) and a.tobytes() == b.tobytes()


def value_and_gradients(entry):
    """A function of arrays: the value of an entry, and its gradients, from a fixed one."""

    def f(*arrays):
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        result = entry.f(*leaves)
        if result.requires_grad:
            (result * np.cos(np.arange(float(result.size)).reshape(result.shape))).sum().backward()
        grads = [leaf.grad for leaf in leaves]
        return [result.detach(), *(g for g in grads if g is not None)]

    return f


@pytest.mark.parametrize("name", sorted(catalogue))
def test_programs_give_what_the_engine_gives(name):
    for entry in sample(name, 3):
        f = value_and_gradients(entry)
        step = tg.compile(f)
        rng = np.random.default_rng(0)
        for call in range(4):
            arrays = [np.array(x) for x in entry.inputs]
            for x in arrays:
                x *= 1 + 0.01 * (call % 2) * rng.random()  # others nearby: the same decisions
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected, found = f(*arrays), step(*arrays)
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                assert same(a._array, b._array), (name, call)
        assert len(step.programs) == 1, step.eager
