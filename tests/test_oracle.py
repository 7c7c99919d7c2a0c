"""PyTorch's opinion: values, first and second derivatives of all that it has, in float64."""

import itertools

import numpy as np
import pytest
from catalogue import each_entry, pull_back

from tinygrad_reg import Tensor
from tinygrad_reg import functional as F
from tinygrad_reg.numerical import gradcheck

torch = pytest.importorskip(
    "torch", reason='PyTorch is not installed: the oracle is silent; pip install -e ".[oracle]"'
)
TF = torch.nn.functional

RTOL, ATOL = 1e-9, 1e-11  # ATOL for what is zero but for rounding


def assert_close(ours, theirs):
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(force=True), rtol=RTOL, atol=ATOL)


def torch_pull_back(result, u, leaves):
    """As `pull_back` of the catalogue, and differentiable."""
    zeros = [torch.zeros_like(leaf) for leaf in leaves]
    if not result.requires_grad:
        return zeros
    found = torch.autograd.grad(result, leaves, u, create_graph=True, allow_unused=True)
    return [zero if g is None else g for g, zero in zip(found, zeros)]


@each_entry
def test_values_and_derivatives_agree_with_pytorch_to_second_order(entry):
    if entry.torch is None:
        return
    ours = entry.leaves()
    theirs = [torch.tensor(x, requires_grad=True) for x in entry.inputs]
    result, expected = entry.f(*ours), entry.torch(*theirs)
    assert_close(result, expected)

    rng = np.random.default_rng(0)
    u = rng.normal(size=result.shape)
    ours.append(Tensor(u, requires_grad=True))
    theirs.append(torch.tensor(u, requires_grad=True))
    first = pull_back(result, ours[-1], ours[:-1], create_graph=True)
    first_expected = torch_pull_back(expected, theirs[-1], theirs[:-1])
    for g, g_expected in zip(first, first_expected):
        assert_close(g, g_expected)

    directions = [rng.normal(size=g.shape) for g in first]
    along = sum(F.vdot(g, Tensor(v)) for g, v in zip(first, directions))
    along_expected = sum((g * torch.tensor(v)).sum() for g, v in zip(first_expected, directions))
    assert_close(along, along_expected)
    second = pull_back(along, np.array(1.0), ours)
    for g, g_expected in zip(second, torch_pull_back(along_expected, None, theirs)):
        assert_close(g, g_expected)


def test_batch_norm_moves_the_running_estimates_as_pytorch_does():
    x = np.random.default_rng(0).normal(2, 3, (5, 3))
    ours = Tensor(np.zeros(3)), Tensor(np.ones(3))
    theirs = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for k in range(3):
        F.batch_norm(Tensor(x + k), *ours, training=True, momentum=0.3)
        TF.batch_norm(torch.from_numpy(x + k), *theirs, training=True, momentum=0.3)
    for mine, its in zip(ours, theirs):
        assert_close(mine, its)


# --- Logits of ±1e4 ------------------------------------------------------------------------------

HUGE = np.array(
    [
        [1e4, -1e4, 0, 1],
        [-1e4, -1e4, -1e4, -1e4],
        [1e4, 1e4, 1e4, 9999],
        [9998, -3, 1e4, 2],
        [0, 1e-4, -1e-4, 88],
        [-104, -88, 17, 104],
    ]
)
LABELS = np.array([1, 0, 3, 2, 0, 1])
BITS = (HUGE > 0).astype(np.float32)

EXTREME = {
    "softmax": (lambda x: F.softmax(x), lambda x: TF.softmax(x, -1)),
    "log_softmax": (lambda x: F.log_softmax(x), lambda x: TF.log_softmax(x, -1)),
    "logsumexp": (lambda x: F.logsumexp(x), lambda x: x.logsumexp(-1)),
    "logsumexp over everything": (
        lambda x: F.logsumexp(x, axis=None),
        lambda x: x.logsumexp((0, 1)),
    ),
    "sigmoid": (lambda x: F.sigmoid(x), lambda x: TF.sigmoid(x)),
    "softplus": (lambda x: F.softplus(x), lambda x: TF.softplus(x, threshold=40)),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, LABELS),
        lambda x: TF.cross_entropy(x, torch.from_numpy(LABELS)),
    ),
    "cross_entropy, smoothed": (
        lambda x: F.cross_entropy(x, LABELS, "none", label_smoothing=0.1),
        lambda x: TF.cross_entropy(
            x, torch.from_numpy(LABELS), reduction="none", label_smoothing=0.1
        ),
    ),
    "binary_cross_entropy_with_logits, right labels": (
        lambda x: F.binary_cross_entropy_with_logits(x, BITS, "none"),
        lambda x: TF.binary_cross_entropy_with_logits(
            x, torch.from_numpy(BITS).to(x.dtype), reduction="none"
        ),
    ),
    "binary_cross_entropy_with_logits, wrong labels": (
        lambda x: F.binary_cross_entropy_with_logits(x, 1 - BITS),
        lambda x: TF.binary_cross_entropy_with_logits(x, 1 - torch.from_numpy(BITS).to(x.dtype)),
    ),
}


@pytest.mark.parametrize("name", EXTREME)
def test_logits_up_to_1e4_in_float32_are_as_exact_as_float32_is(name):
    ours, theirs = EXTREME[name]
    x = Tensor(HUGE.astype(np.float32), requires_grad=True)
    x64 = torch.from_numpy(x.numpy().astype(np.float64)).requires_grad_()
    result, expected = ours(x), theirs(x64)
    u = np.random.default_rng(0).uniform(0.5, 1.5, result.shape).astype(np.float32)
    (gradient,) = pull_back(result, u, [x])
    expected.backward(torch.from_numpy(np.array(u, dtype=np.float64)))
    # Values below 1e-37 may be zero: float32 has no digits left there.  Derivatives are sums of
    # terms of size 1, which cancel: softmax - y is exact to 1e-7, but not to seven digits.
    for mine, its, atol in (result, expected, 1e-37), (gradient, x64.grad, 3e-7):
        assert mine.dtype == np.float32
        assert np.isfinite(mine.numpy()).all()
        np.testing.assert_allclose(mine.numpy(), its.numpy(force=True), rtol=2e-6, atol=atol)


# --- Zeros, ties, infinities and NaN -------------------------------------------------------------

NAN, INF = np.nan, np.inf
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, NAN, INF, -INF]
PAIRS = tuple(zip(*itertools.product(SPECIAL, SPECIAL)))
TRIPLES = tuple(zip(*itertools.product([0.0, 1.0, NAN, INF, -INF], repeat=3)))
ROWS = list(itertools.product([1.0, 2.0, NAN, INF, -INF], repeat=3))
FINITE_ROWS = list(itertools.product([0.0, 1.0, -2.0, 0.5], repeat=3))
WEIGHTS = [1.0, 2.0, 4.0]


def the_same(name):
    """A function of NumPy, and that of the same name in PyTorch."""
    return getattr(np, name), lambda *xs: getattr(torch, name)(*xs)


EDGES = {
    **{
        name: (*the_same(name), SPECIAL)
        for name in (
            "positive", "reciprocal", "expm1", "exp2", "log2", "log10", "tan", "arcsin", "arccos",
            "arctan", "sinh", "cosh", "arcsinh", "arctanh", "rad2deg", "deg2rad",
        )
    },
    **{name: (*the_same(name), *PAIRS) for name in ("hypot", "logaddexp", "logaddexp2")},
    "remainder": (*the_same("remainder"), *PAIRS),
    "remainder, rounded": (*the_same("remainder"), [1.0, -1.0, 0.3, 6.0], [0.1, 0.1, -0.1, 0.2]),
    "clip": (np.clip, lambda *xs: torch.clamp(*xs), *TRIPLES),
    "clip, numbers": (lambda x: x.clip(0, 1), lambda x: x.clamp(0, 1), SPECIAL),
    "clip, exchanged": (lambda x: x.clip(1, 0), lambda x: x.clamp(1, 0), SPECIAL),
    "sort": (
        lambda x: np.sort(x, axis=1) * WEIGHTS,
        lambda x: x.sort(dim=1, stable=True).values * torch.tensor(WEIGHTS),
        ROWS,
    ),
    "median, ties": (
        lambda x: np.median(x, axis=1), lambda x: x.quantile(0.5, 1), FINITE_ROWS
    ),
    "quantile, ties": (
        lambda x: np.quantile(x, 0.3, axis=1), lambda x: x.quantile(0.3, 1), FINITE_ROWS
    ),
    "quantile, NaN": (
        lambda x: np.quantile(x, 0.5, axis=1),
        lambda x: x.quantile(0.5, 1),
        [[NAN, 1.0, 2.0], [1.0, NAN, NAN], [3.0, 1.0, 2.0]],
    ),
    "prod": (lambda x: np.prod(x, axis=1), lambda x: x.prod(1), [*ROWS, *FINITE_ROWS]),
    "cumprod": (lambda x: np.cumprod(x, axis=1), lambda x: x.cumprod(1), FINITE_ROWS),
    "cumsum": (lambda x: np.cumsum(x, axis=1), lambda x: x.cumsum(1), ROWS),
    "ptp, ties": (
        lambda x: np.ptp(x, axis=1), lambda x: x.amax(1) - x.amin(1), FINITE_ROWS
    ),
    "std": (
        lambda x: np.std(x, axis=1),
        lambda x: x.std(1, correction=0),
        [*ROWS, *FINITE_ROWS, [0.5, 0.5, 0.5]],
    ),
    "norm": (lambda x: np.linalg.norm(x, axis=1), lambda x: x.norm(dim=1), [*ROWS, *FINITE_ROWS]),
    "norm of everything": (np.linalg.norm, lambda x: torch.linalg.norm(x), np.zeros((2, 3))),
    **{
        f"norm, {p}": (
            lambda x, p=p: np.linalg.norm(x, p, axis=1),
            lambda x, p=p: torch.linalg.vector_norm(x, p, 1),
            FINITE_ROWS,
        )
        for p in (1, 1.5, 2, 3, INF, -INF)
    },
    **{
        f"matrix norm, {p}": (
            lambda x, p=p: np.linalg.norm(x, p),
            lambda x, p=p: torch.linalg.matrix_norm(x, p),
            [[1.0, 2.0], [2.0, 1.0], [3.0, -3.0]],
        )
        for p in (1, -1, INF, -INF)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_as_in_pytorch(name):
    f, theirs, *inputs = EDGES[name]
    ours = [Tensor(np.array(x), requires_grad=True) for x in inputs]
    its = [torch.tensor(np.array(x), requires_grad=True) for x in inputs]
    with np.errstate(all="ignore"):
        result = f(*ours)
        found = pull_back(result, np.ones(result.shape), ours)
    expected = theirs(*its)
    assert_close(result, expected)
    for g, other in zip(found, torch_pull_back(expected, torch.ones_like(expected), its)):
        assert_close(g, other)


# --- Where PyTorch does otherwise ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (np.fabs, [NAN, -0.0], [NAN, 0]),  # PyTorch hides the NaN
        (lambda x: np.arctan2(x, 0 * x), [0.0], [NAN]),  # a pole: PyTorch says 0
        (np.cbrt, [0.0, -8.0], [INF, 1 / 12]),
        (lambda x: np.fmod(x, 0.1), [1.0], [1]),
        (lambda x: np.fmod(1.0, x), [0.1, INF], [-9, 0]),  # 1 - 9 · 0.1; PyTorch says -10
        (lambda x: np.median(x, axis=-1), [1.0, INF, INF], [0, 1, 0]),
        (np.median, [0.0, INF, INF, 3.0], [0, 0.5, 0, 0.5]),  # ∞; in PyTorch NaN, from ∞ - ∞
        (lambda x: np.linalg.norm(x, -1), [2.0, 2.0], [0.25, 0.25]),
        (lambda x: np.cumprod(x), [2.0, 0.0, NAN], [NAN, NAN, 0]),
    ],
)
def test_edges_at_which_pytorch_does_otherwise(f, x, expected):
    leaf = Tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        f(leaf).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 2.0], [2.0, 4.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
        np.diag([0.0, 1.0, 2.0]),
        np.diag([0.0, 0.0, 2.0]),
        np.zeros((3, 3)),
        [[0.0]],
        np.stack([np.ones((3, 3)), np.eye(3) + 1]),
    ],
)
def test_the_determinant_of_a_singular_matrix_has_its_cofactors_as_gradient(matrix):
    """Where PyTorch's gradient is 0."""
    gradcheck(np.linalg.det, np.array(matrix), order=1)
    leaf = Tensor(np.array(matrix), requires_grad=True)
    np.linalg.det(leaf).sum().backward(create_graph=True)
    recorded = leaf.grad.numpy()
    leaf.grad = None
    np.linalg.det(leaf).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), recorded)


@pytest.mark.parametrize("name", ["inv", "solve", "slogdet"])
def test_where_there_is_no_inverse_the_error_is_that_of_numpy(name):
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    arguments = [x, np.ones(2)] if name == "solve" else [x]

    def differentiated():
        result = getattr(np.linalg, name)(*arguments)
        result[-1].backward()

    with np.errstate(all="ignore"), pytest.raises(np.linalg.LinAlgError, match="Singular"):
        differentiated()


def test_a_norm_that_is_0_has_no_curvature_and_no_nan():
    for f in (np.linalg.norm, np.std):
        x = Tensor(np.zeros(3), requires_grad=True)
        (first,) = pull_back(f(x), np.array(1.0), [x], create_graph=True)
        np.testing.assert_array_equal(first.numpy(), 0)


def test_norms_of_infinite_elements_for_negative_orders():
    x = np.array([INF, INF])
    with np.errstate(divide="ignore"):
        assert np.linalg.norm(Tensor(x), -1).numpy() == np.linalg.norm(x, -1) == INF
