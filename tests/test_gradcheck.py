"""gradcheck itself: what is right passes, and every kind of wrong is caught and named."""

import numpy as np
import pytest

from tinygrad_reg import Tensor, nn, no_grad, primitives
from tinygrad_reg import functional as F
from tinygrad_reg.numerical import GradientError, gradcheck

X = np.random.default_rng(0).normal(size=(3, 4))
Y = np.random.default_rng(1).normal(size=(4, 2))


@pytest.fixture
def rule(monkeypatch):
    """Replaces the rules of a function: rule(np.tanh, lambda g, out, x: ...)."""
    return lambda function, *rules: monkeypatch.setitem(primitives.table, function, rules)


def test_right_gradients_pass_to_third_order():
    gradcheck(lambda x, y: (x @ y).tanh() / np.exp(y[0]), [X, Y], order=3)


def test_inputs_are_arrays_tensors_or_floats_and_a_single_one_needs_no_list():
    gradcheck(np.tanh, X)
    gradcheck(np.tanh, Tensor(X))
    gradcheck(np.tanh, 0.5)
    gradcheck(np.multiply, (Tensor(X), X.tolist()))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g, out, x: 1.001 * (g * (1 - out * out)),
        lambda g, out, x: 0.999 * (g * (1 - out * out)),
        lambda g, out, x: 0 * g,
        lambda g, out, x: -g * (1 - out * out),
        lambda g, out, x: g * (1 - out),
        lambda g, out, x: g * (1 - out * out) + 1e-4,
        lambda g, out, x: np.where(np.arange(12).reshape(3, 4) == 5, 1.001, 1) * g * (1 - out**2),
        lambda g, out, x: np.nan * g,
        lambda g, out, x: np.inf * g,
    ],
    ids=["+0.1%", "-0.1%", "zero", "sign", "formula", "offset", "one element", "NaN", "infinite"],
)
def test_a_wrong_rule_is_caught(rule, wrong):
    gradcheck(np.tanh, X)
    rule(np.tanh, wrong)
    with pytest.raises(GradientError, match="order 1"):
        gradcheck(np.tanh, X)


def test_a_rule_that_is_right_but_cannot_be_differentiated_is_caught_at_order_2(rule):
    rule(np.tanh, lambda g, out, x: g * (1 - np.tanh(getattr(x, "_array", x)) ** 2))
    gradcheck(np.tanh, X, order=1)
    with pytest.raises(GradientError, match="order 2"):
        gradcheck(np.tanh, X)


def test_a_rule_that_loses_the_arriving_gradient_s_graph_is_caught_at_order_2(rule):
    rule(np.negative, lambda g, out, x: -getattr(g, "_array", g) + 0 * out)
    gradcheck(np.negative, X, order=1)
    with pytest.raises(GradientError, match="the gradient arriving at order 1"):
        gradcheck(np.negative, X)


def test_an_error_in_the_third_derivative_is_caught_at_order_3(rule):
    rule(np.cos, lambda g, out, x: -g * np.sin(getattr(x, "_array", x)))
    gradcheck(np.sin, X)
    with pytest.raises(GradientError, match="order 3"):
        gradcheck(np.sin, X, order=3)


def test_the_error_names_the_order_the_argument_and_both_numbers(rule):
    exact = primitives.table[np.multiply]
    rule(np.multiply, exact[0], lambda g, out, x, y: 2 * (g * x))
    with pytest.raises(GradientError) as caught:
        gradcheck(np.multiply, [Tensor(X, name="left"), Tensor(X + 1, name="right")])
    message = str(caught.value)
    assert "order 1" in message
    assert "input 1 ('right'), of shape (3, 4)" in message
    assert "wrong too" not in message
    given, quotient = (
        float(message.split(text)[1].split()[0].rstrip(",;"))
        for text in ("it gives ", "difference quotient ")
    )
    assert given == pytest.approx(2 * quotient, rel=1e-6)
    assert "relative error 0.5," in message


def test_the_error_lists_all_wrong_arguments(rule):
    rule(np.multiply, lambda g, out, x, y: -9 * (g * y), lambda g, out, x, y: 1.1 * (g * x))
    with pytest.raises(GradientError, match=r"input 0.*; wrong too: input 1$"):
        gradcheck(lambda x, y, z: x * y + z, [X, 2 * X, X])


def test_an_assertion_error_it_is():
    assert issubclass(GradientError, AssertionError)


def test_no_gradient_counts_as_zero():
    gradcheck(lambda x, y: x.exp(), [X, Y])
    gradcheck(lambda x: Tensor(1.0), X)
    gradcheck(lambda x, y: y, [X, Y])
    gradcheck(lambda x: Tensor(x.numpy() > 100, name="far").astype(np.float64), X)


def test_a_gradient_that_gets_lost_on_the_way_is_caught():
    with pytest.raises(GradientError, match="it gives 0,"):
        gradcheck(lambda x: x.detach() * 2, X)


def test_zero_0d_and_empty_inputs_are_fine():
    gradcheck(lambda x, y: (x * y).sum(axis=0), [np.zeros((0, 4)), np.ones((0, 4))])
    gradcheck(lambda x: x**3, np.zeros(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, bool])
def test_inputs_other_than_float64_are_refused_with_the_reason(dtype):
    with pytest.raises(TypeError, match=r"input 1 is .*float64: a difference quotient loses"):
        gradcheck(np.add, [X, np.ones((3, 4), dtype)])


def test_results_other_than_float64_tensors_are_refused():
    with pytest.raises(TypeError, match="returned float32"):
        gradcheck(lambda x: x.astype(np.float32), X)
    with pytest.raises(TypeError, match="returned ndarray, not a tensor"):
        gradcheck(lambda x: x > 0, X)


def test_a_random_function_is_refused_and_a_fixed_mask_mends_it():
    with pytest.raises(ValueError, match="give dropout a mask"):
        gradcheck(lambda x: F.dropout(x, 0.5), X)
    gradcheck(lambda x: F.dropout(x, 0.5, mask=X > 0), X)
    gradcheck(lambda x: F.dropout(x, 0.5, rng=np.random.default_rng(3)), X)


@pytest.mark.parametrize("options", [{"order": 0}, {"eps": 0.0}, {"eps": float("nan")}])
def test_nonsense_options_are_refused(options):
    with pytest.raises(ValueError, match=r"order must be 1 or more|eps must be finite and above 0"):
        gradcheck(np.tanh, X, **options)


def test_it_is_deterministic_unless_given_a_generator(rule):
    rule(np.tanh, lambda g, out, x: 0 * g)

    def message(**options):
        with pytest.raises(GradientError) as caught:
            gradcheck(np.tanh, X, **options)
        return str(caught.value)

    assert message() == message()
    assert message() != message(rng=np.random.default_rng(5))
    assert message(rng=np.random.default_rng(5)) == message(rng=np.random.default_rng(5))


def test_tolerances_are_arguments(rule):
    rule(np.tanh, lambda g, out, x: 1.001 * (g * (1 - out * out)))
    gradcheck(np.tanh, X, order=1, rtol=1e-2)
    gradcheck(np.tanh, X, order=1, atol=1.0)
    with pytest.raises(GradientError):
        gradcheck(np.tanh, X, order=1)


def test_inputs_and_parameters_that_f_looks_at_are_left_alone():
    model = nn.Linear(4, 2, dtype=np.float64)
    x = Tensor(X, requires_grad=True)
    gradcheck(model, [x])
    assert x.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())
    np.testing.assert_array_equal(x.numpy(), X)


def test_it_records_under_no_grad():
    with no_grad():
        gradcheck(np.tanh, X)


def test_truncation_and_rounding_stay_a_hundredfold_below_the_tolerance():
    gradcheck(lambda x, y: np.sin(x @ y).exp() / (1 + np.exp(-x[:, :2])), [X, Y],
              rtol=1e-8, atol=1e-10)  # fmt: skip
