"""NumPy's functions where no gradient is wanted, their arguments, and what is said of them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tinygrad_reg import Tensor, no_grad
from tinygrad_reg.operators import Operators

ROOT = Path(__file__).parents[1]
ROWS = np.array([[0.5, -1.25, 2.0], [3.0, 0.75, -0.5]])


def wanting(array=ROWS):
    return Tensor(array, requires_grad=True)


def plain(x):
    """A result with arrays in the place of tensors."""
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, (tuple, list)):
        return [plain(part) for part in x]
    return x


def assert_same(ours, theirs):
    ours, theirs = plain(ours), plain(theirs)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for pair in zip(ours, theirs):
            assert_same(*pair)
        return
    assert type(ours) is type(theirs) or np.asarray(ours).dtype == np.asarray(theirs).dtype
    np.testing.assert_array_equal(ours, theirs)


# --- Where no gradient is wanted, everything works -----------------------------------------------

SQUARE = np.array([[2.0, 0.5], [0.25, 1.0]])
WITHOUT_RULES = {
    "qr": (lambda x: np.linalg.qr(x), ROWS),
    "svd": (lambda x: np.linalg.svd(x), ROWS),
    "eigh": (lambda x: np.linalg.eigh(x), SQUARE),
    "pinv": (lambda x: np.linalg.pinv(x), ROWS),
    "norm, by singular values": (lambda x: np.linalg.norm(x, 2), ROWS),
    "fft": (lambda x: np.fft.fft(x), ROWS),
    "unique": (lambda x: np.unique(x), ROWS),
    "histogram": (lambda x: np.histogram(x, bins=3), ROWS),
    "gradient": (lambda x: np.gradient(x), ROWS),
    "interp": (lambda x: np.interp(x, [0.0, 1.0], [2.0, 3.0]), ROWS),
    "convolve": (lambda x: np.convolve(x[0], x[1]), ROWS),
    "corrcoef": (lambda x: np.corrcoef(x), ROWS),
    "nanmean": (lambda x: np.nanmean(x, axis=1), ROWS),
    "spacing": (lambda x: np.spacing(x), ROWS),
    "modf": (lambda x: np.modf(x), ROWS),
    "frexp": (lambda x: np.frexp(x), ROWS),
    "sum with where": (lambda x: np.sum(x, axis=0, where=ROWS > 0), ROWS),
    "mean with dtype": (lambda x: np.mean(x, dtype=np.float32), ROWS),
    "exp with dtype": (lambda x: np.exp(x, dtype=np.float64), ROWS.astype(np.float32)),
    "add.reduce": (lambda x: np.add.reduce(x, axis=1), ROWS),
    "multiply.outer": (lambda x: np.multiply.outer(x, x), ROWS),
    "add.accumulate": (lambda x: np.add.accumulate(x), ROWS),
    "quantile, another method": (lambda x: np.quantile(x, 0.4, method="lower"), ROWS),
    "apply_along_axis": (lambda x: np.apply_along_axis(np.ptp, 1, x), ROWS),
    "block": (lambda x: np.block([[x, x]]), ROWS),
    "array_repr": (lambda x: len(np.array_repr(x)), np.ones(1)),
    "nested arguments": (lambda x: np.block([[x, x], [x, x]]), ROWS),
}


@pytest.mark.parametrize("name", [name for name in WITHOUT_RULES if name != "array_repr"])
def test_a_function_without_a_rule_computes_where_no_gradient_is_wanted(name):
    f, x = WITHOUT_RULES[name]
    expected = f(x)
    assert_same(f(Tensor(x)), expected)
    assert_same(f(wanting(x).detach()), expected)
    with no_grad():
        assert_same(f(wanting(x)), expected)
    with pytest.raises(TypeError, match=r"\.detach\(\)"):
        f(wanting(x))


def test_floats_come_back_as_tensors_and_all_else_as_numpy_gives_it():
    t = Tensor(ROWS)
    assert isinstance(np.linalg.qr(t).Q, Tensor)
    assert type(np.linalg.qr(t)).__name__ == "QRResult"
    assert type(np.fft.fft(t)) is np.ndarray
    mantissa, exponent = np.frexp(t)
    assert isinstance(mantissa, Tensor)
    assert type(exponent) is np.ndarray
    counts, edges = np.histogram(t)
    assert type(counts) is np.ndarray
    assert isinstance(edges, Tensor)
    assert isinstance(np.linalg.norm(t, 2), Tensor)
    assert not np.linalg.pinv(t).requires_grad
    assert type(np.array_repr(t)) is str


@pytest.mark.parametrize("f", [np.round, np.std, np.linalg.norm, np.median, np.prod])
def test_gradients_can_be_looked_at(f):
    x = wanting()
    (x**3).sum().backward()
    np.testing.assert_allclose(f(x.grad).numpy(), f(3 * ROWS**2))


ALWAYS = [
    np.floor, np.ceil, np.rint, np.trunc, np.round, np.sign, np.any, np.all, np.count_nonzero,
    np.argsort, np.argmax, np.argmin, np.nonzero, np.flatnonzero, np.isnan, np.isfinite,
    np.zeros_like, np.ones_like, np.signbit, np.shape, np.ndim, np.size, np.logical_not,
    np.argwhere, np.isposinf, np.array_str, np.linalg.matrix_rank, np.tril_indices_from,
    np.triu_indices_from,
]  # fmt: skip


@pytest.mark.parametrize("f", ALWAYS, ids=lambda f: f.__name__)
def test_functions_whose_derivative_is_zero_always_compute(f):
    result = f(wanting())
    assert_same(result, f(ROWS))
    if isinstance(result, Tensor):
        assert not result.requires_grad
    if isinstance(f(ROWS), np.ndarray):
        assert isinstance(result, Tensor) == (f(ROWS).dtype.kind == "f")


def test_like_functions():
    x = wanting()
    assert np.empty_like(x).shape == x.shape
    assert np.zeros_like(x, dtype=int).dtype == int
    assert np.full_like(x, 2.0).numpy().tolist() == np.full_like(ROWS, 2.0).tolist()
    assert np.full_like(x, 2, dtype=int).tolist() == [[2] * 3] * 2
    assert isinstance(np.full_like(Tensor(ROWS), Tensor(2.0)), Tensor)
    with pytest.raises(TypeError, match=r"np\.copyto"):  # which NumPy's full_like calls
        np.full_like(ROWS, wanting(2.0))
    with pytest.raises(TypeError, match=r"np\.full_like"):
        np.full_like(Tensor(ROWS), wanting(2.0))


# --- Nothing can change a tensor -----------------------------------------------------------------

CHANGES = {
    "copyto": lambda t: np.copyto(t, 1.0),
    "put": lambda t: np.put(t, [0], 1.0),
    "fill_diagonal": lambda t: np.fill_diagonal(t, 1.0),
    "putmask": lambda t: np.putmask(t, ROWS > 0, 1.0),
    "out": lambda t: np.exp(t, out=t),
    "add.at": lambda t: np.add.at(t, [0], 1.0),
    "place": lambda t: np.place(t, ROWS > 0, [1.0]),
    "put_along_axis": lambda t: np.put_along_axis(t, np.array([[0]]), 1.0, 0),
    "in place": lambda t: t.__setitem__(0, 1.0),
    "sort": lambda t: t.sort(),
    "fill": lambda t: t.fill(0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_changes_a_tensor(name):
    t = Tensor(ROWS)
    with pytest.raises((ValueError, TypeError)):
        CHANGES[name](t)
    np.testing.assert_array_equal(t.numpy(), ROWS)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_tensor_as_out_is_refused_with_the_remedy(requires_grad):
    t = Tensor(ROWS, requires_grad)
    for call in (lambda: np.exp(t, out=t), lambda: np.matmul(ROWS, ROWS.T, out=t)):
        with pytest.raises(TypeError, match=r"np\.\w+ with out=: tensors never change.*assign"):
            call()


def test_what_a_function_gives_shares_no_memory_with_what_can_be_changed():
    array = ROWS.copy()
    made = np.broadcast_arrays(array, Tensor(1.0))[0]
    array[:] = 7
    np.testing.assert_array_equal(made.numpy(), ROWS)


def test_an_array_can_be_written_into():
    out = np.empty_like(ROWS)
    assert np.exp(Tensor(ROWS), out=out) is out
    np.testing.assert_array_equal(out, np.exp(ROWS))
    out += Tensor(ROWS)
    np.testing.assert_array_equal(out, np.exp(ROWS) + ROWS)


# --- Arguments and refusals ----------------------------------------------------------------------


def test_arguments_that_repeat_numpys_defaults_change_nothing():
    x = wanting()
    assert np.sum(x, 0, None).numpy().tolist() == ROWS.sum(0).tolist()
    assert np.sum(x, 0, None, None, True).shape == (1, 3)
    assert np.mean(x, axis=1, dtype=None, out=None).shape == (2,)
    assert np.take(x, [0], 0, None, "clip").shape == (1, 3)
    assert np.std(x, 0, None, None, 1).requires_grad
    np.testing.assert_allclose(np.std(x, 0, None, None, 1).numpy(), ROWS.std(0, ddof=1))
    assert np.sum(a=x).item() == ROWS.sum()
    assert np.median(x, 0, None, False, True).shape == (1, 3)
    assert np.concatenate([x, x], 1, None).shape == (2, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.linalg.qr(x), r"np\.linalg\.qr has no derivative rule"),
        (lambda x: np.fft.fft(x), r"np\.fft\.fft has no derivative rule"),
        (lambda x: np.spacing(x), r"np\.spacing has no derivative rule"),
        (lambda x: np.sum(x, where=ROWS > 0), r"np\.sum with where= is not supported"),
        (lambda x: np.sum(x, 0, None, np.zeros(3)), r"np\.sum with out= is not supported"),
        (lambda x: np.sum(x, 0, np.float32), r"np\.sum with dtype= is not supported"),
        (lambda x: np.exp(x, dtype=np.float32), r"np\.exp with dtype= is not supported"),
        (lambda x: np.exp(x, out=np.zeros((2, 3))), r"np\.exp with out=.*a = a \+ t"),
        (lambda x: np.add.reduce(x), r"np\.add\.reduce is not supported"),
        (lambda x: np.multiply.outer(x, x), r"np\.multiply\.outer is not supported"),
        (lambda x: np.quantile(x, 0.5, method="lower"), r"np\.quantile with method="),
        (lambda x: np.linalg.norm(x, 2), r"np\.linalg\.norm with ord=2"),
        (lambda x: np.array([x, x]), r"np\.stack\(\[t, u\]\)"),
        (lambda x: x.tolist(), r"tolist: this tensor would lose its gradient"),
        (lambda x: np.save("x.npy", x), r"np\.save has no derivative rule"),
    ],
)
def test_a_refusal_names_the_function_in_full_and_the_argument(call, words):
    with pytest.raises(TypeError, match=words):
        call(wanting())


def test_functions_of_scipy_are_called_by_their_names():
    special = pytest.importorskip("scipy.special")
    np.testing.assert_array_equal(special.expit(Tensor(ROWS)).numpy(), special.expit(ROWS))
    with pytest.raises(TypeError, match=r"scipy\.special\.expit has no derivative rule"):
        special.expit(wanting())


# --- Methods and operators -----------------------------------------------------------------------


def test_tensors_have_the_methods_of_arrays():
    refused_for_good = {
        "base", "byteswap", "choose", "ctypes", "device", "dump", "dumps", "flags",
        "flat", "getfield", "imag", "itemsize", "nbytes", "real", "resize", "setfield", "setflags",
        "strides", "to_device", "tobytes", "tofile", "view",
    }  # fmt: skip
    names = {name for name in dir(np.ndarray) if not name.startswith("_")}
    assert {name for name in names if not hasattr(Tensor, name)} <= refused_for_good


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x % 0.75, lambda x: 2.5 % x, lambda x: x // 0.75, lambda x: 2.5 // x,
        lambda x: divmod(x, 0.75), lambda x: divmod(2.5, x), lambda x: x.std(axis=1, ddof=1),
        lambda x: x.prod(axis=0), lambda x: x.cumsum(), lambda x: x.cumprod(axis=1),
        lambda x: x.all(), lambda x: x.any(axis=0), lambda x: x.argmin(axis=1),
        lambda x: x.argmax(axis=1), lambda x: x.clip(0, 1), lambda x: x.clip(max=1),
        lambda x: x.round(1), lambda x: x.conj(), lambda x: x.dot(np.ones(3)), lambda x: x.ravel(),
        lambda x: x.flatten(), lambda x: x.mT, lambda x: x.take([0, 2], axis=1),
        lambda x: x.compress([True, False, True], axis=1), lambda x: x.repeat(2, axis=0),
        lambda x: x.diagonal(), lambda x: x.trace(), lambda x: x.nonzero(), lambda x: x.argsort(),
        lambda x: x.argpartition(1), lambda x: x[0].searchsorted(0.1), lambda x: x.copy(),
        lambda x: 2.0 in x, lambda x: 9.0 in x, lambda x: x.var(0), lambda x: x.squeeze(),
        lambda x: x.swapaxes(0, 1),
    ],
)  # fmt: skip
def test_methods_and_operators_give_what_those_of_arrays_give(call):
    expected = call(ROWS)
    for x in Tensor(ROWS), wanting():
        ours, theirs = plain(call(x)), plain(expected)
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)


def test_operators_of_truths_and_whole_numbers_give_arrays():
    a, b = np.array([True, False, True]), np.array([True, True, False])
    m, n = np.array([5, 6, 7]), np.array([1, 2, 3])
    for x, y in [(a, b), (m, n)]:
        for ours, theirs in [
            (Tensor(x) & y, x & y), (x | Tensor(y), x | y), (Tensor(x) ^ Tensor(y), x ^ y),
            (~Tensor(x), ~x),
        ]:  # fmt: skip
            assert type(ours) is np.ndarray
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(Tensor(m) << n, m << n)
    np.testing.assert_array_equal(m >> Tensor(n), m >> n)
    with pytest.raises(TypeError, match="bitwise_and"):
        wanting() & 1


def test_a_copy_passes_gradients_on():
    x = wanting()
    (x.copy() * 2).sum().backward()
    assert x.grad.numpy().tolist() == [[2] * 3] * 2


def test_every_method_has_a_docstring():
    missing = [
        name
        for name in dir(Tensor)
        if not name.startswith("_") and callable(getattr(Tensor, name))
        if not getattr(Tensor, name).__doc__ and name not in vars(Operators)
    ]
    assert missing == []


# --- New data ------------------------------------------------------------------------------------


def test_data_can_be_changed_in_place_by_a_tensor():
    p = Tensor(ROWS.astype(np.float32), requires_grad=True)
    (p * p).sum().backward()
    before = p.data
    p.data -= 0.1 * p.grad
    np.testing.assert_allclose(p.data, ROWS * 0.8, rtol=1e-6)
    p.data += -0.1 * p.grad
    np.testing.assert_allclose(p.data, ROWS * 0.6, rtol=1e-6)
    assert p.dtype == np.float32
    assert p.requires_grad
    np.testing.assert_array_equal(before, ROWS.astype(np.float32))  # an old view shows old numbers
    p.data *= Tensor(2.0)
    p.data /= Tensor(4.0)
    np.testing.assert_allclose(p.data, ROWS * 0.3, rtol=1e-6)


def test_a_view_that_was_kept_changes_its_tensor():
    p = wanting()
    (p * p).sum().backward()
    kept = p.data
    kept -= p.grad
    np.testing.assert_array_equal(p.data, -ROWS)
    np.testing.assert_array_equal(kept, -ROWS)


def test_a_view_of_data_that_was_replaced_does_not_undo_the_replacement():
    p = Tensor(ROWS, requires_grad=True)
    old = p.data
    p.data -= Tensor(1.0)
    with pytest.raises(ValueError, match=r"no longer has.*view = p\.data"):
        old -= Tensor(2.0)
    np.testing.assert_array_equal(p.data, ROWS - 1)
    nothing = Tensor(np.ones((0, 2)), requires_grad=True)
    nothing.data -= Tensor(np.ones((0, 2)))


def test_a_graph_recorded_before_is_stale():
    p = wanting()
    loss = (p * p).sum()
    p.data -= Tensor(1.0)
    with pytest.raises(RuntimeError, match="its data has been replaced"):
        loss.backward()


def decrease(p, by):
    p.data -= by


@pytest.mark.parametrize("part", [slice(None, 1), 0, (0, 1), ...])
def test_parts_of_the_data_cannot_be_written_to(part):
    p = wanting()
    with pytest.raises(ValueError, match=r"replace it whole.*p\.data = p\.data"):
        p.data[part] = 0
    with pytest.raises(ValueError, match=r"replace it whole"):
        p.data[part] -= Tensor(1.0)
    np.testing.assert_array_equal(p.data, ROWS)


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        (lambda p: decrease(p, np.ones(3)), "-"), (lambda p: decrease(p, 1), "-"),
        (lambda p: p.data.__iadd__(ROWS), r"\+"), (lambda p: p.data.__imul__(2), r"\*"),
        (lambda p: np.add(p.data, 1, out=p.data), r"\+"),
    ],
)  # fmt: skip
def test_with_an_array_on_the_right_the_error_says_what_to_write(change, sign):
    p = wanting()
    with pytest.raises(ValueError, match=rf"p\.data = p\.data {sign} …"):
        change(p)
    np.testing.assert_array_equal(p.data, ROWS)


def test_what_must_not_become_data_is_refused_there_too():
    p = wanting()
    with pytest.raises(TypeError, match=r"would lose its gradient.*\.detach\(\)"):
        decrease(p, p)
    with pytest.raises(ValueError, match="only a leaf"):
        decrease(p * 2, Tensor(1.0))
    with pytest.raises(ValueError, match="has shape"):
        decrease(p, Tensor(np.ones((4, 2, 3))))
    np.testing.assert_array_equal(p.data, ROWS)


def test_what_is_computed_from_data_is_an_ordinary_array():
    p = wanting()
    for made in (p.data * 2, np.exp(p.data), p.data @ p.data.T, np.concatenate([p.data, p.data])):
        assert type(made) is np.ndarray
        made -= 1
    copy = p.data.copy()
    copy -= 1
    copy[0] = 5
    assert repr(p.data) == repr(ROWS)
    np.testing.assert_array_equal(p.data, ROWS)
    assert isinstance(p.data * p, Tensor)
    array = np.zeros((2, 3))
    array -= p.data
    np.testing.assert_array_equal(array, -ROWS)


# --- The page ------------------------------------------------------------------------------------


def test_the_tables_in_the_docs_are_those_of_the_code():
    path = ROOT / "docs" / "make_tables.py"
    spec = importlib.util.spec_from_file_location("make_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = module.text()
    written = (ROOT / "docs" / "numpy.md").read_text(encoding="utf-8")
    assert written == expected, "python docs/make_tables.py writes it anew"


# --- Arguments beside arrays ---------------------------------------------------------------------


@pytest.mark.parametrize("f", [np.quantile, np.percentile])
@pytest.mark.parametrize("wrap", [lambda q: q, lambda q: [q, q]])
def test_a_gradient_into_the_share_of_a_quantile_is_not_lost_silently(f, wrap):
    with pytest.raises(TypeError, match="would lose its gradient"):
        f(wanting(), wrap(wanting(0.5)))
    assert f(wanting(), Tensor(0.5)).item() == f(ROWS, 0.5)


def test_where_with_a_condition_alone_gives_indices():
    for ours, theirs in zip(np.where(wanting() > 0), np.where(ROWS > 0)):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(np.where(wanting()), np.where(ROWS)):
        np.testing.assert_array_equal(ours, theirs)


def test_triangles_of_vectors_and_products_of_flat_arrays():
    np.testing.assert_array_equal(np.tril(wanting(ROWS[0])).numpy(), np.tril(ROWS[0]))
    np.testing.assert_array_equal(np.triu(wanting(ROWS[0]), 1).numpy(), np.triu(ROWS[0], 1))
    assert np.vdot(wanting(), ROWS.T).item() == pytest.approx(np.vdot(ROWS, ROWS.T))
