"""`grad` and `value_and_grad`: functions to gradient functions."""

import numpy as np
import pytest

from tinygrad_reg import Tensor, grad, nn, no_grad, value_and_grad
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
