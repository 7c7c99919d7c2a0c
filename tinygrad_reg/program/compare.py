"""The comparison of two recordings: they must do the same, to the same constants."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import full_name, shown
from ..nested import tree_paths
from .passes import Program
from .recorder import Call, Value, guard, same_bits


class Difference(NamedTuple):
    """How two recordings differ.

    Attributes
    ----------
    text
        In words.
    by
        "a decision" on a value, which is a guard; "a constant", which is an error; or "a call",
        which is an error, too, unless the two calls found other gradients to add to.
    """

    text: str
    by: str = "a call"


def difference(first: Program, second: Program) -> Difference | None:
    """How two recordings of the same function differ; None if they do the same.

    Only arguments and state may differ, and what is computed from them.
    """
    same: dict[Any, Any] = {}
    for name, value in second.inputs.items():
        same[value] = first.inputs.get(name, value)
    for a, b in zip(first.calls, second.calls):
        if a.function != b.function or len(a.args) != len(b.args) or [*a.options] != [*b.options]:
            return Difference(
                f"two calls did not do the same: {described(a)} in the one, {described(b)} in the "
                "other; make what decides it an argument or a part of the state"
            )
        found = different_part((a.args, a.options), (b.args, b.options), same)
        if found is not None and a.function is guard:
            return Difference("", "a decision")
        if found is not None:
            x, y = found
            return Difference(
                f"{shown(x)} that {described(a)} uses was another one in the second call, "
                f"{shown(y)}, and it is neither an argument nor a part of the state; pass its "
                "module, optimizer or generator to compile, make it an argument, or draw it by "
                "tinygrad_reg.random.generator(rng)",
                "a constant",
            )
        same[b.result] = a.result
    if len(first.calls) != len(second.calls):
        longer = max(first.calls, second.calls, key=len)
        call = longer[min(len(first.calls), len(second.calls))]
        return Difference(
            f"only one of two calls went on with {described(call)}; make what decides it an "
            "argument or a part of the state"
        )
    for name in {**first.outputs, **second.outputs}:
        x, y = first.outputs.get(name), second.outputs.get(name)
        if different_part(x, y, same) is not None:
            return Difference(
                f"a result, or a new value of the state, was {shown(x)} in one call and {shown(y)} "
                "in another; compute it from arguments and state"
            )
    return None


def different_part(x: Any, y: Any, same: dict[Any, Any]) -> tuple[Any, Any] | None:
    """The first parts in which two trees of values and constants differ."""
    pairs_x, pairs_y = tree_paths(x), tree_paths(y)
    if [*pairs_x] != [*pairs_y]:
        return x, y
    for a, b in zip(pairs_x.values(), pairs_y.values()):
        if isinstance(a, Value) or isinstance(b, Value):
            if same.get(b) is not a:
                return a, b
        elif not is_same_constant(a, b):
            return a, b
    return None


def is_same_constant(a: Any, b: Any) -> bool:
    """Tell whether two constants are the same, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return same_bits(np.asarray(a), np.asarray(b))
    return repr(a) == repr(b) if isinstance(a, (float, slice)) else bool(a == b)


def described(call: Call) -> str:
    """A call in words: what and where."""
    place = f" in {call.scope}" if call.scope.path else ""
    what = "a decision on a value" if call.function is guard else full_name(call.function)
    return f"{what}{place}{f' ({call.where})' if call.where else ''}"
