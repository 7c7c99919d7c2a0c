"""`grad` and `value_and_grad`: functions to gradient functions."""

import warnings
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_reg import (
    Tensor,
    grad,
    hessian,
    hvp,
    jacobian,
    nn,
    no_grad,
    value_and_grad,
)
from tinygrad_reg import functional as F


def test_derivatives_of_every_order_of_a_power():
    f, expected = (lambda x: x**5), 2.0**5
    for order in range(7):
        assert f(2.0 if order else Tensor(2.0)).item() == pytest.approx(expected)
        f, expected = grad(f), expected * (5 - order) / 2


def test_arguments_may_be_numbers_arrays_or_tensors():
    f = grad(lambda x: (x**2).sum())
    for x in (3.0, 3, np.array([1.0, 2.0]), [1.0, 2.0], Tensor([1.0, 2.0])):
        np.testing.assert_allclose(f(x).data, 2 * np.asarray(x))


def test_value_and_gradients_of_several_arguments():
    value, (by_x, by_y) = value_and_grad(lambda x, y: (x * y).sum(), (0, 1))([1.0, 2.0], [3.0, 4.0])
    assert value.item() == 11
    np.testing.assert_array_equal(by_x.data, [3, 4])
    np.testing.assert_array_equal(by_y.data, [1, 2])
    assert grad(lambda x, y: x * y**2, argnum=-1)(3.0, 4.0).item() == 24


def test_keyword_arguments_are_passed_on():
    assert grad(lambda x, *, power: x**power)(2.0, power=3).item() == 12


def test_nobodys_grad_is_touched():
    x, w = Tensor(2.0, requires_grad=True), Tensor(3.0, requires_grad=True)
    grad(lambda x: x * w)(x)
    assert x.grad is None
    assert w.grad is None


def test_nested_gradients_do_not_mix_their_variables():
    # d/dx [x · d/dy (x + y) at y = x] = d/dx [x · 1] = 1; taking the two x for one gives 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(3.0).item() == 1
    # The inner gradient may depend on the outer variable without being told so.
    assert grad(lambda x: grad(lambda y: x**2 * y**3)(2.0))(5.0).item() == 2 * 5 * 3 * 2**2


def test_a_gradient_can_be_part_of_a_loss():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 1, rng=rng))
    model.astype(np.float64)
    x, w = rng.standard_normal((5, 3)), model[0].weight

    def penalty():
        return (grad(lambda x: model(x).sum())(x) ** 2).sum()

    penalty().backward()
    numerical = np.zeros(w.shape)
    original = w.numpy()
    for index in np.ndindex(*w.shape):
        for sign in (1, -1):
            moved = original.copy()
            moved[index] += sign * 1e-6
            w.data = moved
            numerical[index] += sign * penalty().item() / 2e-6
    np.testing.assert_allclose(w.grad.data, numerical, rtol=1e-7, atol=1e-9)


def test_hessian_vector_products_and_hessians():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])

    def quadratic(x):
        return 0.5 * (x @ a @ x)

    x = np.array([1.0, -1.0])
    hessian = [grad(lambda x, i=i: grad(quadratic)(x)[i])(x).data for i in range(2)]
    np.testing.assert_allclose(hessian, a)


def test_a_value_that_is_an_older_tensor_stays_differentiable():
    assert grad(lambda w: value_and_grad(lambda x: w)(1.0)[0])(2.0).item() == 1


def test_gradients_of_constants_are_zero():
    np.testing.assert_array_equal(grad(lambda x: Tensor(3.0))([1.0, 2.0]).data, [0, 0])


def test_it_works_where_nothing_is_recorded_and_then_gives_plain_tensors():
    w = Tensor(3.0, requires_grad=True)
    with no_grad():
        gradient = grad(lambda x: x**2 * w)(2.0)
    assert gradient.item() == 12
    assert gradient.is_leaf


def test_batch_norm_twice_differentiated_matches_the_difference_quotient():
    rng = np.random.default_rng(1)
    z, v = rng.standard_normal((2, 6, 3))

    def loss(z):
        return (F.batch_norm(z, None, None, training=True) ** 3).sum()

    product = grad(lambda z: (grad(loss)(z) * v).sum())(z).data
    numerical = (grad(loss)(z + 1e-5 * v).data - grad(loss)(z - 1e-5 * v).data) / 2e-5
    np.testing.assert_allclose(product, numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: grad(lambda x: x)([1.0, 2.0]), ValueError, "single element.*sum"),
        (lambda: grad(lambda x: x.item())(1.0), TypeError, "returned float, not a tensor"),
        (lambda: grad(lambda x: x, argnum=1)(1.0), ValueError, "no argument 1 among 1"),
        (lambda: grad(lambda x: x, argnum=()), ValueError, "empty tuple"),
        (lambda: grad(lambda x: x.sum())(np.array([1, 2])), TypeError, "only floats"),
    ],
)
def test_wrong_calls_say_what_to_do(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.parametrize("x", [0.3, 5.8])
@pytest.mark.parametrize("y", [-1.0, 0.0, 1.0, 2.0])
def test_the_mixed_second_derivative_of_a_power_is_the_same_in_both_orders(x, y):
    def power(x, y):
        return x**y

    # As tensors: a plain number as exponent would be a constant.
    x_first = grad(lambda y: grad(power)(Tensor(x), y))(y)
    y_first = grad(lambda x: grad(power, 1)(x, Tensor(y)))(x)
    expected = x ** (y - 1) * (1 + y * np.log(x))  # PyTorch 2.13 says 0 for x_first at y = 0
    np.testing.assert_allclose([x_first.item(), y_first.item()], expected, rtol=1e-14)


@pytest.mark.parametrize("reduce", [Tensor.sum, Tensor.max, Tensor.min, Tensor.mean])
def test_an_axis_may_be_a_numpy_array_without_axes(reduce):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    reduce(x, np.array(0)).sum().backward()
    given, x.grad = x.grad, None
    reduce(x, 0).sum().backward()
    np.testing.assert_array_equal(given.data, x.grad.data)


@pytest.mark.parametrize("base", [0.0, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_the_derivative_of_a_power_by_its_exponent(base, exponent):
    expected = base**exponent * np.log(base) if base else 0  # at 0 ** 0 a convention, PyTorch's
    for x in base, Tensor(base):  # a plain number, and an array
        slope = grad(lambda y, x=x: x**y)(exponent)
        np.testing.assert_allclose(slope.item(), expected, rtol=1e-14)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x * x])
def test_value_and_gradient_of_a_function_of_its_arguments_alone_carry_no_graph(f):
    value, gradient = value_and_grad(f)(Tensor(2.0, requires_grad=False))
    assert not value.requires_grad
    assert not gradient.requires_grad


# --- Arguments that are built of arrays ----------------------------------------------------------


class Weights(NamedTuple):
    w: Any
    b: Any


def affine(p, x):
    return ((x @ p["layers"][0] + p["b"]) * p["layers"][1]).sum()


def test_a_gradient_is_built_as_the_argument_is():
    p = {"layers": [np.full((3, 2), 2.0), 0.5], "b": Tensor([1.0, -1.0])}
    x = np.arange(12.0).reshape(4, 3)
    value, g = value_and_grad(affine)(p, x)
    assert value.item() == pytest.approx((0.5 * (x @ p["layers"][0] + p["b"].data)).sum())
    assert list(g) == ["layers", "b"]
    assert type(g["layers"]) is list
    np.testing.assert_allclose(g["layers"][0].data, 0.5 * x.sum(0)[:, None] * np.ones((3, 2)))
    assert g["layers"][1].item() == pytest.approx((x @ p["layers"][0] + p["b"].data).sum())
    np.testing.assert_allclose(g["b"].data, [2, 2])


def test_named_tuples_tuples_and_none_are_kept():
    g = grad(lambda p: p.w * p.b[0] if p.b[1] is None else p.w)(Weights(2.0, (3.0, None)))
    assert type(g) is Weights
    assert type(g.b) is tuple
    assert (g.w.item(), g.b[0].item(), g.b[1]) == (3, 2, None)


def test_gradients_by_several_such_arguments():
    by_p, by_x = grad(lambda p, x: (p["w"] * x).sum(), (0, 1))({"w": [1.0, 2.0]}, [3.0, 4.0])
    assert by_p["w"].numpy().tolist() == [3, 4]
    assert by_x.numpy().tolist() == [1, 2]
    first, again = grad(lambda x: x * x, (0, -1))(3.0)
    assert first.item() == again.item() == 6


def test_second_derivatives_of_such_arguments():
    def slope(p):
        g = grad(lambda p: p["x"] ** 3 * p["y"])(p)
        return g["x"] * 2 + g["y"]

    g = grad(slope)({"x": 2.0, "y": 5.0})  # 6 x² y + x³
    assert g["x"].item() == 12 * 2 * 5 + 3 * 4
    assert g["y"].item() == 6 * 4


def test_lists_of_numbers_are_arrays_and_lists_of_arrays_are_lists():
    assert grad(lambda x: (x**2).sum())([[1.0, 2.0], [3.0, 4.0]]).shape == (2, 2)
    first, second = grad(lambda p: (p[0] * p[1]).sum())([np.ones(2), np.ones(2)])
    assert first.shape == second.shape == (2,)


def test_something_else_may_be_handed_on():
    def f(x):
        y = x**2
        return y.sum(), {"squares": y, "name": "y"}

    (value, aux), g = value_and_grad(f, has_aux=True)([1.0, 2.0])
    assert value.item() == 5
    assert not aux["squares"].requires_grad
    assert (aux["squares"].numpy().tolist(), aux["name"]) == ([1, 4], "y")
    gradient, aux = grad(f, has_aux=True)([1.0, 2.0])
    assert gradient.numpy().tolist() == g.numpy().tolist() == [2, 4]
    w = Tensor(3.0, requires_grad=True)
    _, outer = grad(lambda x: ((x * w).sum(), x * w), has_aux=True)([1.0, 2.0])
    assert outer.requires_grad, "it depends on w, which stands outside"


# --- Jacobians and Hessians ----------------------------------------------------------------------


def curved(x, y):
    """Two results of shape (2, 3) for arguments of shapes (3,) and (2,)."""
    return np.stack([np.sin(x) * y[0] * x[::-1], np.exp(-x * x) + y.prod() * x])


def curved_in_torch(x, y):
    import torch

    return torch.stack([torch.sin(x) * y[0] * x.flip(0), torch.exp(-x * x) + y.prod() * x])


X, Y = np.array([0.3, -1.2, 0.8]), np.array([0.7, -0.4])


def test_jacobians_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    expected = torch.autograd.functional.jacobian(
        curved_in_torch, (torch.tensor(X), torch.tensor(Y))
    )
    for ours, theirs in zip(jacobian(curved, (0, 1))(X, Y), expected):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    assert jacobian(curved)(X, Y).shape == (2, 3, 3)
    np.testing.assert_array_equal(jacobian(curved, 1)(X, Y).data, jacobian(curved, -1)(X, Y).data)


def test_hessians_and_their_products_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    functional, tx, v = torch.autograd.functional, torch.tensor(X), np.array([1.0, 2.0, -0.5])

    def f(x):
        return curved(x, Y).sum() ** 2

    def f_in_torch(x):
        return curved_in_torch(x, torch.tensor(Y)).sum() ** 2

    expected = functional.hessian(f_in_torch, tx).numpy()
    np.testing.assert_allclose(hessian(f)(X).numpy(), expected, rtol=1e-11)
    _, product = functional.hvp(f_in_torch, tx, torch.tensor(v))
    np.testing.assert_allclose(hvp(f)(X, v).numpy(), product.numpy(), rtol=1e-11)


def test_a_jacobian_of_structured_arguments():
    j = jacobian(lambda p: np.append(p["a"] * p["b"], p["b"] * 2))({"a": [1.0, 2.0], "b": 3.0})
    assert j["a"].numpy().tolist() == [[3, 0], [0, 3], [0, 0]]
    assert j["b"].numpy().tolist() == [1, 2, 2]


def test_a_jacobian_of_no_results_is_empty():
    assert jacobian(lambda x: x[:0])([1.0, 2.0]).shape == (0, 2)
    assert jacobian(lambda x: x * 2)(3.0).item() == 2


def test_products_with_the_hessian_of_structured_arguments():
    p, v = {"x": 2.0, "y": [1.0, 3.0]}, {"x": 1.0, "y": [0.5, -1.0]}
    product = hvp(lambda p: p["x"] ** 2 * (p["y"] ** 2).sum())(p, v)
    # The Hessian is [[2 Σy², 4 x y], [4 x y, 2 x²]].
    assert product["x"].item() == 2 * 10 + 4 * 2 * (0.5 - 3)
    assert product["y"].numpy().tolist() == [4 * 2 * 1 + 8 * 0.5, 4 * 2 * 3 - 8]


def test_a_direction_is_matched_by_names_whatever_their_order():
    product = hvp(lambda p: p["x"] ** 3 * p["y"])({"x": 2.0, "y": 5.0}, {"y": 0.0, "x": 1.0})
    assert (product["x"].item(), product["y"].item()) == (6 * 2 * 5, 3 * 2**2)  # the first column


def test_subclasses_of_dictionaries_are_kept():
    g = grad(lambda p: p["w"] ** 2 + len(p["none"]))(defaultdict(list, {"w": 3.0, "none": []}))
    assert type(g) is defaultdict
    assert g["new"] == []
    ordered = OrderedDict(b=1.0, a=2.0)
    g = grad(lambda p: p["a"] * p.popitem(last=False)[1])(ordered)  # which f may change
    assert type(g) is OrderedDict
    assert (list(g), g["b"].item(), list(ordered)) == (["b", "a"], 2, ["b", "a"])


def test_jacobians_and_hessians_can_be_differentiated_again():
    third = grad(lambda x: hessian(lambda x: (x**4).sum())(x).sum())([1.0, 2.0])
    np.testing.assert_allclose(third.numpy(), [24, 48])
    w = Tensor(2.0, requires_grad=True)
    jacobian(lambda x: w * x**2)([1.0, 3.0]).sum().backward()
    assert w.grad.item() == 8
    assert hvp(lambda x: x.sum())([1.0, 2.0], [1.0, 1.0]).numpy().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: grad(lambda p: 1.0)({}), ValueError, "no array in the argument 0"),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), TypeError, "must return a pair"),
        (lambda: grad(lambda x: (1, 2, x), has_aux=True)(1.0), TypeError, "must return a pair"),
        (
            lambda: grad(lambda x: (1, x), has_aux=True)(1.0),
            TypeError,
            "returned int, not a tensor",
        ),
        (lambda: grad(lambda x: x, has_aux=2), TypeError, "has_aux must be True or False"),
        (lambda: jacobian(lambda x: 1)([1.0]), TypeError, "jacobian: the function returned int"),
        (lambda: jacobian(3), TypeError, "jacobian: what to differentiate must be a function"),
        (lambda: hessian(lambda x: x)([1.0, 2.0]), ValueError, "single element"),
        (lambda: hessian(lambda p: p["a"] ** 2)({"a": 1.0}), TypeError, "a single array.*hvp"),
        (lambda: hessian(lambda x: x, (0, 1)), TypeError, "argnum must be one number"),
        (
            lambda: hvp(lambda x: x.sum())([1.0, 2.0], [1.0]),
            ValueError,
            r"hvp: v has .*\(1,\).*\(2,\)",
        ),
        (
            lambda: hvp(lambda p: p["x"] * p["y"])({"x": 1.0, "y": 2.0}, {"u": 1.0, "v": 2.0}),
            ValueError,
            "hvp: v has the shapes .*'u'.*but the argument .*'x'",
        ),
        (lambda: hvp(lambda x: x)(1.0), TypeError, "hvp: give the arguments .* after them, v"),
        (lambda: hvp(lambda x: x, (0,)), TypeError, "hvp: argnum must be one number"),
        (lambda: grad(lambda p: p["a"])({"a": "text"}), TypeError, "not str"),
    ],
)
def test_wrong_calls_of_these_say_what_to_do(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


# --- SciPy ---------------------------------------------------------------------------------------


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize(
    "method", ["BFGS", "L-BFGS-B", "CG", "Newton-CG", "TNC", "SLSQP", "trust-constr", "trust-exact"]
)
def test_scipy_minimizes_with_these_gradients(method):
    optimize = pytest.importorskip("scipy.optimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's own, about its approximations
        second = {"hess": hessian(rosenbrock)} if method.startswith("trust") else {}
        found = optimize.minimize(
            value_and_grad(rosenbrock), np.array([1.2, 0.9, 1.1]), jac=True, method=method, **second
        )
    np.testing.assert_allclose(found.x, 1, rtol=0.02)
    assert type(found.x) is np.ndarray


def test_scipy_takes_products_with_the_hessian_and_jacobians():
    optimize = pytest.importorskip("scipy.optimize")
    start = np.array([1.2, 0.9, 1.1])
    both, product = value_and_grad(rosenbrock), hvp(rosenbrock)
    found = optimize.minimize(both, start, jac=True, hessp=product, method="Newton-CG")
    np.testing.assert_allclose(found.x, 1, rtol=1e-4)

    def residuals(x):
        return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    fitted = optimize.least_squares(residuals, start, jac=jacobian(residuals))
    np.testing.assert_allclose(fitted.x, 1, rtol=1e-6)
