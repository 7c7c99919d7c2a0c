"""`compile`: programs give what the engine gives, bit for bit, and leave what it leaves."""

import warnings

import numpy as np
import pytest
from catalogue import catalogue, sample

import tinygrad_reg as tg
from tinygrad_reg import Tensor
from tinygrad_reg import functional as F
from tinygrad_reg.program.recorder import same_bits

# --- Every function ------------------------------------------------------------------------------


def same(a, b):
    """Whether two arrays are the same to the last bit, NaN and the sign of zero included."""
    return same_bits(np.asarray(a), np.asarray(b))


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


# --- Random programs -----------------------------------------------------------------------------


def as_function(program):
    """A random program as a function of the numbers in its leaves: values and gradients."""
    programs = pytest.importorskip("programs")
    leaves = [k for k, line in program.items() if isinstance(line, programs.Leaf)]
    names = {"np": np, "Tensor": Tensor, "F": F, "gram": programs.gram}
    names |= {"primitives": tg.primitives, "more_primitives": tg.more_primitives}

    def f(*arrays):
        known = dict(names)
        for k, x in zip(leaves, arrays):
            known[f"x{k}"] = Tensor(x, requires_grad=program[k].requires_grad)
        for k, line in program.items():
            if k not in leaves:
                known[f"x{k}"] = eval(line.ours(), known)
        values = [known[f"x{k}"] for k in programs.unused(program)]
        loss = sum((v * v).sum() for v in values)
        if loss.requires_grad:
            loss.backward()
        grads = [known[f"x{k}"].grad for k in leaves]
        return [*(v.detach() for v in values), *(g for g in grads if g is not None)]

    return f, [np.array(program[k].numbers) for k in leaves]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(75))
def test_random_programs_give_what_the_engine_gives(seed, dtype):
    draw_program = pytest.importorskip("programs").draw_program
    f, arrays = as_function(draw_program(seed))
    step = tg.compile(f)
    for call in range(4):
        for x in arrays:
            x *= 1 + 1e-4 * call
        given = [x.astype(dtype) for x in arrays]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, found = f(*given), step(*given)
        for a, b in zip(found, expected, strict=True):
            assert same(a._array, b._array), call
    assert len(step.programs) == 1, step.eager
