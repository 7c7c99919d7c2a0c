"""Functions are called by their names, whatever kind of callable they are."""

import re
from functools import partial

import numpy as np
import pytest

from tinygrad_reg import Tensor, composite, detect_anomaly, draw, draw_backward, save_memory
from tinygrad_reg.errors import name_of
from tinygrad_reg.primitives import elementwise, structural


def scaled(x, factor):
    return factor * x


class Doubling:
    """A callable object: it has no name of its own."""

    def __call__(self, x):
        return 2 * x


def renamed(name):
    def function(x):
        return 2 * x

    function.__name__ = name
    return function


CALLABLES = {
    "function": (renamed("double"), "double"),
    "lambda": (lambda x: 2 * x, "<lambda>"),
    "partial": (partial(scaled, factor=2), "scaled"),
    "partial of a partial": (partial(partial(scaled), factor=2), "scaled"),
    "partial of an object": (partial(Doubling()), "Doubling"),
    "object": (Doubling(), "Doubling"),
    "method": (Doubling().__call__, "__call__"),
    "ufunc": (np.frompyfunc(lambda x: 2 * x, 1, 1), "<lambda> (vectorized)"),
    "without a name": (renamed(""), "function"),
    "of two lines": (renamed("a\nb"), "a\nb"),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_every_callable_has_a_name(kind):
    function, name = CALLABLES[kind]
    assert name_of(function) == name


@pytest.mark.parametrize("kind", CALLABLES.keys() - {"ufunc"})  # that one gives objects
@pytest.mark.usefixtures("open_table")
def test_a_primitive_may_be_any_callable(kind):
    function, name = CALLABLES[kind]
    elementwise(function, lambda g, out, x: 2 * g)
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x.apply(function, x)
    assert f"function={name}" in repr(y)
    loss = y.apply(function, y).sum()
    loss.backward(create_graph=True)
    np.testing.assert_array_equal(x.grad.data, [4.0, 4.0])

    shown = name.replace("\n", "\\n")
    for drawing in (draw(loss), draw(loss, gradients=True, formulas=True)):
        assert f"= {shown}(x)" in str(drawing)
        assert {node.operation for node in drawing.graph.nodes} == {"", name, "sum"}
    assert f"∂ {shown}" in str(draw_backward(loss))


@pytest.mark.parametrize("kind", CALLABLES.keys() - {"ufunc"})
@pytest.mark.usefixtures("open_table")
def test_errors_name_any_callable(kind):
    function, name = CALLABLES[kind]
    name = re.escape(name)
    structural(function, lambda g, out, x: g[:1])
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.apply(function, x)
    with pytest.raises(ValueError, match=f"is the result of {name};"):
        y.data = [1.0]
    with pytest.raises(TypeError, match=f"{name}: operands"):
        x.apply(function, "text")
    with pytest.raises(AssertionError, match=f"a rule of {name} gave"):
        y.sum().backward()
    with pytest.raises(ArithmeticError, match=f"^{name} of shape"), detect_anomaly():
        x.apply(function, Tensor([np.inf]))
    x.data = x.data * 2
    with pytest.raises(RuntimeError, match=f"had in {name}, but"):
        y.sum().backward()
    with save_memory():
        slim = x.apply(function, x)
    with pytest.raises(RuntimeError, match=f"this result of {name} was"):
        draw(slim)


@pytest.mark.usefixtures("open_table")
def test_an_error_of_numpy_names_any_callable():
    function = partial(np.add, np.ones(2))
    elementwise(function, lambda g, out, x: g)
    with pytest.raises(ValueError, match=r"add: shapes .* do not broadcast"):
        Tensor(np.ones(3)).apply(function, Tensor(np.ones(3), requires_grad=True))


@pytest.mark.usefixtures("open_table")
def test_formulas_name_any_callable():
    square, slope = Doubling(), partial(scaled, factor=2)
    elementwise(slope, lambda g, out, x: 2 * g)
    elementwise(square, lambda g, out, x: g * x.apply(slope, x))
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    assert "ḡ · scaled(x)" in draw(x.apply(square, x), formulas=True).to_dot()
    elementwise(square, lambda g, out, x: g.tobytes())
    assert "rule of Doubling(ḡ, …)" in draw(x.apply(square, x), formulas=True).to_dot()


@pytest.mark.parametrize("kind", CALLABLES.keys() - {"ufunc"})
def test_a_composite_may_be_any_callable(kind):
    function, name = CALLABLES[kind]
    drawing = draw(composite(function)(Tensor(3.0, requires_grad=True)))
    assert drawing.graph.boxes[0].name == name
