"""PyTorch's opinion: values, first and second derivatives of all that it has, in float64."""

import numpy as np
import pytest
from catalogue import each_entry, pull_back

from tinygrad_reg import Tensor
from tinygrad_reg import functional as F

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
