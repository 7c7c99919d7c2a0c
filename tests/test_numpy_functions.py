"""Each function of NumPy that is composed here, called in every way that NumPy documents.

The table below has for each function some calls that make sense, and more values of its parameters.
Tests go through them, by position and by name, with tensors that want a gradient and with others.
The result is NumPy's, or the error names the function.
"""

import inspect
import warnings
from copy import deepcopy

import numpy as np
import pytest

from tinygrad_reg import Tensor
from tinygrad_reg.errors import full_name
from tinygrad_reg.protocols import array_functions

rng = np.random.default_rng(0)
MATRIX, STACK, VECTOR, NUMBER = (
    rng.normal(size=(3, 4)),
    rng.normal(size=(2, 3, 4)),
    rng.normal(size=4),
    np.array(2.5),
)
SQUARE = np.cov(rng.normal(size=(3, 9)))
SQUARES = np.stack([SQUARE, SQUARE + 1])
INTEGERS, TRUTHS = np.arange(12).reshape(3, 4), np.arange(12).reshape(3, 4) % 3 == 0
SINGLE, EMPTY = MATRIX.astype(np.float32), np.zeros((0, 4))
ANY = [MATRIX, STACK, VECTOR, NUMBER, INTEGERS, TRUTHS, SINGLE, EMPTY]
ARRAYS = [MATRIX, STACK, INTEGERS, TRUTHS, SINGLE]  # of two axes or more
FLOATS = [MATRIX, STACK, INTEGERS, SINGLE]
NONE = np._NoValue

AXES = [None, 0, -1, (0,), (0, -1), (), np.int64(0)]
AXIS = [0, -1, None]
BOOL = [False, True]
TYPES = [None, np.float32, "float64"]
REDUCTION = {"axis": AXES, "keepdims": [*BOOL, NONE]}
LIMITED = {"dtype": TYPES, "out": [None], "where": [True, NONE], "initial": [1.0, NONE]}


def parameters(function):
    """Those of NumPy's function; none if it does not tell, as older versions for those in C."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


def limited(function):
    """What reductions have, as far as this one has it."""
    known = parameters(function)
    return {key: choices for key, choices in {**REDUCTION, **LIMITED}.items() if key in known}


SPREAD = {
    **REDUCTION,
    "dtype": TYPES,
    "out": [None],
    "ddof": [0, 1, 1.5],
    "where": [True, NONE],
    "mean": [NONE],
    "correction": [0, 1],
}
SHARES = {
    "q": [0.5, 0.25, [0.1, 0.9], [[0.1], [0.9]], []],
    **REDUCTION,
    "out": [None],
    "overwrite_input": [False],
    "method": ["linear", "lower", "nearest"],
    "weights": [None],
}
SHARES["keepdims"] = BOOL
PAIR = [np.array([1.0, 2.0, 3.0])] * 2
JOINED = {"dtype": TYPES, "casting": ["same_kind", "unsafe"]}

# For each function: calls, and values of its parameters.
TABLE = {
    **{f: ([[x] for x in ANY], limited(f))
       for f in (np.sum, np.max, np.min, np.amax, np.amin, np.prod, np.mean, np.ptp)},
    np.var: ([[x] for x in ANY], SPREAD),
    np.std: ([[x] for x in ANY], SPREAD),
    np.average: ([[x] for x in ARRAYS], {
        **REDUCTION, "returned": BOOL,
        "weights": [None, [1.0, 2, 3], MATRIX**2, SINGLE**2, INTEGERS + 1]}),
    np.cumsum: ([[x] for x in ANY], {"axis": AXIS, "dtype": TYPES, "out": [None]}),
    np.cumprod: ([[x] for x in ANY], {"axis": AXIS, "dtype": TYPES, "out": [None]}),
    np.median: ([[x] for x in FLOATS], {**REDUCTION, "keepdims": BOOL, "out": [None],
                                        "overwrite_input": [False]}),
    np.quantile: ([[x, 0.3] for x in FLOATS], SHARES),
    np.percentile: ([[x, 30.0] for x in FLOATS], SHARES),
    np.diff: ([[x] for x in ANY], {"n": [0, 1, 2, 9], "axis": [0, -1], "append": [NONE, 2],
                                   "prepend": [NONE, MATRIX, 1.5]}),
    np.sort: ([[x] for x in ANY], {"axis": AXIS, "kind": [None, "stable", "quicksort"],
                                   "order": [None], "stable": [None, True, False]}),
    np.partition: ([[x, 1] for x in FLOATS], {"kth": [0, -1, [0, 1]], "axis": AXIS,
                                              "kind": ["introselect"], "order": [None]}),
    np.clip: ([[x, -0.5, 0.5] for x in ANY] + [[x, None, 2] for x in ANY], {
        "a_min": [0, VECTOR], "a_max": [1], "min": [NONE], "max": [NONE], "out": [None],
        "dtype": TYPES}),
    np.tril: ([[x] for x in [*ARRAYS, VECTOR]], {"k": [0, 1, -2, 9, np.int64(1)]}),
    np.triu: ([[x] for x in [*ARRAYS, VECTOR]], {"k": [0, 1, -2, 9, np.int64(1)]}),
    np.diag: ([[x] for x in [MATRIX, VECTOR, INTEGERS, TRUTHS, SINGLE]], {"k": [0, 1, -2, 9]}),
    np.diagonal: ([[x] for x in ARRAYS], {"offset": [0, 1, -1], "axis1": [0, -1],
                                          "axis2": [1, -2]}),
    np.trace: ([[x] for x in ARRAYS], {"offset": [0, 1, -1], "axis1": [0, -1], "axis2": [1, -2],
                                       "dtype": TYPES, "out": [None]}),
    np.linalg.diagonal: ([[x] for x in ARRAYS], {"offset": [0, 1, -1]}),
    np.linalg.trace: ([[x] for x in ARRAYS], {"offset": [0, 1, -1], "dtype": TYPES}),
    np.take: ([[x, [0, 1]] for x in ARRAYS], {
        "indices": [0, -1, [[0, 1], [1, 0]], np.array([1]), []], "axis": AXIS, "out": [None],
        "mode": ["raise", "wrap", "clip"]}),
    np.take_along_axis: ([[x, np.argsort(x), -1] for x in ARRAYS], {"axis": [-1]}),
    np.compress: ([[[True, False, True], x] for x in ARRAYS], {
        "condition": [[1, 0], np.array([False, True])], "axis": AXIS, "out": [None]}),
    np.extract: ([[x > 0, x] for x in FLOATS], {"condition": [[True, False, True]]}),
    np.delete: ([[x, 0] for x in ARRAYS], {"obj": [-1, [0, 1], slice(1), [True, False]],
                                           "axis": AXIS}),
    np.repeat: ([[x, 2] for x in ANY], {"repeats": [0, [2]], "axis": AXIS}),
    np.resize: ([[x, (2, 3)] for x in ANY], {"new_shape": [5, (), (0, 2), (7,)]}),
    np.roll: ([[x, 1] for x in ANY], {"shift": [-2, (1, 2)], "axis": [*AXIS, (0, 1)]}),
    np.rot90: ([[x] for x in ARRAYS], {"k": [0, 1, -2, 5], "axes": [(0, 1), (1, 0), (-1, 0)]}),
    np.tile: ([[x, 2] for x in ANY], {"reps": [1, 0, (2, 1), ()]}),
    np.flip: ([[x] for x in ARRAYS], {"axis": AXES}),
    np.flipud: ([[x] for x in ARRAYS], {}),
    np.fliplr: ([[x] for x in ARRAYS], {}),
    np.pad: ([[x, 1] for x in ARRAYS], {
        "pad_width": [0, (1, 2), ((1, 2),), {-1: 2}, {0: (1, 0)}, np.array([1, 2])],
        "mode": ["constant", "edge", "reflect", "symmetric", "wrap", "maximum", "mean",
                 "linear_ramp"],
        "constant_values": [3, (1, 2)]}),
    np.lib.stride_tricks.sliding_window_view: ([[x, (2, 2), (0, 1)] for x in ARRAYS], {
        "window_shape": [(1, 3)], "axis": [(0, -1), (-1, -1)], "subok": BOOL,
        "writeable": [False]}),
    np.reshape: ([[x, (-1, 2)] for x in ARRAYS], {"shape": [-1, (2, -1)], "order": ["C", "F", "A"],
                                                  "copy": [None, True]}),
    np.ravel: ([[x] for x in ANY], {"order": ["C", "F", "A", "K"]}),
    np.copy: ([[x] for x in ANY], {"order": ["C", "F", "A", "K"], "subok": BOOL}),
    np.full_like: ([[x, 2] for x in ANY], {"fill_value": [0.5, True, VECTOR], "dtype": TYPES,
                                           "order": ["C", "K"], "subok": BOOL,
                                           "shape": [None, (2, 4)], "device": [None, "cpu"]}),
    np.transpose: ([[x] for x in ANY], {"axes": [None, (1, 0), [-1, 0]]}),
    np.matrix_transpose: ([[x] for x in ARRAYS], {}),
    np.linalg.matrix_transpose: ([[x] for x in ARRAYS], {}),
    np.swapaxes: ([[x, 0, 1] for x in ARRAYS], {"axis1": [0, -1], "axis2": [0, -2]}),
    np.moveaxis: ([[x, 0, 1] for x in ARRAYS], {"source": [-1, (0,)], "destination": [-1, (0,)]}),
    np.rollaxis: ([[x, 1] for x in ARRAYS], {"axis": [0, -1], "start": [0, 1, 2]}),
    np.expand_dims: ([[x, 0] for x in ANY], {"axis": [-1, (0, 1), (0, -1)]}),
    np.squeeze: ([[x[:1]] for x in ARRAYS], {"axis": [None, 0, (0,), ()]}),
    **{f: ([[x] for x in ANY] + [[MATRIX, VECTOR, INTEGERS]], {})
       for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.broadcast_to: ([[x, (2, 3, 4)] for x in ANY[:-1]], {"shape": [(5, 2, 3, 4)], "subok": BOOL}),
    np.broadcast_arrays: ([[x, 2.0] for x in ANY] + [[MATRIX, VECTOR]], {"subok": [False]}),
    np.concatenate: ([[[x, x]] for x in ARRAYS], {"axis": AXIS, "out": [None], **JOINED}),
    np.stack: ([[[x, x]] for x in ANY], {"axis": [0, -1], "out": [None], **JOINED}),
    np.vstack: ([[[x, x]] for x in ANY], JOINED),
    np.hstack: ([[(x, x)] for x in ANY], JOINED),
    np.dstack: ([[[x, x]] for x in ANY], {}),
    np.column_stack: ([[[x, x]] for x in [MATRIX, VECTOR, NUMBER]] + [[[MATRIX, PAIR[0]]]], {}),
    np.append: ([[x, x] for x in ANY], {"values": [1.5, VECTOR], "axis": AXIS}),
    np.split: ([[x, [1]] for x in ARRAYS], {
        "indices_or_sections": [1, [1, 9], [-1], np.array([2]), (0, 2)], "axis": [0, -1]}),
    np.array_split: ([[x, 2] for x in ARRAYS], {
        "indices_or_sections": [1, 5, [1, 9]], "axis": [0, -1]}),
    **{f: ([[STACK, 1], [STACK, [1]]], {"indices_or_sections": [[0, 1], (1,)]})
       for f in (np.vsplit, np.hsplit, np.dsplit)},
    np.unstack: ([[x] for x in ARRAYS], {"axis": [0, -1]}),
    np.where: ([[x > 0, x, 0] for x in ANY] + [[MATRIX], [TRUTHS, VECTOR, MATRIX]], {}),
    np.dot: ([[MATRIX, VECTOR], [STACK, MATRIX.T], [NUMBER, MATRIX], [INTEGERS, INTEGERS.T]],
             {"out": [None]}),
    np.inner: ([[MATRIX, VECTOR], [STACK, MATRIX], [NUMBER, MATRIX], [TRUTHS, TRUTHS]], {}),
    np.outer: ([[x, VECTOR] for x in ANY], {"out": [None]}),
    np.linalg.outer: ([[VECTOR, PAIR[0]]], {}),
    np.kron: ([[x, MATRIX] for x in ANY[:-1]] + [[VECTOR, STACK]], {}),
    np.vdot: ([[x, x] for x in ANY], {}),
    np.vecdot: ([[x, x] for x in [*ARRAYS, VECTOR]] + [[STACK, VECTOR]], {
        "axis": [-1, 0], "keepdims": [False], "dtype": [None], "out": [None]}),
    np.linalg.vecdot: ([[x, x] for x in ARRAYS], {"axis": [-1, 0]}),
    np.cross: ([PAIR, [MATRIX.T, MATRIX.T], [MATRIX.T, PAIR[0]]], {
        "axisa": [-1], "axisb": [-1], "axisc": [-1, 0], "axis": [None, -1]}),
    np.linalg.cross: ([PAIR, [MATRIX.T, MATRIX.T]], {"axis": [-1]}),
    np.tensordot: ([[STACK, STACK, ([1, 2], [1, 2])]], {
        "axes": [0, ([0], [0]), (1, 1), ([-1, 0], (-1, 0))]}),
    np.linalg.tensordot: ([[MATRIX, MATRIX.T]], {"axes": [0, 1, 2, (0, -1)]}),
    np.linalg.matmul: ([[MATRIX, VECTOR], [STACK, MATRIX.T], [TRUTHS, TRUTHS.T]], {}),
    np.einsum: ([["ij,...j->...i", x, VECTOR] for x in [MATRIX, INTEGERS, SINGLE]]
                + [["ij->i", x] for x in [MATRIX, INTEGERS, TRUTHS, INTEGERS.astype(np.int8)]]
                + [[STACK, [0, 1, 2], [2, 0]], [MATRIX, [0, 1], VECTOR, [1]], ["aab", SQUARES.T]], {
                    "optimize": [False, True, "greedy", "optimal"], "out": [None], "dtype": [None],
                    "order": ["K"], "casting": ["safe"]}),
    np.linalg.inv: ([[SQUARE], [SQUARES], [np.eye(2, dtype=int)], [SQUARE.astype("f")]], {}),
    np.linalg.det: ([[SQUARE], [SQUARES], [np.eye(2, dtype=int)], [np.eye(2) > 0]], {}),
    np.linalg.slogdet: ([[SQUARE], [SQUARES], [-np.eye(3)], [np.eye(2, dtype=int)]], {}),
    np.linalg.solve: ([[SQUARE, PAIR[0]], [SQUARES, MATRIX], [SQUARES, SQUARE]], {}),
    np.linalg.cholesky: ([[SQUARE], [SQUARES], [np.eye(2, dtype=int)], [SQUARE + np.tri(3, k=-1)]],
                         {"upper": BOOL}),
    np.linalg.matrix_power: ([[SQUARE, 2], [SQUARES, 3]], {"n": [0, 1, -1, -2, np.int64(2)]}),
    np.linalg.multi_dot: ([[[MATRIX, MATRIX.T, MATRIX]], [[PAIR[0], MATRIX, VECTOR]]],
                          {"out": [None]}),
    np.linalg.norm: ([[x] for x in FLOATS] + [[VECTOR], [MATRIX, None, 0]], {
        "ord": [None, "fro", 1, -1, 2, -2, "nuc", np.inf, -np.inf, 0, 3, 0.5],
        "axis": [None, 0, -1, (0, 1), (-1,)], "keepdims": BOOL}),
    np.linalg.vector_norm: ([[x] for x in FLOATS], {
        "ord": [2, 1, 0, np.inf, -np.inf, 3, -1], "axis": [None, 0, (0, 1)], "keepdims": BOOL}),
    np.linalg.matrix_norm: ([[x] for x in FLOATS], {
        "ord": ["fro", 1, -1, 2, -2, "nuc", np.inf, -np.inf], "keepdims": BOOL}),
}  # fmt: skip

WRONG = ["a", object(), 1.5, 99, -99, (0, 99), (0, 0, 0), [[0], [1, 2]], None, MATRIX.copy()]


def in_tensors(x, requires_grad):
    """The same with a tensor for each array."""
    if isinstance(x, np.ndarray):
        return Tensor(x, requires_grad and x.dtype.kind == "f")
    if isinstance(x, (list, tuple)) and any(isinstance(part, np.ndarray) for part in x):
        return type(x)(in_tensors(part, requires_grad) for part in x)
    return x


def outcome(function, args, options):
    """All arrays in the result, or the error."""
    result = raw_outcome(function, args, options)
    return result if isinstance(result, Exception) else list(arrays_in(result))


def raw_outcome(function, args, options):
    """The result, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args, **options)
        except Exception as error:
            return error


def arrays_in(x):
    if isinstance(x, (list, tuple)):
        for part in x:
            yield from arrays_in(part)
    else:
        yield x.numpy() if isinstance(x, Tensor) else np.asarray(x)


REFUSED = "is not supported where a gradient is wanted", "has no derivative rule"


def compare(function, args, options, lenient=False):
    """Compare a call with tensors, of both kinds, with the same call with arrays."""
    expected = outcome(function, *deepcopy((args, options)))  # which may be written into
    if lenient and isinstance(expected, list) and any(x.dtype.kind not in "fiub" for x in expected):
        expected = TypeError("NumPy makes texts or objects of it, tensors do not")
    for requires_grad in (False, True):
        ours = [in_tensors(x, requires_grad) for x in args]
        by_name = {key: in_tensors(x, requires_grad) for key, x in options.items()}
        if not any(isinstance(x, Tensor) for x in leaves([ours, by_name])):
            return
        found = outcome(function, ours, by_name)
        call = f"{full_name(function)} of {args}, {options}, requires_grad={requires_grad}"
        if isinstance(found, Exception):
            refused = requires_grad and any(words in str(found) for words in REFUSED)
            kinds = TypeError if refused else (TypeError, ValueError, IndexError)
            assert isinstance(found, kinds), f"{call}: {found!r}"
            assert function.__name__ in str(found), f"{call}: {found!r}"
            assert refused or lenient or isinstance(expected, Exception), f"{call}: {found!r}"
        elif isinstance(expected, Exception):
            assert lenient, f"{call}: {expected!r} in NumPy"
        else:
            assert_same(found, expected, call)


def leaves(x):
    """What is in lists, tuples and dictionaries."""
    if isinstance(x, dict):
        x = list(x.values())
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, (list, tuple)) else [x]


def assert_same(found, expected, call):
    assert [x.shape for x in found] == [x.shape for x in expected], call
    for mine, other in zip(found, expected):
        # A number of Python's keeps float32, also where NumPy makes an array of it first.
        weak = mine.dtype == np.float32 and other.dtype == np.float64
        assert mine.dtype == other.dtype or weak, f"{call}: {mine.dtype}, in NumPy {other.dtype}"
        tolerance = 1e-5 if np.float32 in (mine.dtype, other.dtype) else 1e-12
        np.testing.assert_allclose(mine, other, tolerance, tolerance, err_msg=call)


def ways(function, args, **changed):
    """A call in all ways: as it is, by name as far as that goes, and with all defaults."""
    if not parameters(function) or not {*changed} <= {*parameters(function)}:  # one of **kwargs
        yield args, changed
        return
    bound = inspect.signature(function).bind(*args)
    bound.arguments.update(changed)
    yield bound.args, bound.kwargs
    kinds = {key: parameter.kind for key, parameter in parameters(function).items()}
    if inspect.Parameter.VAR_POSITIONAL in kinds.values():
        return
    named = {k: x for k, x in bound.arguments.items() if kinds[k] != kinds[k].POSITIONAL_ONLY}
    yield [x for k, x in bound.arguments.items() if k not in named], named
    if not changed and function is not np.where and not isinstance(function, np.ufunc):
        bound.apply_defaults()
        yield bound.args, bound.kwargs


def test_the_table_has_all_functions_and_all_their_parameters():
    assert set(TABLE) == set(array_functions)
    for function, (calls, values) in TABLE.items():
        given = set(list(parameters(function))[: max(len(args) for args in calls)])
        several = {"kwargs", "operands", "arys", "args"}
        unlisted = set(parameters(function)) - given - set(values) - several
        assert not unlisted - UFUNC, f"{full_name(function)}: {unlisted}"


UFUNC = {"axes", "casting", "order", "subok", "signature"}  # of vecdot


@pytest.mark.parametrize("function", TABLE, ids=full_name)
def test_calls_give_the_numbers_shapes_and_types_of_numpy(function):
    calls, values = TABLE[function]
    for args in calls:
        for way in ways(function, args):
            compare(function, *way)
        for key, choices in values.items():
            for value in choices:
                for way in ways(function, args, **{key: value}):
                    compare(function, *way)


@pytest.mark.parametrize("function", TABLE, ids=full_name)
def test_arguments_that_make_no_sense_raise_an_error_that_names_the_function(function):
    calls, values = TABLE[function]
    kinds = {key: parameter.kind for key, parameter in parameters(function).items()}
    for key in {**dict.fromkeys(list(kinds)[1:]), **values}:
        if kinds.get(key) in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        for value in WRONG:
            way = next(ways(function, calls[0], **{key: value}))
            compare(function, *way, lenient=True)


@pytest.mark.parametrize("function", TABLE, ids=full_name)
def test_no_gradient_is_lost_without_a_word(function):
    """A tensor in the place of any number or array passes its gradient on, or is refused."""
    constant = {(np.where, 0), (np.compress, 0), (np.extract, 0), (np.full_like, 0)}
    names = dict(enumerate(parameters(function)))
    calls, values = TABLE[function]
    for args in calls:
        singles = [(args, {key: x}) for key, choices in values.items() for x in choices]
        for positions, options in [(args, {}), *singles]:
            for place, x in [*enumerate(positions), *options.items()]:
                array = isinstance(x, np.ndarray) and x.dtype.kind == "f"
                number = isinstance(x, (int, float)) and names.get(place, place) in NUMBERS
                counted = options.get("ord") == 0  # whose derivative is 0
                if (function, place) in constant or counted or not (array or number):
                    continue
                t = Tensor(np.asarray(x, float), requires_grad=True)
                given = [*enumerate(in_tensors(list(positions), False)), *options.items()]
                both = {key: t if key == place else part for key, part in given}
                ours = [both.pop(i) for i in range(len(positions))]
                found = raw_outcome(function, ours, both)
                kept = isinstance(found, Exception) or any(
                    isinstance(part, Tensor) and part.requires_grad for part in leaves([found])
                )
                assert kept, f"{full_name(function)} of {positions}, {options}: {place}"


NUMBERS = {  # parameters for which floats make sense
    "a_min", "a_max", "append", "constant_values", "correction", "ddof", "fill_value", "ord",
    "prepend", "q", "values", "weights",
}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "reflect", "reflect_type": "odd"},
        {"mode": "symmetric", "reflect_type": "even"},
        {"mode": "maximum", "stat_length": 2},
        {"mode": "linear_ramp", "end_values": 2.0},
        {"mode": "edge", "constant_values": 2.0},
        {"mode": "wrap", "bogus": 2.0},
    ],
)
def test_what_only_some_modes_of_pad_know_is_not_taken_for_something_else(options):
    compare(np.pad, [MATRIX, 1], options)


@pytest.mark.parametrize("function", [np.quantile, np.median, np.max], ids=full_name)
def test_without_elements_there_is_no_quantile_and_no_extreme(function):
    others = [0.5] if function is np.quantile else []
    with pytest.raises(ValueError, match=function.__name__):
        function(Tensor(EMPTY), *others, axis=0)


def test_quantiles_of_integers_are_floats():
    """NumPy keeps integers if the share is one, too."""
    assert np.quantile(Tensor(INTEGERS), 1).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.einsum("...i...->i", t), r"einsum: '\.\.\.' stands at most once"),
        (lambda t: np.einsum("i.j->ij", t), r"einsum: subscripts are letters.* not '\.'"),
        (lambda t: np.einsum(t, 5), "einsum: a list of indices follows each array"),
        (lambda t: np.tensordot(t, t, [1, 2, 3]), r"tensordot: axes must be .* not \[1, 2, 3\]"),
        (lambda t: np.tril(t.sum()), r"tril of shape \(\): one axis"),
        (lambda t: np.triu(t, "a"), "triu: k must be a whole number, not 'a'"),
        (lambda t: np.diag(t[0], 1.5), "diag: k must be a whole number, not 1.5"),
        (lambda t: np.cumsum(t.sum(), axis=()), r"cumsum.*axis=\(\)"),
        (lambda t: np.percentile(t, 300), "percentile: q must be from 0 to 100, not 300"),
    ],
)
def test_errors_speak_of_what_was_called(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(Tensor(MATRIX, requires_grad=True))


# --- Methods -------------------------------------------------------------------------------------

METHODS = {
    "all": [(), (0,), (None, True)],
    "any": [(), (-1,)],
    "argmax": [(), (0,), (1, True)],
    "argmin": [(), (0,)],
    "argsort": [(), (0,), (None,)],
    "argpartition": [(1,), (1, 0)],
    "clip": [(0, 1), (None, 1), (0,), (VECTOR, 2)],
    "compress": [([True, False, True], 0)],
    "conj": [()],
    "conjugate": [()],
    "copy": [()],
    "cumsum": [(), (0,), (-1,)],
    "cumprod": [(), (0,), (-1,)],
    "diagonal": [(), (1,), (0, 1, 0)],
    "dot": [(VECTOR,), (2,), ([1, 2, 3, 4],)],
    "flatten": [()],
    "nonzero": [()],
    "prod": [(), (0,), ((0, 1),)],
    "ravel": [()],
    "repeat": [(2,), ([1, 0, 2], 0)],
    "round": [(), (1,)],
    "squeeze": [()],
    "std": [(), (0,)],
    "swapaxes": [(0, 1)],
    "take": [([0, 1],), (1, 0), ([0, 5], 1, "wrap")],
    "trace": [(), (1,)],
    "var": [(), (0,)],
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("array", [MATRIX, INTEGERS, TRUTHS, SINGLE], ids=lambda x: str(x.dtype))
def test_methods_give_what_methods_of_arrays_give(name, array):
    if name in ("conj", "conjugate") and array.dtype == bool:
        return  # as np.conj, which makes integers of truths
    numpys = {"all", "any", "argmax", "argmin", "prod", "std", "var"}  # have `out` in between
    for args in METHODS[name]:
        options = {}
        if name in numpys and len(args) > 1:
            args, options = args[:1], {"keepdims": args[1]}
        if name == "take" and len(args) > 2:
            args, options = args[:2], {"mode": args[2]}
        expected = outcome(getattr(array, name), args, options)
        for requires_grad in (False, array.dtype.kind == "f"):
            found = outcome(getattr(Tensor(array, requires_grad), name), args, options)
            if isinstance(expected, Exception):
                assert isinstance(found, (TypeError, ValueError))
                continue
            assert_same(found, expected, f"{name}{args} of {array.dtype}")


def test_tensors_among_lists_numbers_and_arrays():
    t = Tensor(VECTOR, requires_grad=True)
    for function, args in [
        (np.concatenate, [[[1.0, 2.0], VECTOR]]),
        (np.stack, [[[1, 2, 3, 4], VECTOR]]),
        (np.vstack, [(VECTOR, [1.0] * 4, [[2, 2, 2, 2]])]),
        (np.where, [[True, False, True, True], VECTOR, 2]),
        (np.clip, [[0.0, 0.1, 0.2, 3], VECTOR, 2]),
        (np.dot, [[1, 2, 3, 4], VECTOR]),
        (np.outer, [3, VECTOR]),
        (np.append, [[True], VECTOR]),
        (np.einsum, ["i,i", [1, 2, 3, 4], VECTOR]),
        (np.average, [[1.0, 2, 3, 4], None, VECTOR]),
        (np.interp, [0.5, [0, 1, 2, 3], VECTOR]),
    ]:
        ours = [
            t if x is VECTOR else type(x)(t if y is VECTOR else y for y in x)
            if isinstance(x, (list, tuple)) else x
            for x in args
        ]  # fmt: skip
        if function is np.interp:  # has no rule
            with pytest.raises(TypeError, match=r"np\.interp has no derivative rule"):
                function(*ours)
            continue
        result = function(*ours)
        assert result.requires_grad
        np.testing.assert_allclose(result.numpy(), function(*args), rtol=1e-12)
