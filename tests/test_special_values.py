"""NaN, infinities, the largest and the smallest numbers, alone and among others: as in PyTorch.

No warning of NumPy's escapes without a reason: it warns where a NaN arises, or an infinity.
"""

import warnings
from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pytest

from tinygrad_reg import Tensor
from tinygrad_reg import functional as F

torch = pytest.importorskip(
    "torch", reason='PyTorch is not installed: the oracle is silent; pip install -e ".[oracle]"'
)
TF = torch.nn.functional

LABELS = np.array([0, 2])
PROBABILITIES = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
BITS = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.25]])
SIGNS = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
MASK = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
WEIGHT = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])
ONE_HOT = np.eye(3)[LABELS]
EVALUATED = np.array([0.5, 0.0, -1.0]), np.array([1.0, 4.0, 0.0])


def like(x, array):
    """The array as a tensor of PyTorch, of the type of x."""
    return torch.tensor(array, dtype=x.dtype)


def estimates(x):
    return [Tensor(a.astype(x.dtype)) for a in EVALUATED]


def torch_cross_entropy(x, y):
    """With 0 · -∞ = 0: PyTorch's takes it for class indices, but not for probabilities."""
    y = like(x, y)
    return -torch.where(y == 0, 0, y * TF.log_softmax(x, -1)).sum(-1)


def torch_bce(x, y):
    """With 0 · ∞ = 0; PyTorch's own is NaN for most infinite logits."""
    y = like(x, y)
    yes, no = TF.softplus(-x, threshold=40), TF.softplus(x, threshold=40)
    return torch.where(y == 0, 0, y * yes) + torch.where(y == 1, 0, (1 - y) * no)


CASES = {
    "relu": (F.relu, TF.relu),
    "leaky_relu": (F.leaky_relu, TF.leaky_relu),
    "leaky_relu of slope 0": (lambda x: F.leaky_relu(x, 0), lambda x: TF.leaky_relu(x, 0.0)),
    "sigmoid": (F.sigmoid, torch.sigmoid),
    "tanh": (F.tanh, torch.tanh),
    "softplus": (F.softplus, lambda x: TF.softplus(x, threshold=40)),
    "softmax": (F.softmax, lambda x: x.softmax(-1)),
    "softmax, axis 0": (lambda x: F.softmax(x, 0), lambda x: x.softmax(0)),
    "log_softmax": (F.log_softmax, lambda x: x.log_softmax(-1)),
    "logsumexp": (F.logsumexp, lambda x: x.logsumexp(-1)),
    "logsumexp of all": (lambda x: F.logsumexp(x, None), lambda x: x.logsumexp((0, 1))),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, LABELS),
        lambda x: (TF.cross_entropy(x, torch.from_numpy(LABELS), reduction="none") / 2).sum(),
    ),
    "cross_entropy, none": (
        lambda x: F.cross_entropy(x, LABELS, "none"),
        lambda x: TF.cross_entropy(x, torch.from_numpy(LABELS), reduction="none"),
    ),
    "cross_entropy of probabilities": (
        lambda x: F.cross_entropy(x, PROBABILITIES),
        lambda x: (torch_cross_entropy(x, PROBABILITIES) / 2).sum(),
    ),
    "cross_entropy, smoothed": (
        lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: (torch_cross_entropy(x, 0.9 * ONE_HOT + 0.1 / 3) / 2).sum(),
    ),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, BITS, "none"),
        lambda x: torch_bce(x, BITS),
    ),
    "binary_cross_entropy_with_logits, mean": (
        lambda x: F.binary_cross_entropy_with_logits(x, BITS),
        lambda x: torch_bce(x, BITS).mean(),
    ),
    "mse_loss": (lambda x: F.mse_loss(x, BITS), lambda x: TF.mse_loss(x, like(x, BITS))),
    "hinge_loss": (
        lambda x: F.hinge_loss(x, SIGNS, "none"), lambda x: TF.relu(1 - x * like(x, SIGNS))
    ),
    "hinge_loss, mean": (
        lambda x: F.hinge_loss(x, SIGNS), lambda x: TF.relu(1 - x * like(x, SIGNS)).mean()
    ),
    "linear": (
        lambda x: F.linear(x, WEIGHT.astype(x.dtype)), lambda x: TF.linear(x, like(x, WEIGHT.T))
    ),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: TF.batch_norm(x, None, None, training=True),
    ),
    "batch_norm, evaluated": (
        lambda x: F.batch_norm(x, *estimates(x)),
        lambda x: TF.batch_norm(x, *(like(x, a) for a in EVALUATED)),
    ),
    "dropout": (lambda x: F.dropout(x, mask=MASK), lambda x: x * like(x, 2 * MASK)),
    "dropconnect": (lambda x: F.dropconnect(x, mask=MASK), lambda x: x * like(x, 2 * MASK)),
    "l1_penalty": (lambda x: F.l1_penalty(x, 0.5), lambda x: 0.5 * x.abs().sum()),
    "l2_penalty": (lambda x: F.l2_penalty(x, 0.5), lambda x: 0.25 * (x * x).sum()),
    "sum_of_squares": (lambda x: F.sum_of_squares(x, x), lambda x: 2 * (x * x).sum()),
    "vdot": (lambda x: F.vdot(x, BITS.astype(x.dtype)), lambda x: (x * like(x, BITS)).sum()),
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1)),
    "mean": (lambda x: x.mean(1), lambda x: x.mean(1)),
    "var": (lambda x: x.var(1), lambda x: x.var(1, unbiased=False)),
    "var, unbiased": (lambda x: F.var(x, 1, ddof=1), lambda x: x.var(1)),
}  # fmt: skip


class Difference(NamedTuple):
    """Where a case is not compared with PyTorch."""

    why: str
    elements: Callable  # takes the array, and gives a mask of the elements of the gradient
    rows: Callable = lambda x: np.zeros(len(x), bool)  # the same for the elements of the value


def extreme(x):
    return np.abs(x) == np.finfo(x.dtype).max


def in_rows_with(mask):
    return np.broadcast_to(mask.any(axis=1, keepdims=True), mask.shape)


KINK = Difference("NaN at the kink of a primitive: see primitives.py", np.isnan)
LOGSUMEXP = Difference(
    "of several equal extremes each gets its share, from PyTorch all: exp(x - logsumexp) is 1",
    lambda x: np.broadcast_to(extreme(x).sum() > 1, x.shape),
)
VARIANCE = Difference(
    "of ∞ and -∞ NaN arises, and PyTorch's derivative is a formula of its own: ±∞ · 2 / n; it sums "
    "squares in another way, too, where squares and sums overflow here, as in NumPy",
    lambda x: in_rows_with(np.isinf(x) | extreme(x)),
    lambda x: extreme(x).any(axis=1),
)
BATCH_NORM = Difference(
    "squares overflow, and the derivative by σ² = ∞ is 0 · ∞; PyTorch's is a formula of its own",
    lambda x: np.broadcast_to(extreme(x).any(axis=0), x.shape),
)
DIFFERENCES = {
    "batch_norm": BATCH_NORM,
    "relu": KINK,
    "hinge_loss": KINK,
    "hinge_loss, mean": KINK,
    "l1_penalty": KINK,
    "logsumexp": LOGSUMEXP,
    "logsumexp of all": LOGSUMEXP,
    "mse_loss": Difference("2 x overflows before 2 x / n does not; the loss is infinite", extreme),
    "var": VARIANCE,
    "var, unbiased": VARIANCE,
}
# Where the result is finite, but not what is on the way to it: two logits may differ by more than
# the largest number, a square may be larger than it, and divide to 0.
OVERFLOWS = {
    "softmax", "softmax, axis 0", "cross_entropy", "cross_entropy, none",
    "cross_entropy of probabilities", "batch_norm",
}  # fmt: skip
PRODUCTS = {"linear"}  # BLAS multiplies ∞ by zeros that it pads with, and NumPy hears of it


def inputs(dtype):
    """Arrays (2, 3) with special values among ordinary ones, and rows of nothing else."""
    info = np.finfo(dtype)
    tiny = [info.smallest_subnormal, -info.smallest_subnormal, info.tiny, 0.0, -0.0]
    special = [np.nan, np.inf, -np.inf, info.max, -info.max, *tiny]
    ordinary = [0.5, -1.25, 2.0]
    for v in [*special, 1.0, 100.0, -100.0]:
        for row in [v, v, v], [v, 0.5, -1], [0.5, v, -1], [0.25, 0.5, v]:
            yield [row, ordinary]
            yield [ordinary, row]
    for v, w in permutations(special[:6], 2):
        yield [[v, w, 0.5], ordinary]
        yield [[v, 1, 2], [w, -1, 0]]
    yield np.full((2, 3), np.nan)
    yield np.full((2, 3), np.inf)
    yield np.full((2, 3), -np.inf)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_pytorch(name, dtype):
    ours, theirs = CASES[name]
    difference = DIFFERENCES.get(name)
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    for data in inputs(dtype):
        data = np.array(data, dtype)
        x, t = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = ours(x)
            result.backward(np.ones(result.shape))
        expected = theirs(t)
        expected.backward(torch.ones_like(expected))

        value, gradient = result.numpy(), x.grad.numpy()
        numbers = np.append(value, gradient)
        its_value, its_gradient = expected.numpy(force=True), t.grad.numpy()
        if difference:
            skipped, rows = difference.elements(data), difference.rows(data)
            gradient[skipped] = its_gradient[skipped]
            if rows.any():
                value[rows] = its_value[rows]
        where = f"{name} of {data}"
        np.testing.assert_allclose(value, its_value, tolerance, tolerance / 10, err_msg=where)
        np.testing.assert_allclose(gradient, its_gradient, tolerance, tolerance / 10, err_msg=where)
        for text in (str(w.message) for w in caught):
            if "invalid" in text:
                assert np.isnan(numbers).any() or name in PRODUCTS, where
            else:
                assert not np.isfinite(numbers).all() or name in OVERFLOWS, where


def test_minus_infinity_everywhere_has_the_logsumexp_minus_infinity_without_a_warning():
    x = Tensor(np.full((2, 3), -np.inf), requires_grad=True)
    np.testing.assert_array_equal(F.logsumexp(x).data, -np.inf)
    assert F.logsumexp(x, axis=None).item() == -np.inf


def test_nan_stays_nan_beside_a_class_that_is_masked_by_minus_infinity():
    logits = [[np.nan, 0.0], [-np.inf, 0.0]]
    np.testing.assert_array_equal(
        F.cross_entropy(logits, [[0.0, 0.0], [0.0, 1.0]], "none").data, [np.nan, 0]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(CASES))
def test_numbers_up_to_10_000_raise_no_floating_point_error(name, dtype):
    """But for underflow: exp(-10000) is 0, and NumPy's exp raises that if it is told to."""
    f = CASES[name][0]
    with np.errstate(all="raise", under="ignore"):
        for data in ([[1e4, -1e4, 0], [1, -1e4, -1e4]], [[0, 0, 0], [1, 1e-30, -1e-30]]):
            x = Tensor(np.array(data, dtype), requires_grad=True)
            result = f(x)
            result.backward(np.ones(result.shape))
            assert np.isfinite(result.data).all()
            assert np.isfinite(x.grad.data).all()


@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_the_loss_of_an_infinite_logit_has_derivatives_by_both(y):
    """At labels beside it, too: the derivative by y is -x."""
    x = Tensor([np.inf, 2.0, -np.inf], requires_grad=True)
    target = Tensor([y, y, y], requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(x, target, "none")
    expected = [0 if y == 1 else np.inf, (1 - y) * 2 + np.log1p(np.exp(-2)), y * np.inf if y else 0]
    np.testing.assert_allclose(losses.data, expected)
    losses.backward(np.ones(3))
    np.testing.assert_allclose(x.grad.data, [1 - y, 1 / (1 + np.exp(-2)) - y, -y])
    assert target.grad.data[1] == -2
