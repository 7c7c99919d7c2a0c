"""float16: sums and what is composed leave its range on the way, but not in the result.

The oracle is the same function in float64, rounded to float16 once.
"""

import numpy as np
import pytest
from catalogue import pull_back

from tinygrad_reg import Tensor, init, nn, optim
from tinygrad_reg import functional as F

HALF = np.float16
RNG = np.random.default_rng(0)
MANY = 70_000  # more than 65504, the largest number
LARGE = (300 * RNG.standard_normal((40, 3))).astype(HALF)  # its squares are larger
LOGITS = RNG.standard_normal((MANY, 2)).astype(HALF)
LABELS = RNG.integers(0, 2, MANY)
BITS = np.eye(2, dtype=HALF)[LABELS]
SIGNS = 2 * BITS - 1
COUNTS = RNG.integers(-2, 3, (5000, 3)).astype(HALF)
ONES = np.ones((5000, 3), HALF)
STRIPES = np.array([[1, 0, 1]] * len(LARGE))


def running(x, mean=100.0, var=40_000.0):
    return Tensor(np.full(3, mean, x.dtype)), Tensor(np.full(3, var, x.dtype))


CASES = {
    # Sums: NumPy's own, along an axis, stop at 2048.
    "sum along an axis": (lambda x: x.sum(0), ONES),
    "sum of all": (lambda x: x.sum(), ONES),
    "sum of opposite numbers": (lambda x: x.sum(), np.full((100, 2), [60000, -60000], HALF)),
    "mean of many ones": (lambda x: x.mean(), np.ones(MANY, HALF)),
    "mean along an axis": (lambda x: x.mean(0, keepdims=True), np.abs(LARGE) * 20),
    "np.mean": (lambda x: np.mean(x, axis=(0, 1)), np.abs(LARGE) * 20),
    "F.mean": (lambda x: F.mean(x, 0), np.abs(LARGE) * 20),
    "var": (lambda x: x.var(0) / 1000, LARGE[:, :1] / 2),
    "F.var": (lambda x: F.var(x, ddof=1), LARGE / 2),
    "max of many equal ones": (lambda x: x.max(0), np.ones((MANY, 1), HALF)),
    "min of many equal ones": (lambda x: x.min(0), np.ones((5000, 1), HALF)),
    "repeated indices": (lambda x: x[np.zeros(5000, int)], np.ones((2, 3), HALF)),
    "std": (lambda x: np.std(x, axis=0), LARGE),
    "average": (lambda x: np.average(x, axis=0, weights=np.ones(40, HALF)), np.abs(LARGE) * 20),
    "norm": (lambda x: np.linalg.norm(x, axis=1), LARGE),
    "norm of all": (lambda x: np.linalg.norm(x), LARGE),
    "norm of order 3": (lambda x: np.linalg.norm(x, 3, axis=1), LARGE),
    "matrix norm": (lambda x: np.linalg.matrix_norm(x), LARGE),
    "vector norm": (lambda x: np.linalg.vector_norm(x, axis=0), LARGE),
    "cumsum": (lambda x: np.cumsum(x, axis=0), ONES),
    # Products.
    "vecdot": (lambda x: np.vecdot(x, SIGNS[:99] * x.dtype.type(300)), np.full((99, 2), 300, HALF)),
    "matmul": (lambda x: x.T @ x, LARGE / 20),
    "matmul of many": (lambda x: np.ones(5000, HALF) @ x, COUNTS),
    "vdot": (lambda x: F.vdot(x, x), COUNTS),
    "sum_of_squares": (lambda x: F.sum_of_squares(x), COUNTS),
    "sum_of_squares of several": (lambda x: F.sum_of_squares(x, x, x), COUNTS / 2),
    "linear": (lambda x: F.linear(x, x.T * 0 + 300, np.full(40, -60000, HALF)), LARGE * 0 + 80),
    # Broadcasting undone, in three shapes.
    "bias": (lambda x: np.zeros((5000, 3), HALF) + x, np.ones(3, HALF)),
    "row": (lambda x: np.zeros((5000, 3), HALF) + x, np.ones((1, 3), HALF)),
    "number": (lambda x: np.zeros((5000, 3), HALF) * x, np.ones((), HALF)),
    # Activations.
    "relu": (F.relu, LOGITS[:99]),
    "leaky_relu": (F.leaky_relu, LOGITS[:99]),
    "sigmoid": (F.sigmoid, LOGITS[:99] * 3),
    "softplus": (F.softplus, LOGITS[:99] * 3),
    "softmax": (lambda x: F.softmax(x, 0), np.zeros((MANY, 1), HALF)),
    "log_softmax": (lambda x: F.log_softmax(x, 0), LOGITS[:999]),
    "log_softmax of many": (lambda x: F.log_softmax(x, 0)[:3], np.zeros((MANY, 1), HALF)),
    "logsumexp": (lambda x: F.logsumexp(x, 0), LOGITS),
    "logsumexp of all": (lambda x: F.logsumexp(x, None, True), LOGITS),
    # Losses.
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS), LOGITS),
    "cross_entropy, smoothed": (
        lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), LOGITS
    ),
    "cross_entropy of probabilities": (lambda x: F.cross_entropy(x, BITS, "none"), LOGITS),
    "cross_entropy, target": (
        lambda y: F.cross_entropy(LOGITS[:9].astype(y.dtype), y), np.full((9, 2), 0.3, HALF)
    ),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, BITS), LOGITS
    ),
    "mse_loss": (lambda x: F.mse_loss(x, x.data * 0), LARGE / 2),
    "mse_loss of many": (lambda x: F.mse_loss(x, BITS), LOGITS),
    "mse_loss, target": (lambda y: F.mse_loss(LOGITS.astype(y.dtype), target=y), BITS),
    "hinge_loss": (lambda x: F.hinge_loss(x, SIGNS), LOGITS),
    # Layers and penalties.
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), LARGE),
    "batch_norm, small": (lambda x: F.batch_norm(x, None, None, eps=1e-8), LARGE / 10_000),
    "batch_norm of positions": (lambda x: F.batch_norm(x.reshape(10, 4, 3), None, None), LARGE),
    "batch_norm, evaluated": (lambda x: F.batch_norm(x, *running(x)), LARGE),
    "batch_norm, γ and β": (
        lambda x: F.batch_norm(x, None, None, *running(x, 3, 0.5), training=True), LARGE
    ),
    "dropout": (lambda x: F.dropout(x, 0.9999, mask=STRIPES), LARGE / 300),
    "dropout, vanilla": (lambda x: F.dropout(x, 0.3, False, "vanilla"), LARGE),
    "dropconnect": (lambda x: F.dropconnect(x, 0.9999, mask=STRIPES), LARGE / 300),
    "l2_penalty": (lambda x: F.l2_penalty(x, 1e-5), LARGE),
    "l2_penalty, one for each": (lambda x: F.l2_penalty([x, x], [1e-5, 1e-7]), LARGE),
    "l1_penalty": (lambda x: F.l1_penalty([x, x], 1e-5), LARGE * 20),
}  # fmt: skip
ELEMENTWISE = {"softplus", "leaky_relu"}  # every operation rounds


def assert_rounded(mine, exact, ulps=1.0):
    assert mine.dtype == HALF
    with np.errstate(over="ignore"):
        exact = exact.numpy().astype(HALF).astype(float)
    np.testing.assert_allclose(mine.numpy().astype(float), exact, ulps * 2**-10, ulps * 2**-24)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_float64_rounded(name):
    f, data = CASES[name]
    ulps = 3 if name in ELEMENTWISE else 1
    x, x64 = (Tensor(data.astype(t), requires_grad=True) for t in (HALF, np.float64))
    result, exact = f(x), f(x64)
    assert_rounded(result, exact, ulps)
    u = np.random.default_rng(1).uniform(0.5, 1, result.shape).astype(HALF)
    u = np.ones_like(u) if u.size > 1000 else u  # sums of these are no matter of rounding
    (g,), (g64,) = pull_back(result, u, [x]), pull_back(exact, u.astype(float), [x64])
    assert_rounded(g, g64, ulps)


SECOND = ["softmax", "log_softmax", "logsumexp", "cross_entropy", "mse_loss of many", "batch_norm"]


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives_are_those_of_float64_rounded(name):
    f = CASES[name][0]
    data = {"cross_entropy": LOGITS, "mse_loss of many": LOGITS}.get(name, LARGE / 300)
    seconds = []
    for dtype in (HALF, np.float64):
        x = Tensor(data.astype(dtype), requires_grad=True)
        result = f(x)
        v = np.random.default_rng(2).uniform(0.5, 1, data.shape).astype(HALF).astype(dtype)
        u = np.random.default_rng(1).uniform(0.5, 1, result.shape).astype(HALF).astype(dtype)
        (first,) = pull_back(result * result, u, [x], create_graph=True)
        seconds += pull_back(F.vdot(first, Tensor(v)), np.ones((), dtype), [x])
    # `first` and what is done with it are rounded each time, so this is no matter of one ulp.
    scale = np.abs(seconds[1].numpy()).max()
    assert seconds[0].dtype == HALF
    atol = max(0.01 * scale, 2**-24)
    np.testing.assert_allclose(seconds[0].numpy(), seconds[1].numpy(), rtol=0.01, atol=atol)


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_too_large_is_infinite_and_means_are_not():
    x = Tensor(np.full((2, MANY), 2, HALF), requires_grad=True)
    assert np.all(np.isinf(x.sum(1).data))
    np.testing.assert_array_equal(x.mean(1).data, 2)
    assert F.mse_loss(x, np.zeros(x.shape)).item() == 4
    assert F.mse_loss(x, np.zeros(x.shape), "sum").item() == np.inf


def test_dropping_almost_everything_gives_no_nan():
    x = F.dropout(HALF([1e-3, 1, 1]), 0.99999, mask=[1, 0, 0])
    np.testing.assert_allclose(x.data, [100, 0, 0], rtol=1e-3)


def test_other_types_beside_float16_keep_their_range():
    x, w = np.full((1, 2), 300, HALF), np.full((2, 1), 300, np.float32)
    assert F.linear(x, w, np.zeros(1, HALF)).dtype == np.float32
    assert F.linear(x, w, np.zeros(1, HALF)).item() == 180_000
    gamma = Tensor(np.ones(3, np.float32))
    assert F.batch_norm(LARGE, None, None, gamma).dtype == np.float32
    single = Tensor(LARGE.astype(np.float32))
    assert F.l2_penalty([Tensor(LARGE), single], 1.0).dtype == np.float32
    both = np.sum(LARGE.astype(float) ** 2)
    assert F.l2_penalty([Tensor(LARGE), single], 1.0).item() == pytest.approx(both, rel=1e-6)


def test_another_dtype_object_of_the_same_type_is_seen():
    dtype = np.dtype(HALF).newbyteorder("=")
    assert dtype is not np.dtype(HALF)
    x = Tensor(np.ones(MANY, dtype))
    assert x.mean().item() == 1
    assert F.mse_loss(x, np.zeros(MANY, dtype)).item() == 1
    p = Tensor(np.ones(3, dtype), requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = np.zeros(3, dtype)
    optimizer.step()
    np.testing.assert_array_equal(p.data, 1)


def test_as_pytorch_computes():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install -e '.[oracle]'")
    theirs = torch.nn.functional
    pairs = {
        "sum": (lambda x: x.sum(0), lambda x: x.sum(0), ONES),
        "mean": (lambda x: x.mean(), lambda x: x.mean(), np.ones((MANY, 1), HALF)),
        "softmax": (F.softmax, lambda x: x.softmax(-1), LOGITS.T),
        "cross_entropy": (
            lambda x: F.cross_entropy(x, LABELS),
            lambda x: theirs.cross_entropy(x.float(), torch.from_numpy(LABELS)).half(),
            LOGITS,
        ),
        "linear": (
            lambda x: F.linear(x, LARGE[:3], LARGE[0]),
            lambda x: theirs.linear(x, torch.from_numpy(LARGE[:3].T), torch.from_numpy(LARGE[0])),
            LARGE / 100,
        ),
    }
    for f, f_torch, data in pairs.values():
        x, t = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        result, expected = f(x), f_torch(t)
        result.backward(np.ones(result.shape))
        expected.backward(torch.ones_like(expected))
        for mine, its in ((result, expected.detach()), (x.grad, t.grad)):
            assert_rounded(mine, Tensor(its.numpy().astype(float)))


# --- Layers and optimizers -----------------------------------------------------------------------


def test_a_batch_norm_layer_normalises_and_moves_its_estimates():
    layers = [nn.BatchNorm1d(3, dtype=t) for t in (HALF, np.float64)]
    data = LARGE / 3
    results = [layer(data.astype(layer.weight.dtype)) for layer in layers]
    assert_rounded(*results)
    for name in ("running_mean", "running_var"):
        assert_rounded(*(getattr(layer, name) for layer in layers))


def test_weights_are_drawn_in_float16_as_in_float64():
    for draw in (init.lecun_normal, init.he_normal, init.xavier_uniform):
        mine, exact = (draw((30, 20), np.random.default_rng(0), t) for t in (HALF, np.float64))
        np.testing.assert_array_equal(mine, exact.astype(HALF))


OPTIMIZERS = [
    ("SGD", {"lr": 1e-8}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    ("SGD", {"lr": 1e-9, "weight_decay": 1e-9}),
    ("Adam", {"lr": 1e-3}),
    ("Adam", {"lr": 1e-3, "weight_decay": 1e-5}),
    ("AdamW", {"lr": 1e-3}),
    ("AdamW", {"lr": 1e-9, "weight_decay": 0.1}),
]
GRADIENTS = [[0.0, 1e-3, 6e-8, 1.0, 300.0, -60_000.0], [0.0, 1e-7, 0.0, 1.0, -300.0, 60_000.0]]


@pytest.mark.parametrize("start", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_steps_are_those_of_float64_rounded(name, settings, start):
    p, exact = (Tensor(np.full(6, start, t), requires_grad=True) for t in (HALF, np.float64))
    exact.data = p.data
    optimizers = [getattr(optim, name)([q], **settings) for q in (p, exact)]
    for g in GRADIENTS:
        for q, optimizer in zip((p, exact), optimizers):
            q.grad = np.array(g, HALF).astype(q.dtype)
            optimizer.step()
        assert np.isfinite(p.data).all()
        assert_rounded(p, exact)
        exact.data = p.data  # the next step starts from the rounded one


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_single_number_of_float16_is_trained_too(name, settings):
    p = Tensor(HALF(1), requires_grad=True)
    getattr(optim, name)([p], **settings)
    p.grad = 1.0
    getattr(optim, name)([p], **settings).step()
    assert p.dtype == HALF
    assert p.shape == ()


def test_a_learning_rate_that_anneals_to_almost_nothing_still_moves_a_small_number():
    p = Tensor(np.zeros(2, HALF), requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=1, eta_min=1e-8)
    schedule.step()
    p.grad = [1000.0, -1000.0]
    optimizer.step()
    np.testing.assert_array_equal(p.data, HALF([-1e-5, 1e-5]))


def test_the_state_is_float32_and_may_come_from_one_of_float16():
    p = Tensor(HALF([1, 2]), requires_grad=True)
    optimizer = optim.Adam([p])
    assert {array.dtype for array in optimizer.first + optimizer.second} == {np.dtype(np.float32)}
    old = optimizer.state_dict() | {"first": [HALF([0.5, 0.25])], "second": [HALF([1, 0])]}
    optimizer.load_state_dict(old)
    assert optimizer.first[0].dtype == np.float32
    np.testing.assert_array_equal(optimizer.first[0], [0.5, 0.25])


def test_a_model_of_float16_learns():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)).astype(HALF)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = nn.Sequential(
        nn.Linear(4, 32, rng=rng, dtype=HALF), nn.BatchNorm1d(32, dtype=HALF), nn.ReLU(),
        nn.Linear(32, 2, rng=rng, dtype=HALF),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) + F.l2_penalty(model.weights(), 1e-6)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert {p.dtype for p in model.parameters()} == {np.dtype(HALF)}
    assert losses[-1] < losses[0] / 3
