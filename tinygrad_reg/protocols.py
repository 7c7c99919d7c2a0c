"""How tensors answer Python and NumPy: conversions to numbers and arrays, and NumPy's functions.

A conversion would end the graph without a word.  So a tensor that wants a gradient refuses it, and
the error names the words for it: `.item()`, `.numpy()`, `.detach()`.

Functions of NumPy come here by two protocols: NEP 13 for ufuncs (`np.exp(t)`, `array * t`), NEP 18
for the others (`np.sum(t, axis=0)`, `np.concatenate([t, u])`).  There are four kinds:

    with derivative rules, in `primitives.table`     recorded
    composed of such, in `array_functions`           recorded, each part for itself
    without a derivative, in `without_derivative`    computed on the arrays in the tensors
    all others                                       so, too, where nothing wants a gradient;
                                                     otherwise refused
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from inspect import BoundArguments, Parameter, Signature, signature
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import errors, primitives
from .attributes import Attributes, read_only, weak
from .methods import Methods, never_in_place
from .nested import tree_leaves, tree_map
from .operators import Result
from .scope import here

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
NO_VALUE = np._NoValue


class Protocols(Methods[Result]):
    """Conversions, and NumPy's functions on tensors."""

    __slots__ = ()

    constant: Callable[[npt.NDArray[Any]], Result]

    # --- Conversions -----------------------------------------------------------------------------

    def _number(self, what: str) -> Any:
        """The only element, for a conversion to a Python number."""
        self._stay_in_graph(what)
        return self.item()

    # fmt: off
    def __float__(self) -> float: return float(self._number("float"))
    def __int__(self) -> int: return int(self._number("int"))
    def __trunc__(self) -> int: return int(self._number("trunc"))
    def __round__(self, n: int | None = None) -> Any: return round(self._number("round"), n)

    # To branch on a value loses no gradient, and neither does printing it.
    def __bool__(self) -> bool: return bool(self._single("bool", "ask .any() or .all()"))
    # fmt: on

    def __format__(self, spec: str) -> str:
        return format(self._single("format", "use np.array2string(t)"), spec) if spec else str(self)

    def _single(self, what: str, remedy: str) -> Any:
        """The only element; for several, an error that names what needs it."""
        if self.size != 1:
            raise ValueError(
                f"{what}: a tensor of shape {self.shape} is no single number; {remedy}"
            )
        return self.item()

    def __index__(self) -> int:
        self._stay_in_graph("index")
        return operator.index(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        self._stay_in_graph("conversion to an array")
        return np.array(read_only(self._array), dtype=dtype, copy=copy)

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        self._stay_in_graph("tolist")
        return self._array.tolist()

    # --- NumPy's functions -----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            if ufunc in primitives.table:
                return self.apply(ufunc, *inputs)
            if ufunc in array_functions:
                return array_functions[ufunc](*inputs)
        if "dd->?" not in ufunc.types:  # comparisons are exact
            inputs = tuple(weak(x, inputs) if isinstance(x, np.floating) else x for x in inputs)
        return self._on_arrays(ufunc, inputs, kwargs, method)

    def __array_function__(
        self, func: Function, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func not in array_functions:
            return self._on_arrays(func, args, kwargs)
        ours = array_functions[func]
        if not takes(ours, args, kwargs):
            given, unknown = in_our_words(func, ours, args, kwargs)
            if unknown:
                return self._on_arrays(func, args, kwargs, unknown=unknown)
            args, kwargs = given.args, given.kwargs
        try:
            return ours(*args, **kwargs)
        except errors.NUMPY_ERRORS as error:
            if func.__name__ in str(error):
                raise
            raise errors.explained_call(error, func, args, kwargs) from error

    def _on_arrays(
        self,
        function: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        method: str = "__call__",
        unknown: list[str] | None = None,
    ) -> Any:
        """Call a function on the arrays in tensors, which it cannot change; nothing is recorded.

        Floats come back as tensors, whole numbers and truths as arrays.
        """
        if any(isinstance(x, Attributes) for x in tree_leaves(kwargs.get("out"))):
            raise never_in_place(f"{errors.full_name(function)} with out=", "assign the result")
        if function not in without_derivative and wants_gradient((args, kwargs)):
            raise errors.no_gradient_through(function, method, kwargs, unknown)
        values, options = tree_map(visible, args), tree_map(visible, kwargs)
        try:
            result = getattr(function, method)(*values, **options)
        except errors.NUMPY_ERRORS as error:
            raise errors.explained_call(error, function, values, options) from error
        return result if kwargs.get("out") is not None else tree_map(self._returned, result)

    def _returned(self, x: Any) -> Any:
        """An array of floats as a tensor, and everything else as it is."""
        is_float = getattr(getattr(x, "dtype", None), "kind", None) == "f"
        return self.constant(x.copy()) if is_float else x


def takes(ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether our function takes these arguments as they are.

    What is given first may have another name here, and NumPy's mark for no value no meaning.
    """
    try:
        given = signature_of(ours).bind(*args, **kwargs)
    except TypeError:
        return False
    for x in given.arguments.values():
        if x is NO_VALUE:
            return False
    return bool(args)


def visible(x: Any) -> Any:
    """A view of the array in a tensor that nobody can write to."""
    return read_only(x._array) if isinstance(x, Attributes) else x


def wants_gradient(arguments: Any) -> bool:
    """Tell whether a gradient would be lost if only the arrays in these arguments were used."""
    tensors = [x for x in tree_leaves(arguments) if isinstance(x, Attributes)]
    return here().records and any(x.node.requires_grad for x in tensors)


@cache
def signature_of(function: Function) -> Signature:
    """The signature of a function, found once, as that takes long."""
    return signature(function)


def in_our_words(
    function: Function, ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[BoundArguments, list[str]]:
    """The arguments of a call of NumPy's function as our function takes them.

    Those that only repeat NumPy's defaults are left out.  The second result are the names of those
    that our function does not have.
    """
    own = signature_of(ours)
    try:
        theirs = signature_of(function)
    except ValueError:  # older versions of NumPy do not tell it for functions written in C
        unknown = [name for name in kwargs if name not in own.parameters]
        return BoundArguments(own, OrderedDict()) if unknown else own.bind(*args, **kwargs), unknown
    pairs = zip(theirs.parameters, own.parameters)  # NumPy's `a` may be called x here
    names = {their: mine for their, mine in pairs if mine not in theirs.parameters}
    given = OrderedDict()
    for name, value in theirs.bind(*args, **kwargs).arguments.items():
        if theirs.parameters[name].kind is Parameter.VAR_KEYWORD:
            given.update(value)
        elif value is not theirs.parameters[name].default:
            given[name if name in own.parameters else names.get(name, name)] = value
    return BoundArguments(own, given), [name for name in given if name not in own.parameters]


# Their derivative is 0 wherever there is one, or their results are whole numbers, truths or texts.
without_derivative: set[Function] = {
    np.all, np.allclose, np.any, np.argmax, np.argmin, np.argpartition, np.argsort, np.argwhere,
    np.array2string, np.array_equal, np.array_equiv, np.array_repr, np.array_str, np.around,
    np.bitwise_and, np.bitwise_count, np.bitwise_invert, np.bitwise_or, np.bitwise_xor,
    np.broadcast_shapes, np.can_cast, np.ceil, np.common_type, np.count_nonzero,
    np.diag_indices_from, np.digitize, np.empty_like, np.equal, np.fix, np.flatnonzero, np.floor,
    np.floor_divide, np.greater, np.greater_equal, np.heaviside, np.isclose, np.iscomplex,
    np.iscomplexobj, np.isfinite, np.isin, np.isinf, np.isnan, np.isneginf, np.isposinf, np.isreal,
    np.isrealobj, np.left_shift, np.less, np.less_equal, np.lexsort, np.linalg.matrix_rank,
    np.logical_and, np.logical_not, np.logical_or, np.logical_xor, np.may_share_memory,
    np.min_scalar_type, np.nanargmax, np.nanargmin, np.ndim, np.nonzero, np.not_equal, np.ones_like,
    np.result_type, np.right_shift, np.rint, np.round, np.searchsorted, np.shape, np.shares_memory,
    np.sign, np.signbit, np.size, np.tril_indices_from, np.triu_indices_from, np.trunc,
    np.zeros_like,
}  # fmt: skip

# NumPy's functions that are composed of those in the table; the files of `arrays` fill it.
array_functions: dict[Function, Function] = {}


def implements(function: Function) -> Callable[[F], F]:
    """Decorate our implementation of a function of NumPy, to enter it in `array_functions`."""

    def enter(ours: F) -> F:
        array_functions[function] = ours
        return ours

    return enter
