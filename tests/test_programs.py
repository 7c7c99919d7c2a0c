"""Random programs: value, gradient and Hessian-vector product are those of PyTorch.

The programs are the same in every run; `pytest tests/test_programs.py --programs 20000` runs more.
"""

import numpy as np
import pytest
from programs import Step, draw_program, operations, run, script, shrunk

from tinygrad_reg import Tensor, primitives, tensor
from tinygrad_reg import functional as F
from tinygrad_reg.primitives import EachPosition, table


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("programs")))


def test_a_random_program_agrees_with_pytorch(seed):
    program = draw_program(seed)
    if run(program)[1] is not None:
        part = shrunk(program)
        pytest.fail(f"{run(part)[1]!r} in this program:\n\n{script(part)}", pytrace=False)


# --- The programs are what they should be --------------------------------------------------------


def steps(program):
    return [line for line in program.values() if isinstance(line, Step)]


def test_programs_have_5_to_60_steps_and_use_values_again():
    programs = [draw_program(seed) for seed in range(100)]
    lengths = [len(steps(program)) for program in programs]
    assert min(lengths) >= 5
    assert max(lengths) <= 60
    assert 25 < np.mean(lengths) < 40
    for program in programs:
        operands = [i for step in steps(program) for i in step.operands]
        assert len(operands) > len(set(operands)) or len(steps(program)) < 20


def test_programs_use_every_operation_and_every_function_of_the_table(monkeypatch):
    class Spy(dict):
        def __getitem__(self, function):
            seen.add(function)
            return super().__getitem__(function)

    seen = set()
    monkeypatch.setattr(tensor, "table", Spy(table))
    programs = [draw_program(seed) for seed in range(80)]
    for program in programs:
        run(program)
    assert seen == set(table)
    used = {step.operation for program in programs for step in steps(program)}
    assert set(operations) - used == set()


# --- What is wrong is found, and shrunk to one line ----------------------------------------------


def wrong_gradient(monkeypatch):
    monkeypatch.setitem(table, np.tanh, (lambda g, out, x: 1.001 * g * (1 - out * out),))


def wrong_gradient_if_recorded(monkeypatch):
    def rule(g, out, x):
        return g * (1 - out * out) * (1.001 if isinstance(out, Tensor) else 1)

    monkeypatch.setitem(table, np.tanh, (rule,))


def wrong_second_derivative(monkeypatch):
    def rule(g, out, x):
        constant = out.detach() if isinstance(out, Tensor) else out
        return g * (1 - constant * out)

    monkeypatch.setitem(table, np.tanh, (rule,))


def wrong_stretch(monkeypatch):
    def rule(position, g, out, *arrays, axis):
        backwards = g[(slice(None),) * (axis % out.ndim) + (slice(None, None, -1),)]
        return primitives.own_stretch(position, backwards, out, *arrays, axis=axis)

    monkeypatch.setitem(table, primitives.concatenate, EachPosition(rule))


def wrong_value(monkeypatch):
    monkeypatch.setattr(F, "softplus", lambda x: np.log(0.999 + np.exp(x)))


@pytest.mark.parametrize(
    ("break_it", "culprit", "words"),
    [
        (wrong_value, "F.softplus", "values"),
        (wrong_gradient, "np.tanh", "gradient:"),
        (wrong_gradient_if_recorded, "np.tanh", "gradient, recorded"),
        (wrong_second_derivative, "np.tanh", "Hessian-vector product"),
        (wrong_stretch, "np.", "gradient:"),
    ],
)
def test_a_mistake_is_found_and_shrunk_to_one_line(monkeypatch, break_it, culprit, words):
    break_it(monkeypatch)
    failing = next(p for p in map(draw_program, range(200)) if run(p)[1] is not None)
    (step,) = steps(shrunk(failing))
    assert step.ours().startswith(culprit)
    with pytest.raises(AssertionError, match=words):
        exec(script(shrunk(failing)), {})
