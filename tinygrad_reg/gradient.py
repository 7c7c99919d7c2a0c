"""Functions made of functions: `grad`, `value_and_grad`, `jacobian`, `hessian`, `hvp`.

    grad(f)(x)        the gradient of f at x
    jacobian(f)(x)    ∂fᵢ/∂xⱼ, for a function with several results
    hessian(f)(x)     ∂²f/∂xᵢ∂xⱼ
    hvp(f)(x, v)      the product of the Hessian with v, without the Hessian

All take tensors, arrays or numbers, and dictionaries, lists and tuples of them, nested in any way;
a gradient is then built in the same way.  (A list of nothing but numbers is an array.)  No `.grad`
is touched, and what they give can be differentiated again: grad(grad(f)) is the second derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .arrays import reshape, stack, vdot
from .blocks import Block
from .checks import check_bool, check_shape
from .errors import shown
from .graph import Node
from .nested import tree_leaves, tree_map, tree_paths, with_parts
from .scope import here
from .settings import check_callable, check_float
from .tensor import Recorder, Tensor, as_tensor, constant, gradients

Function: TypeAlias = Callable[..., Any]
Argnum: TypeAlias = int | tuple[int, ...]


def value_and_grad(
    f: Function, argnum: Argnum = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Make the function that gives (f(*args), the gradient of f there) from one forward pass.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument to differentiate by.  A number gives one gradient, of that
        argument's shape or structure; a tuple of numbers gives a tuple of gradients.
    has_aux
        Whether f returns a pair: what is differentiated, and something else to hand on.  Then the
        value is that pair.

    Returns
    -------
    function
        It can be given to `scipy.optimize.minimize` as it is, with jac=True.

    Raises
    ------
    TypeError
        If f does not return a tensor.
    ValueError
        If that has several elements, or there is no argument `argnum`.

    Examples
    --------
    >>> value_and_grad(lambda x: x**3)(2.0)
    (Tensor(8.), Tensor(12.))
    >>> value_and_grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 3.0})
    (Tensor(6.), {'w': Tensor(3.), 'b': Tensor(2.)})
    """
    has_aux = check_bool("grad: has_aux", has_aux)
    run = prepared("grad", f, argnum, has_aux)

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = run(args, kwargs)
        check_scalar(call.value)
        gradient = call.gradient(constant(call.value._array**0))
        return (call.result() if not has_aux else (call.result(), call.aux)), gradient

    return value_and_gradient


def grad(f: Function, argnum: Argnum = 0, has_aux: bool = False) -> Function:
    """Make the gradient function of f: `value_and_grad` without the value.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument to differentiate by, or several.
    has_aux
        Whether f returns a pair: what is differentiated, and something else to hand on.  Then the
        result is the pair of the gradient and that.

    Examples
    --------
    >>> grad(grad(lambda x: x**3))(2.0)
    Tensor(12.)
    """
    both = value_and_grad(f, argnum, has_aux)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def jacobian(f: Function, argnum: Argnum = 0) -> Function:
    """Make the function that gives all derivatives of all results of f: ∂fᵢ/∂xⱼ.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor.
    argnum
        The positional argument to differentiate by, or several.

    Returns
    -------
    function
        It gives tensors of the shape of f(x), followed by that of the argument.

    Notes
    -----
    One forward pass, and one backward pass for each element of the result.

    Examples
    --------
    >>> jacobian(lambda x: x**2)([1.0, 2.0, 3.0])
    Tensor([[2., 0., 0.],
            [0., 4., 0.],
            [0., 0., 6.]])
    """
    run = prepared("jacobian", f, argnum)

    @wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        call = run(args, kwargs)
        shape, n = call.value.shape, call.value.size
        units = np.eye(n, dtype=call.value.dtype).reshape(n, *shape)
        rows = [call.gradient(constant(unit)) for unit in units]
        if not rows:
            nothing = call.gradient(constant(np.zeros(shape, call.value.dtype)))
            return tree_map(lambda g: constant(np.zeros(shape + g.shape, g.dtype)), nothing)
        columns = zip(*map(tensors_in, rows))
        stacked = iter([reshape(stack(c), shape + c[0].shape) for c in columns])
        return tree_map(lambda g: g if g is None else next(stacked), rows[0])

    return jacobian_of_f


def hessian(f: Function, argnum: int = 0) -> Function:
    """Make the function that gives the second derivatives of f: ∂²f/∂xᵢ∂xⱼ.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument, a single array, to differentiate by.

    Examples
    --------
    >>> hessian(lambda x: x[0] ** 2 * x[1])([1.0, 2.0])
    Tensor([[4., 2.],
            [2., 0.]])
    """
    if np.iterable(argnum):
        raise TypeError(f"hessian: argnum must be one number, not {argnum}")
    gradient = grad(f, argnum)

    @wraps(f)
    def gradient_of_array(*args: Any, **kwargs: Any) -> Tensor:
        g = gradient(*args, **kwargs)
        if not isinstance(g, Tensor):
            raise TypeError(
                f"hessian: the argument must be a single array, not a {type(g).__name__} of them; "
                "hvp(f)(x, v) takes such arguments"
            )
        return g

    return jacobian(gradient_of_array, argnum)


def hvp(f: Function, argnum: int = 0) -> Function:
    """Make the function that multiplies the Hessian of f with a vector, H v, without making H.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument to differentiate by.

    Returns
    -------
    function
        It takes the arguments of f, and after them v, which is built as the argument is; so is the
        result.

    Notes
    -----
    The gradient of ⟨∇f, v⟩ (Pearlmutter 1994): it takes about twice as long as a gradient.

    Examples
    --------
    >>> hvp(lambda x: x[0] ** 2 * x[1])([1.0, 2.0], [1.0, 0.0])
    Tensor([4., 2.])
    """
    if np.iterable(argnum):
        raise TypeError(f"hvp: argnum must be one number, not {argnum}")
    gradient = grad(f, argnum)

    @wraps(f)
    def product(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 2:
            raise TypeError("hvp: give the arguments of the function and, after them, v")
        *arguments, v = args
        v = tree_map(lambda x: x if x is None else as_tensor(x), lists_as_tensors(v))

        def slope(*arguments: Any) -> Tensor:
            g = gradient(*arguments, **kwargs)
            parts, directions = tensors_by_path(g), tensors_by_path(v)
            if {p: x.shape for p, x in parts.items()} != {
                p: x.shape for p, x in directions.items()
            }:
                raise ValueError(
                    f"hvp: v has the shapes {shapes_of(v)}, but the argument {shapes_of(g)}; v "
                    "must be built as the argument is"
                )
            first, *others = [vdot(part, directions[path]) for path, part in parts.items()]
            return sum(others, first)

        return grad(slope, argnum)(*arguments)

    return product


# --- One call ------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A function, called with arguments that are watched.

    value      what is differentiated
    aux        what else the function returned, with has_aux
    watched    the arguments to differentiate by, as tensors
    recorded   True if what is done with the gradients is to be recorded, too
    """

    value: Tensor
    aux: Any
    watched: Any
    recorded: bool

    def result(self) -> Tensor:
        """The value, in a graph only if that goes on beyond this call."""
        return self.value if self.recorded else self.value.detach()

    def gradient(self, arriving: Tensor) -> Any:
        """The gradient with respect to what is watched, and built as that is."""
        nodes = {x.node for x in tensors_in(self.watched)}
        since = min(node.number for node in nodes)
        recorder = Recorder() if self.recorded else None
        found = gradients(self.value, arriving, nodes, recorder, since)
        return tree_map(lambda x: x if x is None else as_gradient(found, x.node), self.watched)


def prepared(
    name: str, f: Function, argnum: Argnum, has_aux: bool = False
) -> Callable[[tuple[Any, ...], dict[str, Any]], Call]:
    """The function that calls f, and watches the arguments that argnum names."""
    check_callable(f"{name}: what to differentiate", f)
    positions = check_shape(f"{name}: argnum", argnum)
    if not positions:
        raise ValueError(f"{name}: argnum is an empty tuple; name at least one argument")

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if any(not -len(args) <= p < len(args) for p in positions):
            raise ValueError(f"{name}: no argument {argnum} among {len(args)} positional ones")
        may_continue = here().records
        with Block(records=True):  # under `no_grad`, too
            arguments = list(args)
            for p in {p % len(args) for p in positions}:
                tree = lists_as_tensors(args[p])
                arguments[p] = tree_map(lambda x: watch(name, x, may_continue), tree)
            # Containers of their own, since f may take something out of those that it is given.
            watched = tuple(tree_map(lambda x: x, arguments[p]) for p in positions)
            if not tensors_in(watched):
                raise ValueError(f"{name}: there is no array in the argument {argnum}")
            output = f(*arguments, **kwargs)
        value, aux = pair(name, output) if has_aux else (output, None)
        check_tensor(name, value)
        # The gradient has a gradient itself only if f also saw something older that wants one.
        since = min(x.node.number for x in tensors_in(watched))
        recorded = may_continue and value.requires_grad and reaches_beyond(value.node, since)
        if not recorded:
            aux = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, aux)
        return Call(value, aux, watched if np.iterable(argnum) else watched[0], recorded)

    return run


def lists_as_tensors(x: Any) -> Any:
    """A list of nothing but numbers stands for an array, here as everywhere."""
    if isinstance(x, dict):
        return with_parts(x, [lists_as_tensors(part) for part in x.values()])
    if not isinstance(x, (list, tuple)):
        return x
    return Tensor(x) if is_array_like(x) else with_parts(x, [lists_as_tensors(part) for part in x])


def is_array_like(x: Any) -> bool:
    """Tell whether x is a number, or a list of what is array-like."""
    if isinstance(x, (list, tuple)):
        return not hasattr(x, "_fields") and all(map(is_array_like, x))
    return isinstance(x, (int, float, np.number))


def watch(name: str, x: Any, may_continue: bool) -> Tensor | None:
    """A tensor equal to x that only this call of f sees: no other gradient can get mixed in.

    None, where an argument may be left out, stays None.
    """
    if x is None:
        return None
    if not isinstance(x, Tensor):
        data = check_float(f"{name}: an argument", x) if isinstance(x, (int, np.integer)) else x
        return Tensor(data, requires_grad=True)
    if x.requires_grad and may_continue:
        return x.reshape(x.shape)  # a new node in the graph that x belongs to
    return Tensor(x.detach(), requires_grad=True, name=x.name)


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in arguments, without None."""
    return [x for x in tree_leaves(tree) if x is not None]


def tensors_by_path(tree: Any) -> dict[tuple[Any, ...], Tensor]:
    """The tensors in arguments, without None, by the keys and indices that lead to them."""
    return {path: x for path, x in tree_paths(tree).items() if x is not None}


def shapes_of(tree: Any) -> Any:
    """The same tree with shapes in the place of tensors."""
    return tree_map(lambda x: x if x is None else x.shape, tree)


def as_gradient(found: dict[Node, Any], node: Node) -> Tensor:
    """The gradient of a node as a tensor, zero where none flows."""
    g = found.get(node)
    if isinstance(g, Tensor):
        return g
    return constant(np.zeros_like(node.value) if g is None else g)


def pair(name: str, output: Any) -> tuple[Any, Any]:
    """What a function with has_aux=True returned."""
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        raise TypeError(
            f"{name}: with has_aux=True the function must return a pair, (value, aux), not "
            f"{shown(output)}"
        )
    value, aux = output
    return value, aux


def check_tensor(name: str, value: Any) -> None:
    """Require a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: the function returned {type(value).__name__}, not a tensor; gradients flow "
            "through tensors only, so don't make numbers of them inside (.item(), float, math.exp)"
        )


def check_scalar(value: Tensor) -> None:
    """Require a single element."""
    if value.size != 1:
        raise ValueError(
            f"grad: the function returned a tensor of shape {value.shape}; it must have a single "
            "element, so reduce it, e.g. by .sum(), or use jacobian"
        )


def reaches_beyond(root: Node, since: int) -> bool:
    """Tell whether a gradient flows from root to nodes with numbers smaller than `since`."""
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        if node.number < since:
            return True
        for position, _ in node.edges:
            x = node.inputs[position]
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return False
