"""No gradient is lost silently: whatever would make a number or an array of a tensor says so.

`.item()`, `.numpy()` and `.detach()` are the words that leave the graph; conversions without such a
word are refused for a tensor that wants a gradient, and the error, or its cause where NumPy puts
its own text first, names the words.
"""

import array
import cmath
import inspect
import math
import operator
import statistics
import warnings

import numpy as np
import pytest

from tinygrad_reg import Tensor, grad, nn, no_grad
from tinygrad_reg import functional as F


def words_of(error):
    """The texts of an error and of what caused it."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def names_the_words(error):
    return all(word in words_of(error) for word in (".item()", ".numpy()", ".detach()"))


def result(*numbers):
    """A tensor in the middle of a graph, of shape () for one number."""
    return Tensor(np.squeeze(numbers), requires_grad=True) * 1.0


# --- What lost gradients ------------------------------------------------------------------------


def fill_an_array(x):
    a = np.zeros(3)
    for i in range(3):
        a[i] = x[i] ** 2
    return np.sum(x * a)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (fill_an_array, np.array([1.0, 2.0, 3.0])),  # gave [1 4 9]; the gradient is [3 12 27]
        (lambda x: x * math.sqrt(x), 4.0),  # gave 2; it is 3
        (lambda x: x * math.exp(x), 1.0),
        (lambda x: x * math.fsum([x, x]), 1.0),
        (lambda x: x * float(x), 3.0),
        (lambda x: x * np.float64(x), 3.0),  # gave 3; it is 6
        (lambda x: x * Tensor(x), 3.0),
        (lambda x: x * nn.Parameter(x), 3.0),
        (lambda x: x * np.full(2, x), [1.0, 2.0]),
        (lambda x: np.ma.median(x) * x, [1.0, 2.0]),
    ],
)
def test_gradients_that_were_lost_without_a_word_are_refused(f, x):
    with pytest.raises((TypeError, ValueError)) as caught:
        grad(f)(x)
    assert names_the_words(caught.value)


def test_what_to_write_instead_gives_the_gradient():
    np.testing.assert_allclose(grad(lambda x: np.sum(x * x**2))([1.0, 2.0, 3.0]).data, [3, 12, 27])
    assert grad(lambda x: x * np.sqrt(x))(4.0).item() == 3
    assert grad(lambda x: x * x.detach())(3.0).item() == 3


# --- Conversions ---------------------------------------------------------------------------------


def assigned(place, value):
    a = np.zeros(3)
    a[place] = value
    return a


def added_in_place(value):
    a = np.zeros(2)
    a += value
    return a


# name: (conversion, number of elements of the tensor)
CONVERSIONS = {
    "float": (float, 1),
    "int": (int, 1),
    "complex": (complex, 1),
    "index": (operator.index, 1),
    "round": (round, 1),
    "round to digits": (lambda t: round(t, 2), 1),
    "trunc": (math.trunc, 1),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "sqrt": (math.sqrt, 1),
    "isnan": (math.isnan, 1),
    "cmath": (cmath.sqrt, 1),
    "%": (lambda t: "%.3f" % t, 1),  # noqa: UP031
    "fsum": (math.fsum, 2),
    "dist": (lambda t: math.dist([t], [0.0]), 1),
    "fmean": (statistics.fmean, 2),
    "array.array": (lambda t: array.array("d", t), 2),
    "np.float64": (np.float64, 1),
    "np.float32": (np.float32, 1),
    "np.array": (np.array, 2),
    "np.array of objects": (lambda t: np.array(t, dtype=object), 2),
    "np.asarray": (lambda t: np.asarray(t, np.float32), 2),
    "np.array of a list": (lambda t: np.array([t, t]), 1),
    "np.array of nested lists": (lambda t: np.array([[t, 1.0], [2.0, t]]), 1),
    "np.fromiter": (lambda t: np.fromiter(t, float), 2),
    "np.full": (lambda t: np.full(3, t), 1),
    "np.full_like": (lambda t: np.full_like(np.zeros(3), t), 1),
    "np.arange": (lambda t: np.arange(0.0, t), 1),
    "np.copyto": (lambda t: np.copyto(np.zeros(2), t), 2),
    "np.vectorize": (lambda t: np.vectorize(math.sqrt)(t), 2),
    "np.ma": (lambda t: np.ma.masked_array([1.0, 2.0], [False, True]) * t, 2),
    "np.ma.getdata": (np.ma.getdata, 2),
    "an element": (lambda t: assigned(0, t), 1),
    "a slice": (lambda t: assigned(slice(2), t), 2),
    "at positions": (lambda t: assigned([0, 2], t), 2),
    "where a mask holds": (lambda t: assigned([True, False, False], t), 1),
    "in place": (added_in_place, 2),
    "fill": (lambda t: np.zeros(3).fill(t), 1),
    "put": (lambda t: np.zeros(3).put(0, t), 1),
    "random numbers": (lambda t: np.random.default_rng(0).normal(t), 1),
    "an index": (lambda t: [1, 2, 3][t], 1),
    "Tensor": (Tensor, 2),
    "Tensor of a list": (lambda t: Tensor([t, t]), 1),
    "Parameter": (nn.Parameter, 2),
    "data": (lambda t: setattr(Tensor([1.0, 2.0]), "data", t), 2),
    "a mask of dropout": (lambda t: F.dropout([1.0, 2.0], mask=t), 2),
    "load_state_dict": (lambda t: nn.BatchNorm1d(2).load_state_dict(
        nn.BatchNorm1d(2).state_dict() | {"weight": t}), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_conversion_is_refused_with_the_words_for_it(name):
    convert, size = CONVERSIONS[name]
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        convert(result(*[0.5, 1.0][:size]))
    assert names_the_words(caught.value), words_of(caught.value)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_where_nothing_wants_a_gradient_conversions_give_what_the_array_gives(name):
    convert, size = CONVERSIONS[name]
    numbers = np.squeeze([0.5, 1.0][:size])

    def outcome(x):
        try:
            found = convert(x)
        except Exception as error:
            return type(error)
        return found.numpy() if isinstance(found, Tensor) else found

    expected = outcome(numbers[()])
    wanting = Tensor(numbers, requires_grad=True), result(*numbers.ravel())
    for tensor in Tensor(numbers), *(tensor.detach() for tensor in wanting):
        assert same(outcome(tensor), expected), name
    with no_grad():
        for tensor in *wanting, result(*numbers.ravel()):
            assert same(outcome(tensor), expected), name


def same(a, b):
    if isinstance(a, type) or isinstance(b, type):
        return a is b or (name_of(a) == name_of(b))
    return a == b if isinstance(a, str) else bool(np.array_equal(a, b))


def name_of(x):
    return x.__name__ if isinstance(x, type) else type(x).__name__


@pytest.mark.parametrize("requires_grad", [False, True])
def test_several_numbers_are_no_truth_and_have_no_digits(requires_grad):
    t = Tensor([1.0, 2.0], requires_grad)
    with pytest.raises(ValueError, match=r"bool: .*shape \(2,\).*\.any\(\) or \.all\(\)"):
        bool(t)
    with pytest.raises(ValueError, match=r"format: .*shape \(2,\).*np\.array2string"):
        f"{t:.3f}"


def test_decisions_and_printed_numbers_end_no_graph():
    t = result(0.5)
    assert t
    assert t > 0
    assert f"{t:.2f}" == "0.50"
    assert f"{t}" == repr(t) == str(t)
    assert sorted([t, result(0.25)])[1] is t
    assert [t, 1.0][0] is t
    assert t.item() == 0.5


# --- Every function of NumPy and math ------------------------------------------------------------

PATTERNS = [
    lambda x: (x,),
    lambda x: (x, x),
    lambda x: (np.ones(3), x),
    lambda x: (x, 1),
    lambda x: (2, x),
    lambda x: (np.ones(3), 0, x),
    lambda x: ((3,), x),
    lambda x: (np.ones(3), np.ones(3), x),
]
MODULES = [np, np.linalg, np.fft, np.ma, np.emath, np.polynomial.polynomial, math, statistics]
TALKATIVE = {"test", "info", "show_config", "show_runtime", "get_include"}
WRITERS = {"save", "savetxt", "savez", "savez_compressed", "fromfile", "memmap", "load", "tofile"}
UNINITIALISED = {"empty", "empty_like", "ndarray"}


def functions():
    for module in MODULES:
        for name in dir(module):
            f = getattr(module, name)
            known = name in TALKATIVE | WRITERS | UNINITIALISED or name.startswith(("_", "set"))
            if callable(f) and not known and not inspect.ismodule(f):
                yield f"{module.__name__}.{name}", f


def floats(found):
    """The floats in a result that is no tensor, as text."""
    if isinstance(found, (tuple, list)):
        return "".join(map(floats, found))
    number = isinstance(found, (float, complex, np.inexact))
    if number or (isinstance(found, np.ndarray) and found.dtype.kind in "fcO"):
        return str(np.asarray(found).tolist())
    return ""


def outcome(f, arguments):
    try:
        return floats(f(*arguments))
    except Exception:  # a refusal, or a call that makes no sense
        return ""


def silent_functions():
    """Those that give numbers which depend on those in a tensor, and no tensor."""
    silent = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, f in functions():
            for numbers in ([0.5], [0.5, 0.25, 0.75]):
                for pattern in PATTERNS:
                    one, other = (
                        outcome(f, pattern(result(*(n + step for n in numbers))))
                        for step in (0, 0.01)
                    )
                    if one != other:
                        silent.add(name)
    return silent


def test_no_function_of_numpy_or_math_makes_numbers_of_a_tensor_silently():
    assert silent_functions() == set()


def test_if_they_did_it_would_be_seen(monkeypatch):
    monkeypatch.setattr(Tensor, "_stay_in_graph", lambda self, what: None)
    silent = silent_functions()
    assert {"math.sqrt", "math.fsum", "numpy.float64", "numpy.asarray", "numpy.full"} <= silent
    assert len(silent) > 100
