"""`Module` and `Parameter`: what holds the parameters of a network, and how they are found.

A module finds parameters, buffers and other modules wherever they stand in its attributes; where
they would be overlooked, it says so.
"""

from __future__ import annotations

from collections import Counter, UserList, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, ValuesView
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import chain
from reprlib import recursive_repr
from types import GeneratorType, SimpleNamespace
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from .blocks import stay
from .checks import check_bool, check_dtype, new_array
from .errors import shown
from .graph import Node
from .operators import Operand
from .primitives import Array
from .scope import Scope, enter, here
from .tensor import Tensor

M = TypeVar("M", bound="Module")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class HasForward(Protocol[P, R]):
    """A module as seen by types: its call takes and gives what its `forward` does."""

    training: bool

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Parameter(Tensor):
    """A tensor that a module trains.

    Parameters
    ----------
    data
        As for `Tensor`.
    requires_grad
        Whether it is trained now; False freezes it.
    name
        What pictures call it.
    """

    __slots__ = ()

    nodes: ClassVar[WeakSet[Node]] = WeakSet()  # of all parameters, so that pictures know them

    def __init__(self, data: Operand, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, requires_grad, name)
        Parameter.nodes.add(self.node)


class Module:
    """A function with parameters.  Write `forward`, and set parameters and modules as attributes.

    An attribute that is a `Parameter` is trained, any other `Tensor` is a buffer (saved, but not
    trained), and one that is a `Module` is part of this one.  All of them may also stand in lists,
    tuples, dictionaries and dataclasses, and these in one another: after
    `self.blocks = {"a": [nn.Linear(2, 2)]}` there is a parameter "blocks.a.0.weight".

    Examples
    --------
    >>> class Residual(nn.Module):
    ...     def __init__(self, width):
    ...         self.layer = nn.Linear(width, width)
    ...     def forward(self, x):
    ...         return x + self.layer(x).tanh()
    >>> Residual(2)(np.ones((5, 2), np.float32)).shape
    (5, 2)

    Notes
    -----
    What would be overlooked is an error: a module in a set or in the class itself, an array in the
    place of a parameter, two tensors of the same name.  Assign None, or `del` the attribute, to
    take a parameter or a module away.

    What `forward` keeps, as in `self.hidden = self.layer(x)`, is not saved, unless it takes the
    place of a buffer, or is a `Parameter` or a module.

    Functions, and objects of other classes, are not searched: a module that only a closure or a
    bound method knows is not found.  Nor is one behind a `weakref.ref`, which is the way to refer
    to a module without making it a part of this one.
    """

    training = True
    _unnamed = ""  # a prefix that names of modules inside go without
    _kept: frozenset[str] = frozenset()  # names of attributes with tensors that forward has set

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless something would be overlooked from then on."""
        old = vars(self).get(name)
        if type(value) not in PLAIN or type(old) not in PLAIN or hasattr(Module, name):
            value = checked(self, name, old, value)
        object.__setattr__(self, name, value)

    def _no_forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the function; a call of the module does this in a scope of its own."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    forward: Callable[..., Any] = _no_forward  # so that subclasses choose its arguments

    def __call__(self: HasForward[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        outside = here()
        inside = Scope(type(self).__name__, outside, self.training)
        try:  # as in a function decorated by a `Block`
            enter(inside)
            return self.forward(*args, **kwargs)
        finally:
            found = enter(outside).old_value
            if found is not inside:
                stay(inside, found)

    # --- What is inside --------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly inside, with their names."""
        for attribute, value in [*vars(self).items()]:
            for name, x in inside(attribute, value):
                if isinstance(x, Module):
                    yield name.removeprefix(self._unnamed), x

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module, as "", and all modules inside, by dotted names."""
        return ((name, x) for name, x in everything(self) if isinstance(x, Module))

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield parameters and buffers here and in all modules inside, by dotted names."""
        return ((name, x) for name, x in everything(self) if isinstance(x, Tensor))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield each parameter once, with the first of its names."""
        found: dict[Node, tuple[str, Parameter]] = {}
        for name, x in everything(self):
            if isinstance(x, Parameter):
                found.setdefault(x.node, (name, x))
        return iter(found.values())

    def parameters(self) -> Iterator[Parameter]:
        """Yield each parameter once: what an optimizer trains."""
        return (parameter for _, parameter in self.named_parameters())

    def weights(self) -> list[Parameter]:
        """List the weight matrices, without biases and batch-norm parameters: for penalties."""
        return [parameter for parameter in self.parameters() if parameter.ndim >= 2]

    # --- Modes -----------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Switch to training mode: dropout drops, batch norm uses the mini-batch's statistics.

        Parameters
        ----------
        mode
            False does what `eval` does.

        Returns
        -------
        Module
            This one.
        """
        mode = check_bool(f"{type(self).__name__}.train: mode", mode)
        everything(self)  # refuses a module in itself before anything has changed
        self.training = mode
        for _, module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """Switch to evaluation mode: nothing is random, no example influences another."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set `.grad` of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def astype(self: M, dtype: npt.DTypeLike) -> M:
        """Turn all parameters and buffers of floats into another float type; forget gradients."""
        dtype = check_dtype(f"{type(self).__name__}.astype: dtype", dtype, "f")
        tensors = {x.node: x for _, x in self.named_tensors() if x.dtype.kind == "f"}
        arrays = [tensor._array.astype(dtype) for tensor in tensors.values()]
        for tensor, array in zip(tensors.values(), arrays):
            tensor.replace(array)
            tensor.grad = None
        return self

    # --- Saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Copy all parameters and buffers into a dictionary, by dotted names."""
        return {name: tensor.numpy() for name, tensor in self.named_tensors()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Take all parameters and buffers from what `state_dict` gave, or none of them.

        Parameters
        ----------
        state
            An array for each dotted name.

        Raises
        ------
        KeyError
            For names that are missing or too many.
        ValueError
            For an array of a wrong shape, or not of numbers; for fractions where there are whole
            numbers; for two different arrays where a single tensor has two names.
        """
        own = dict(self.named_tensors())
        arrays = fitting_arrays(type(self).__name__, own, state)
        for name, array in arrays.items():
            own[name].replace(array)

    # --- Looks -----------------------------------------------------------------------------------

    def settings(self) -> str:
        """The text that repr shows in the parentheses."""
        return ""

    @recursive_repr("…")
    def __repr__(self) -> str:
        inside = [f"({name}): {module!r}" for name, module in self.children()]
        if not inside:
            return f"{type(self).__name__}({self.settings()})"
        lines = "\n".join(inside).replace("\n", "\n  ")
        return f"{type(self).__name__}({self.settings()}\n  {lines}\n)"


# --- Where modules, parameters and buffers can stand ---------------------------------------------

# Of these most attributes are; they hold nothing.
PLAIN: set[type] = {type(None), bool, int, float, str, np.random.Generator}

# These could hold modules, but nobody can look without using them up.
LAZY: tuple[type, ...] = (
    GeneratorType, map, filter, zip, enumerate, reversed, chain,
    *map(type, (iter([]), iter(()), iter(set()), iter({}), iter({}.values()), iter({}.items()))),
)  # fmt: skip


def everything(module: Module) -> list[tuple[str, Module | Tensor]]:
    """List a module, as "", and all modules, parameters and buffers inside, by dotted names."""
    found: list[tuple[str, Module | Tensor]] = []
    collect(module, "", (), found)
    if len(dict(found)) < len(found):
        (name, _), *_ = Counter(name for name, _ in found).most_common(1)
        raise ValueError(
            f"{type(module).__name__}: {name!r} is the name of two modules or tensors inside; "
            "rename an attribute, or a key"
        )
    return found


def collect(
    module: Module, path: str, around: tuple[int, ...], found: list[tuple[str, Module | Tensor]]
) -> None:
    """Add a module and what is inside to a list; `around` are the ids of the modules around it."""
    if id(module) in around:
        raise ValueError(
            f"{type(found[0][1]).__name__}: the module at {path!r} contains itself; an inner "
            "module cannot hold an outer one, so pass what it needs to its forward"
        )
    found.append((path, module))
    prefix = f"{path}." if path else ""
    children = []
    for attribute, value in [*vars(module).items()]:
        if type(value) in PLAIN:
            continue
        if isinstance(value, Parameter):  # the usual case; the loop would do the same, but slower
            found.append((prefix + attribute, value))
            continue
        for name, x in inside(attribute, value):
            if isinstance(x, Module):
                children.append((name.removeprefix(module._unnamed), x))
            elif isinstance(x, Parameter) or is_buffer(module, attribute, x, listed=x is not value):
                check_trained(module, name, x)
                found.append((prefix + name, x))

    if type(module).children is not Module.children:
        children = list(module.children())
    around = (*around, id(module))
    for name, child in children:
        collect(child, prefix + name, around, found)


def inside(name: str, value: Any, around: tuple[int, ...] = ()) -> list[tuple[str, Any]]:
    """List a module or tensor, or all in a list, tuple, dictionary or dataclass, with names."""
    if isinstance(value, (Tensor, Module)):
        return [(name, value)]
    if type(value) in PLAIN:
        return []
    if id(value) in around:
        raise ValueError(f"Module: the {type(value).__name__} at {name} contains itself")
    found = []
    for key, item in elements(name, value):
        if isinstance(item, (Tensor, Module)):
            found.append((f"{name}.{key}", item))
        elif type(item) not in PLAIN:
            found += inside(f"{name}.{key}", item, (*around, id(value)))
    return found


def elements(name: str, value: Any) -> Iterable[tuple[Any, Any]]:
    """The elements of a container that is searched, with their names; of others none."""
    if isinstance(value, (list, tuple, deque, UserList)):
        return enumerate(value)
    if isinstance(value, Mapping):
        refuse(name, value, value.keys())
        return value.items()
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    if isinstance(value, SimpleNamespace):
        return vars(value).items()
    if isinstance(value, (Set, ValuesView)):
        refuse(name, value, value)
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        refuse(name, value, value.flat)
    elif isinstance(value, partial):
        refuse(name, value, [value.func, *value.args, *value.keywords.values()])
    elif isinstance(value, LAZY):
        raise TypeError(
            f"Module: {name} is a {type(value).__name__}; modules and parameters in it would not "
            "be found, so make a list of it"
        )
    return ()


def refuse(name: str, value: Any, items: Iterable[Any]) -> None:
    """Raise TypeError if there is a module or a leaf among these items of a container."""
    for item in items:
        for _, found in inside(name, item):
            if isinstance(found, Module) or found.is_leaf:
                raise TypeError(
                    f"Module: {name} is a {type(value).__name__} with a {type(found).__name__} "
                    f"{'as a key' if isinstance(value, Mapping) else 'in it'}, which would not be "
                    "found; use a list, or a dictionary with names as keys"
                )


def is_buffer(module: Module, attribute: str, tensor: Any, listed: bool = False) -> bool:
    """Tell whether a tensor in an attribute is saved without being trained.

    A list may also hold what `forward` has appended to it, computed under `no_grad`.
    """
    return (
        isinstance(tensor, Tensor)
        and not isinstance(tensor, Parameter)
        and tensor.node.function is None
        and attribute not in module._kept
        and not (listed and is_result(tensor))
    )


def is_result(value: Any) -> bool:
    """Tell whether a value was computed in a call of a module, without a gradient."""
    return isinstance(value, Tensor) and value.node.function is None and in_call(value.node.scope)


def in_call(scope: Scope, name: str | None = None) -> bool:
    """Tell whether a scope is inside a call of a module, or of one whose class has this name."""
    return any(x.training is not None and name in (None, x.name) for x in scope.outward)


# --- What would be overlooked --------------------------------------------------------------------


def check_class(kind: type[Module]) -> None:
    """Nothing that belongs to a module stands in its class; nothing is kept in slots."""
    for base in kind.__mro__:
        if base in Module.__mro__:
            continue
        if vars(base).get("__slots__"):
            raise TypeError(
                f"{kind.__name__}: parameters and modules in __slots__ would not be found; "
                "leave __slots__ out"
            )
        for name, value in [*vars(base).items()]:
            for _ in inside(name, value):
                raise TypeError(
                    f"{kind.__name__}: {name} stands in the class, where all instances would share "
                    f"it and none would find it; set self.{name} in __init__ (in a dataclass, use "
                    "field(default_factory=...))"
                )


def check_name(module: Module, name: str, value: Any) -> None:
    """An attribute does not hide a method of modules, unless by a function."""
    method = getattr(Module, name, None)
    if not callable(method) or getattr(type(module), name) is not method:
        return
    if isinstance(value, Module) or not callable(value):
        raise TypeError(
            f"{type(module).__name__}: {name} is a method of modules; choose another name"
        )


def checked(module: Module, name: str, old: Any, value: Any) -> Any:
    """The value to set as an attribute; an error if something would be overlooked from then on."""
    if name == "training":
        return check_bool(f"{type(module).__name__}: training", value)
    check_name(module, name, value)
    kept, running = name in module._kept, in_call(here(), type(module).__name__)
    if kept and running:
        return value
    before, after = inside(name, old), inside(name, value)
    if value is not None and not kept:
        check_nothing_lost(module, name, old, value, before, after)
    if running and after and not any(is_saved(module, name, x) for _, x in before):
        object.__setattr__(module, "_kept", module._kept | {name})
        return value
    for _, x in after:
        if isinstance(x, Tensor):
            check_trained(module, name, x)
    if running and is_buffer(module, name, old) and is_result(value):
        value = Tensor(value, name=value.name)  # so that what forward updates remains a buffer
    if kept:
        object.__setattr__(module, "_kept", module._kept - {name})
    return value


def is_saved(module: Module, attribute: str, value: Any) -> bool:
    """Tell whether what was found in an attribute is a module, a parameter or a buffer."""
    return isinstance(value, (Module, Parameter)) or is_buffer(module, attribute, value)


def check_nothing_lost(
    module: Module,
    name: str,
    old: Any,
    value: Any,
    before: list[tuple[str, Any]],
    after: list[tuple[str, Any]],
) -> None:
    """Parameters, buffers and modules are replaced by their like."""
    if is_buffer(module, name, old, listed=True):
        fits = any(isinstance(x, Module) or x.is_leaf for _, x in after)
        what, remedy = "buffer", "a Tensor (of a result, .detach()), or the array to its .data"
    else:
        fits = has_parts(after) or not has_parts(before) or empties(old, value)
        what, remedy = type(old).__name__, "a module"
        if isinstance(old, Parameter):
            remedy = "an nn.Parameter, or the array to its .data"
    if not fits:
        raise TypeError(
            f"{type(module).__name__}: {name} is a {what}, and {shown(value)} in its place would "
            f"be neither trained nor saved; assign {remedy}, or None to take it away"
        )


def has_parts(found: list[tuple[str, Any]]) -> bool:
    """Tell whether there is a module or a parameter among what was found."""
    return any(isinstance(x, (Module, Parameter)) for _, x in found)


def empties(old: Any, value: Any) -> bool:
    """Tell whether an empty list, tuple or dictionary takes the place of a full one."""
    return isinstance(value, (list, tuple, dict)) and not value and type(old) is type(value)


def check_trained(module: Module, name: str, tensor: Tensor) -> None:
    """A leaf that wants a gradient is a `Parameter`."""
    if tensor.requires_grad and tensor.is_leaf and not isinstance(tensor, Parameter):
        raise TypeError(
            f"{type(module).__name__}: {name} is a tensor that wants a gradient, but would not be "
            "trained; make it an nn.Parameter, or .detach() it"
        )


# --- States --------------------------------------------------------------------------------------


def fitting_arrays(
    name: str, own: Mapping[str, Tensor], state: Mapping[str, npt.ArrayLike]
) -> dict[str, Array]:
    """The arrays of a state, of the shapes and types of a module's own tensors."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict: the state is a dictionary, as state_dict() gives it, not "
            f"{shown(state)}"
        )
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        raise KeyError(
            f"load_state_dict: the state does not fit this {name}: missing "
            f"{missing or 'nothing'}, unexpected {unexpected or 'nothing'}"
        )
    arrays: dict[str, Array] = {}
    names: dict[Node, str] = {}
    for key, tensor in own.items():
        array = new_array(f"load_state_dict: {key}", state[key])
        if array.shape != tensor.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"load_state_dict: {key} is {array.dtype} of shape {array.shape}, but must be "
                f"numbers of shape {tensor.shape}; nothing was loaded"
            )
        with np.errstate(invalid="ignore"):  # of NaN as a whole number, which is refused here
            arrays[key] = array.astype(tensor.dtype, copy=False)
        if tensor.dtype.kind != "f" and not np.array_equal(arrays[key], array):
            raise ValueError(
                f"load_state_dict: {key} is {array.dtype}, and {tensor.dtype} cannot hold its "
                "numbers; nothing was loaded"
            )
        first = names.setdefault(tensor.node, key)
        if arrays[first].tobytes() != arrays[key].tobytes():
            raise ValueError(
                f"load_state_dict: {first} and {key} are one tensor in this {name}, but two "
                "different arrays in the state; nothing was loaded"
            )
    return arrays
