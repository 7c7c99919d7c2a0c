"""Tensors compute what NumPy's arrays do: the same numbers, types and errors, also at the edges."""

import itertools
import operator

import numpy as np
import pytest

from tinygrad_reg import Tensor

TYPES = ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
NUMBERS = [True, 0, 1, 2, 3, 0.5, 2.0, -1.0, np.int8(2), np.int64(2), np.bool_(True)]


def outcome(f, *arguments):
    """The numbers and the type that f gives, or the kind of its error."""
    with np.errstate(all="ignore"):
        try:
            result = f(*arguments)
        except (TypeError, ValueError, OverflowError, IndexError) as error:
            return AttributeError if isinstance(error, AttributeError) else type(error)
    array = result.numpy() if isinstance(result, Tensor) else np.asarray(result)
    return array.dtype, array.shape, repr(array)


def same_outcome(f, *arguments):
    """Whether f does with tensors what it does with arrays."""
    tensors = [Tensor(x) if isinstance(x, np.ndarray) else x for x in arguments]
    ours, numpys = outcome(f, *tensors), outcome(f, *arguments)
    if isinstance(numpys, type) and isinstance(ours, type):  # ours may name the error otherwise
        return True
    return ours == numpys


@pytest.mark.parametrize("f", ARITHMETIC, ids=lambda f: f.__name__)
def test_operators_give_the_numbers_and_types_of_numpy(f):
    for kind, other in itertools.product(TYPES, TYPES):
        x, y = np.array([0, 1, 3, 100], kind), np.array([2, 1, 3, 1], other)
        assert same_outcome(f, x, y), (kind, other)
    for kind, n in itertools.product(TYPES, NUMBERS):
        x = np.array([0, 1, 3, 100], kind)
        assert same_outcome(f, x, n), (kind, n)
        assert same_outcome(f, n, x), (n, kind)


def test_powers_of_integers_overflow_only_where_those_of_numpy_do():
    x = Tensor(np.array([50000], np.int32))
    assert (x**2.0).numpy() == 2.5e9
    assert (x ** np.float64(2)).numpy() == 2.5e9
    assert (x**2).numpy() == np.array([50000], np.int32) ** 2
    assert (Tensor([True]) ** 2).dtype == np.int8


# The one way in which types differ from NumPy's: its float scalars are as weak as Python's numbers.


@pytest.mark.parametrize("f", [*ARITHMETIC, np.maximum, np.minimum], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_numpy_float_scalar_keeps_the_type_of_a_float_tensor(f, kind):
    x = np.array([0.5, 1.0, 2.0], kind)
    for n in (np.sqrt(2 / np.pi), np.float32(0.5), np.float16(0.5)):
        for ours, theirs in [(f(Tensor(x), n), f(x, float(n))), (f(n, Tensor(x)), f(float(n), x))]:
            assert ours.dtype == kind
            np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("f", [operator.floordiv, np.fmax, np.copysign, np.heaviside])
def test_so_it_does_where_there_is_no_derivative(f):
    x = np.array([0.5, 1.0, 2.0], np.float32)
    for n in (np.float64(0.3), np.float32(0.3)):
        assert f(Tensor(x), n).dtype == f(n, Tensor(x)).dtype == np.float32
    assert not (Tensor(np.float32([0.3])) == np.float64(0.3)).any()
    assert not np.equal(Tensor(np.float32([0.3])), np.float64(0.3)).any()


def test_beside_integers_and_as_an_array_it_has_its_own_type():
    assert (Tensor([1, 2]) * np.float32(0.5)).dtype == np.float64
    assert (Tensor(np.array([1], np.int8)) * np.float32(0.5)).dtype == np.float32
    assert (Tensor(np.ones(2, np.float32)) * np.array(0.5)).dtype == np.float64
    assert (Tensor(np.ones(2)) * np.longdouble(0.5)).dtype == np.longdouble


def test_a_tie_with_a_numpy_float_scalar_goes_to_the_number():
    for zero in (0, 0.0, np.float64(0), np.float32(0)):
        x = Tensor([0.0, 1.0], requires_grad=True)
        np.maximum(x, zero).sum().backward()
        assert x.grad.numpy().tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["bool", "int8", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", ["sum", "max", "min", "mean", "var"])
@pytest.mark.parametrize("axis", [None, 0, -1, 1, -2, (), (0,), (0, -1), (0, 0)])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.filterwarnings("ignore:Mean of empty|Degrees of freedom|invalid value")
def test_reductions_give_the_numbers_types_and_errors_of_numpy(name, axis, keepdims, shape, kind):
    x = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    assert same_outcome(lambda x: getattr(x, name)(axis=axis, keepdims=keepdims), x)


@pytest.mark.parametrize("axis", [None, 0, -1, ()])
@pytest.mark.parametrize("name", ["sum", "max", "min"])
def test_gradients_of_single_numbers_flow_through_reductions_along_an_axis(name, axis):
    for keepdims in (False, True):
        x = Tensor(3.0, requires_grad=True)
        (getattr(x, name)(axis=axis, keepdims=keepdims) * 2).backward()
        assert x.grad.numpy() == 2.0


@pytest.mark.parametrize("name", ["mean", "var"])
@pytest.mark.parametrize(("shape", "axis"), [((), 0), ((), -1), ((3,), 1), ((2, 3), (0, 2))])
def test_an_axis_that_is_not_there_is_named_as_numpy_does(name, shape, axis):
    x = Tensor(np.ones(shape), requires_grad=True)
    with pytest.raises(np.exceptions.AxisError, match=rf"{name} of shape .*axis=.*out of bounds"):
        getattr(x, name)(axis=axis)


# --- Byte order ----------------------------------------------------------------------------------


def test_foreign_byte_order_becomes_native_on_entry():
    foreign = np.array([1.0, 2.0, 3.0]).astype(">f8")
    x = Tensor(foreign, requires_grad=True)
    x.data = foreign * 2
    x.grad = foreign
    made = [x, x.grad, x * foreign, Tensor([0.0]).astype(">f4"), Tensor(foreign.astype(">i2"))]
    for t in made:
        assert t.dtype.isnative
    assert Tensor(foreign).numpy().tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble", "int64"])
def test_types_are_numpys_own_objects(kind):
    """The reverse sweep asks `dtype is dtype`; another object would make it copy each gradient."""
    own = np.dtype(kind)
    for x in (Tensor(np.ones(3, kind)), Tensor([1.0]).astype(kind), Tensor([0]).astype(own)):
        assert x.dtype is own
    foreign = own.newbyteorder(">")
    assert Tensor(np.ones(3, foreign)).dtype is Tensor([0]).astype(foreign).dtype is own


# --- NaN and infinities --------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, np.nan, np.inf, -np.inf]
PAIRS = list(zip(*itertools.product(SPECIAL, SPECIAL)))


def assert_like_torch(f, theirs, *arrays):
    torch = pytest.importorskip("torch")
    ours = [Tensor(x, requires_grad=True) for x in arrays]
    its = [torch.tensor(x, requires_grad=True, dtype=torch.float64) for x in arrays]
    with np.errstate(all="ignore"):
        result = f(*ours)
        result.sum().backward()
    expected = theirs(*its)
    expected.sum().backward()
    np.testing.assert_allclose(result.numpy(), expected.numpy(force=True), rtol=1e-12)
    for mine, other in zip(ours, its):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-12)


SMOOTH = ["exp", "log", "log1p", "sqrt", "tanh", "sin", "cos", "square"]


@pytest.mark.parametrize("name", SMOOTH)
def test_functions_of_nan_and_infinities_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    assert_like_torch(getattr(np, name), getattr(torch, name), SPECIAL)


@pytest.mark.parametrize("name", ["maximum", "minimum", "multiply", "divide", "power"])
def test_functions_of_two_nans_and_infinities_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch, {"power": "pow"}.get(name, name))
    assert_like_torch(getattr(np, name), theirs, *PAIRS)
    for c in SPECIAL:
        if name in ("maximum", "minimum") or (name == "power" and c in (0.5, -np.inf, np.inf)):
            continue  # ties with numbers go to the number; PyTorch takes x ** 0.5 for √x
        assert_like_torch(
            lambda x, c=c: getattr(np, name)(x, c), lambda x, c=c: theirs(x, c), SPECIAL
        )
    if name == "power":
        for c in SPECIAL:
            assert_like_torch(lambda x, c=c: c**x, lambda x, c=c: c**x, SPECIAL)


def test_a_relu_hands_the_gradient_of_nan_on_as_that_of_pytorch():
    torch = pytest.importorskip("torch")
    assert_like_torch(lambda x: np.maximum(x, 0), torch.relu, SPECIAL)


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_is_the_extreme_and_takes_the_gradient_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
    for x in itertools.product([1.0, 2.0, np.nan, np.inf, -np.inf], repeat=3):
        assert_like_torch(lambda x: getattr(x, name)(), getattr(torch, name), x)
    x = Tensor([[1.0, np.nan, 2.0], [1.0, 2.0, 2.0]], requires_grad=True)
    getattr(x, name)(axis=1).sum().backward()
    last = [0, 0.5, 0.5] if name == "max" else [1, 0, 0]
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 0], last])


def test_the_gradient_of_the_absolute_value_of_nan_is_nan():
    """PyTorch gives 0, which hides the NaN."""
    x = Tensor([np.nan, -np.inf, np.inf], requires_grad=True)
    abs(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [np.nan, -1, 1])
