"""The same rules on another kind of array: Dask's, which are cut into chunks and computed later."""

import numpy as np
import pytest
from catalogue import catalogue, pull_back, sample

from tinygrad_reg import Tensor
from tinygrad_reg import functional as F

dask = pytest.importorskip("dask", reason="Dask is not installed, so only NumPy arrays are tested")
da = pytest.importorskip("dask.array", reason="dask.array needs pip install dask[array]")

RESHAPE = "Dask's reshape only merges or splits axes that lie side by side"
ONE_LIST = "Dask indexes by one list at most, of one axis"
ADD_AT = "np.add.at has no counterpart in Dask"
UNLIKE = {"cholesky"}  # Dask's gives the upper triangle, and is called by the same name
SORTING = "Dask has no argsort"
MATRICES = "Dask knows single matrices at most, in square chunks"

# What Dask can do only in part, and why.  The rest raises an error.
IN_PART = {
    "reshape": RESHAPE,
    "getitem at positions": ONE_LIST + ", and for its gradient: " + ADD_AT,
    "getitem at masks": ONE_LIST + ", and for its gradient: " + ADD_AT,
    "scatter_add at positions": ADD_AT,
    "scatter_add at masks": ADD_AT,
}
for reason, names in {
    RESHAPE: ["array_split", "vsplit", "hsplit", "dsplit"],
    ONE_LIST: [
        "take", "take_along_axis", "compress", "extract", "delete", "resize", "tile", "roll",
        "rot90", "diagonal", "linalg.diagonal", "pad, by elements", "trace", "linalg.trace",
        "einsum 'aab->b'", "einsum 'aba'", "einsum 'aa,ab,bb->b'",
    ],
    ADD_AT: ["diag", "cross", "cross along another axis", "linalg.cross"],
    SORTING: ["sort", "partition", "median", "quantile", "percentile"],
    MATRICES: ["inv", "det", "cofactors", "slogdet", "solve", "matrix_power"],
}.items():  # fmt: skip
    IN_PART |= dict.fromkeys(names, reason)


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def chunked(x):
    """A Dask array of two chunks along each axis, where there are two elements."""
    return da.from_array(x, chunks=tuple(max(1, (n + 1) // 2) for n in x.shape))


def value_and_gradients(entry, array):
    leaves = [Tensor(array(x), requires_grad=True) for x in entry.inputs]
    result = entry.f(*leaves)
    u = np.asarray(np.random.default_rng(0).normal(size=result.shape))
    return [result, *pull_back(result, array(u), leaves)]


def samples(name, n):
    """Some entries with elements, for Dask is at a loss where there are none."""
    for entry in sample(name, n):
        expected = value_and_gradients(entry, np.array)
        if all(t.size for t in expected):
            yield entry, expected


def assert_the_same(found, expected):
    for a, b in zip(found, expected):
        assert isinstance(a._array, da.Array)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a._array.compute(), b._array, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted({*catalogue} - {*IN_PART} - UNLIKE))
def test_dask_arrays_give_what_numpy_arrays_give(name):
    for entry, expected in samples(name, 8):
        assert_the_same(value_and_gradients(entry, chunked), expected)


@pytest.mark.parametrize("name", IN_PART)
def test_what_dask_cannot_do_raises_an_error_and_the_rest_is_as_in_numpy(name):
    errors = 0
    for entry, expected in samples(name, 25):
        try:
            found = value_and_gradients(entry, chunked)
        except Exception:  # Dask has many
            errors += 1
        else:
            assert_the_same(found, expected)
    assert errors, "this works now: take it off the list"


def step(array, x, w1, b1, gamma, beta, w2, mask, create_graph=False):
    """One training step of a small network: the loss, the gradients and the running estimates."""
    parameters = [Tensor(array(p), requires_grad=True) for p in (w1, b1, gamma, beta, w2)]
    w1, b1, gamma, beta, w2 = parameters
    running = Tensor(array(np.zeros(6, x.dtype))), Tensor(array(np.ones(6, x.dtype)))
    hidden = F.linear(Tensor(array(x)), w1, b1)
    hidden = F.relu(F.batch_norm(hidden, *running, gamma, beta, training=True))
    hidden = F.dropout(hidden, 0.5, mask=mask)
    loss = F.cross_entropy(hidden @ w2, np.arange(len(x)) % 3) + F.l2_penalty([w1, w2], 0.1)
    loss.backward(create_graph=create_graph)
    return loss, parameters, running


def arrays_and_mask(dtype):
    rng = np.random.default_rng(0)
    shapes = (8, 5), (5, 6), (6,), (6,), (6,), (6, 3)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes], rng.random((8, 6)) < 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_step_of_a_network_on_dask_arrays(dtype):
    arrays, mask = arrays_and_mask(dtype)
    loss, parameters, running = step(chunked, *arrays, mask)
    expected_loss, expected, expected_running = step(np.array, *arrays, mask)
    ours = [loss, *(p.grad for p in parameters), *running]
    theirs = [expected_loss, *(p.grad for p in expected), *expected_running]
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    for a, b in zip(ours, theirs):
        assert isinstance(a._array, da.Array)
        assert a.dtype == dtype
        np.testing.assert_allclose(a._array.compute(), b._array, rtol=tolerance, atol=tolerance)


def test_second_derivatives_of_a_network_on_dask_arrays():
    arrays, mask = arrays_and_mask(np.float64)
    ours, theirs = (
        step(array, *arrays, mask, create_graph=True)[1] for array in (chunked, np.array)
    )
    for parameters in ours, theirs:
        length = sum(F.vdot(p.grad, p.grad) for p in parameters)
        for p in parameters:
            p.grad = None
        length.backward()
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad._array.compute(), b.grad._array, rtol=1e-9, atol=1e-12)


def test_a_batch_on_dask_through_weights_on_numpy():
    arrays, mask = arrays_and_mask(np.float64)

    def only_the_batch(x):
        return chunked(x) if x is arrays[0] else np.array(x)

    loss, parameters, _ = step(only_the_batch, *arrays, mask)
    expected_loss, expected, _ = step(np.array, *arrays, mask)
    assert isinstance(loss._array, da.Array)
    np.testing.assert_allclose(loss._array.compute(), expected_loss._array, rtol=1e-12)
    for a, b in zip(parameters, expected):
        np.testing.assert_allclose(np.asarray(a.grad._array), b.grad._array, rtol=1e-9, atol=1e-12)


def test_nothing_is_computed_before_it_is_asked_for():
    computed = []

    def load(block):
        computed.append(1)
        return block

    x = Tensor(chunked(np.ones((4, 6))).map_blocks(load, dtype=float), requires_grad=True)
    computed.clear()  # Dask tried it on an empty array
    ((x * x).tanh() @ np.ones((6, 2))).sum().backward()
    assert not computed
    x.grad._array.compute()
    assert computed
