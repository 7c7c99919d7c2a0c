"""How a call is written so that its result goes into memory that is there.

Most functions have such a form, by `out=` or by another function that writes.  A form gives
statements: each is what is called and the words of its arguments, ("add", ["b1", "w0", "b2"]).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .arena import dense, in_order
from .names import Names
from .recorder import Call, Draw, Method, Writing, add_part, is_array, is_uniform

POWERS = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive}
SMALL = 1 << 15  # bytes of a constant that is worth its place

Statement = tuple[str, list[str]]
Form = Callable[[Call, str, Names], list[Statement]]

REDUCTIONS = {
    Method("sum"): np.add.reduce,
    Method("max"): np.maximum.reduce,
    Method("min"): np.minimum.reduce,
    Method("prod"): np.multiply.reduce,
}


def form_of(call: Call) -> Form | None:
    """The form of a call; None if its result cannot be written into memory that is there."""
    function, args, options = call.function, call.args, call.options
    x: Any = args[0] if args else None
    if isinstance(function, np.ufunc):
        if function.nout != 1 or "axes" in options:
            return None
        if is_small_product(call):
            return by_dot
        is_mask = is_array(x) and x.dtype == bool and type(args[-1]) in (int, float)
        is_scaled = function is np.multiply and options == {"dtype": call.result.dtype}
        return by_steps if is_mask and is_scaled else by_ufunc
    if function is operator.pow:
        same = is_array(x) and x.dtype.kind == "f" and x.dtype == call.result.dtype
        return by_power if same and type(args[1]) in (int, float) and args[1] else None
    if function in REDUCTIONS:
        usual = is_array(x) and len(args) < 3 and set(options) <= {"axis", "keepdims"}
        return by_reduction if usual else None
    if function == Method("astype"):
        return by_cast if is_array(x) and len(args) + len(options) == 2 else None
    if function == Method("reshape"):
        copies = is_array(x) and not call.is_view
        return by_reshaping if copies and in_order(call.result) else None
    if function == Draw(Method("random")):
        return by_drawing
    if isinstance(function, Writing):
        return by_writing if is_array(x) or isinstance(x, np.ndarray) else None
    if function is np.where:
        return by_choice if len(args) == 3 else None
    if function is np.concatenate:
        return by_joining if len(args) == 1 and set(options) <= {"axis"} else None
    return None


def is_small_product(call: Call) -> bool:
    """Tell whether a small product of matrices is computed, for which `dot` takes less time."""
    if call.function is not np.matmul or call.options or len(call.args) != 2:
        return False
    x, y = call.args
    return (
        x.dtype == y.dtype
        and x.dtype.kind == "f"
        and len(x.shape) in (1, 2)
        and len(y.shape) == 2
        and 1 not in (*x.shape, *y.shape)  # to which NumPy's matmul does not apply BLAS
        and prod(call.result.shape) <= 1 << 12
        and all(dense(z) for z in (x, y))
        and in_order(call.result)
    )


def by_dot(call: Call, out: str, names: Names) -> list[Statement]:
    x, y = map(names.text, call.args)
    return [(f"{x}.dot", [y, out])]


def by_ufunc(call: Call, out: str, names: Names) -> list[Statement]:
    kinds = {x.dtype for x in call.args if hasattr(x, "dtype")} - {None}
    dtype = kinds.pop() if len(kinds) == 1 and not call.function.signature else None
    dtype = dtype if dtype and dtype.kind == "f" else None
    operands = [names.operand(x, dtype, extremum_shape(call)) for x in call.args]
    words = [*operands, out_word(call.function, out), *names.words((), call.options)]
    return [(names.function(call.function), words)]


def extremum_shape(call: Call) -> tuple[int, ...]:
    """The shape of a number beside an array: for arrays NumPy takes a third of the time."""
    shape: tuple[int, ...] = call.result.shape
    if call.function not in (np.maximum, np.minimum) or not in_order(call.result):
        return ()
    return shape if call.result.nbytes <= SMALL else shape[-1:]


def out_word(function: Any, out: str) -> str:
    """The buffer as an argument; some functions want it by keyword (NumPy 2.4)."""
    return f"out={out}" if function in (np.maximum, np.minimum) else out


def by_steps(call: Call, out: str, names: Names) -> list[Statement]:
    """A product of truths and a number as two steps, which take less time than one."""
    mask, number = call.args
    operand = names.operand(number, call.result.dtype)
    return [
        ("copyto", [out, names.text(mask), "'unsafe'"]),
        (names.function(np.multiply), [out, operand, out]),
    ]


def by_power(call: Call, out: str, names: Names) -> list[Statement]:
    """A power of a number, by the function that NumPy's ** takes for it."""
    x, exponent = call.args
    special = POWERS.get(exponent)
    words = [names.text(x), *([] if special else [names.text(exponent)]), out]
    return [(names.function(special or np.power), words)]


def by_reduction(call: Call, out: str, names: Names) -> list[Statement]:
    x, *rest = call.args
    axis = names.text(call.options.get("axis", rest[0] if rest else None))
    keepdims = names.text(call.options.get("keepdims", False))
    reduction = names.function(REDUCTIONS[call.function])
    return [(reduction, [names.text(x), axis, "None", out, keepdims])]


def by_cast(call: Call, out: str, names: Names) -> list[Statement]:
    return [("copyto", [out, names.text(call.args[0]), "'unsafe'"])]


def by_reshaping(call: Call, out: str, names: Names) -> list[Statement]:
    """A reshape that has to copy: into a view of the result with the old shape."""
    x = call.args[0]
    return [("copyto", [names.view(f"{out}.reshape({x.shape})"), names.text(x)])]


def by_drawing(call: Call, out: str, names: Names) -> list[Statement]:
    generator, *rest = call.args
    dtype = call.options.get("dtype", rest[1] if len(rest) > 1 else np.float64)
    words = ["None", names.text(np.dtype(dtype).type), out]
    return [(f"{names.text(generator)}.random", words)]


def by_writing(call: Call, out: str, names: Names) -> list[Statement]:
    """Write into a copy; or into the array itself, if nobody needs it any more."""
    x, *rest = call.args
    statements: list[Statement] = []
    if isinstance(x, np.ndarray) and is_uniform(x):
        statements = [(f"{out}.fill", [names.operand(x.flat[0].item(), x.dtype)])]
    elif names.text(x) != out:
        statements = [("copyto", [out, names.text(x)])]
    function = call.function.function
    if function in (operator.setitem, add_part) and is_fixed(rest[0], rest[1], call.result.shape):
        part = names.view(f"{out}[{names.text(rest[0])}]")
        new = names.text(rest[1])
        if function is add_part:
            return [*statements, (names.function(np.add), [part, new, part])]
        return [*statements, ("copyto", [part, new, "'unsafe'"])]
    words = [out, *names.words(rest, call.options)]
    return [*statements, (names.function(function), words)]


def is_fixed(index: Any, new: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether an index names a part that can be viewed, into which a new array is copied."""
    parts = index if isinstance(index, tuple) else (index,)
    known = all(part is None or part is ... or type(part) in (int, slice) for part in parts)
    views = known and any(part is ... or type(part) is slice for part in parts)
    return views and is_array(new) and len(new.shape) <= np.broadcast_to(0, shape)[index].ndim


def by_choice(call: Call, out: str, names: Names) -> list[Statement]:
    condition, chosen, other = map(names.text, call.args)
    return [
        ("copyto", [out, other, "'unsafe'"]),
        ("copyto", [out, chosen, "'unsafe'", condition]),
    ]


def by_joining(call: Call, out: str, names: Names) -> list[Statement]:
    axis = names.text(call.options.get("axis", 0))
    return [(names.function(np.concatenate), [names.text(call.args[0]), axis, out])]
