"""Modules: layers that hold parameters, and networks of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from . import functional as F
from . import init
from .blocks import stay
from .checks import check_bool, check_dtype, new_array
from .errors import rephrased, shown
from .graph import Node
from .operators import Operand
from .primitives import Array
from .random import generator
from .scope import Scope, enter, here
from .settings import check_callable, check_choice, check_float, check_int
from .tensor import Tensor, as_tensor

__all__ = [
    "BatchNorm1d",
    "DropConnectLinear",
    "Dropout",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]

M = TypeVar("M", bound="Module")


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
    trained), and one that is a `Module`, or a list or tuple of modules, is part of this one.

    Examples
    --------
    >>> class Residual(nn.Module):
    ...     def __init__(self, width):
    ...         self.layer = nn.Linear(width, width)
    ...     def forward(self, x):
    ...         return x + self.layer(x).tanh()
    >>> Residual(2)(np.ones((5, 2), np.float32)).shape
    (5, 2)
    """

    training = True

    def forward(self, *args: Any) -> Any:
        """Compute the function; a call of the module does this in a scope of its own."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outside = here()
        inside = Scope(type(self).__name__, outside, self.training)
        try:  # as in `blocks.scoped_by`
            enter(inside)
            return self.forward(*args, **kwargs)
        finally:
            found = enter(outside).old_value
            if found is not inside:
                stay(inside, found)

    # --- What is inside --------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly inside, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{i}", item

    def named_modules(
        self, path: str = "", around: tuple[Module, ...] = ()
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module, as "", and all modules inside, by dotted names."""
        if self in around:
            raise ValueError(
                f"{type(around[0]).__name__}: the module at {path!r} contains itself; an inner "
                "module cannot hold an outer one, so pass what it needs to its forward"
            )
        yield path, self
        for name, module in self.children():
            yield from module.named_modules(f"{path}.{name}".removeprefix("."), (*around, self))

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield parameters and buffers here and in all modules inside, by dotted names."""
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and value.is_leaf:  # no result that forward left here
                    yield f"{path}.{name}".removeprefix("."), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield each parameter once, with the first of its names."""
        seen: set[Parameter] = set()
        for name, tensor in self.named_tensors():
            if isinstance(tensor, Parameter) and tensor not in seen:
                seen.add(tensor)
                yield name, tensor

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
        list(self.named_modules())  # refuses a module in itself before anything has changed
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
        """Turn all parameters and buffers into another float type, and forget gradients."""
        dtype = check_dtype(f"{type(self).__name__}.astype: dtype", dtype, "f")
        arrays = {tensor: tensor._array.astype(dtype) for _, tensor in self.named_tensors()}
        for tensor, array in arrays.items():
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
            For an array of a wrong shape, or not of numbers.
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
    arrays = {}
    for key, tensor in own.items():
        array = new_array(f"load_state_dict: {key}", state[key])
        if array.shape != tensor.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"load_state_dict: {key} is {array.dtype} of shape {array.shape}, but must be "
                f"numbers of shape {tensor.shape}; nothing was loaded"
            )
        arrays[key] = array.astype(tensor.dtype, copy=False)
    return arrays


class Sequential(Module):
    """Modules one after the other: Sequential(a, b)(x) is b(a(x)).

    Parameters
    ----------
    *modules
        In the order in which they are applied.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> model(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential: element {i} is {shown(module)}, not a module; nn.ReLU() is one, "
                    "nn.ReLU and F.relu are not"
                )
        self.modules = modules

    def children(self) -> Iterator[tuple[str, Module]]:
        for name, module in super().children():
            yield name.removeprefix("modules."), module

    def forward(self, x: Any) -> Any:
        for module in self.modules:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, i: int) -> Module:
        try:
            return self.modules[i]
        except (TypeError, IndexError) as error:
            raise rephrased(error, f"Sequential[{shown(i)}] of {len(self)} modules") from error


class Linear(Module):
    """x @ weight + bias, from (n, in_features) to (n, out_features).

    Parameters
    ----------
    in_features, out_features
        The numbers of columns.
    bias
        Whether there is one.
    init
        Draws the weight: a function of `init`, or one like it.
    rng
        Generator for the weight; by default the package's (see `seed`).
    dtype
        A float type.

    Attributes
    ----------
    weight
        (in_features, out_features), the transpose of PyTorch's.
    bias
        (out_features,), zeros at first; None with bias=False.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: init.Initializer = init.lecun_normal,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_features = check_int("Linear: in_features", in_features, least=1)
        self.out_features = check_int("Linear: out_features", out_features, least=1)
        bias, dtype = check_bool("Linear: bias", bias), check_dtype("Linear: dtype", dtype, "f")
        check_callable("Linear: init", init)
        shape = self.in_features, self.out_features
        weight = as_tensor(init(shape, rng=rng, dtype=dtype))
        if weight.shape != shape:
            raise ValueError(f"Linear: init gave shape {weight.shape}, not {shape}")
        self.weight = Parameter(weight.astype(dtype), name="weight")
        self.bias = Parameter(np.zeros(shape[1], dtype), name="bias") if bias else None

    def forward(self, x: Operand) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def settings(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class DropConnectLinear(Linear):
    """A Linear layer that drops single weights in training (see `functional.dropconnect`).

    Parameters
    ----------
    p
        The probability of dropping a weight, in [0, 1).
    rng
        Generator for the weight and for the masks.

    Notes
    -----
    The other parameters and the attributes are those of `Linear`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float = 0.5,
        bias: bool = True,
        *,
        init: init.Initializer = init.lecun_normal,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.p = check_float("DropConnectLinear: p", p, "in [0, 1)")  # before init draws numbers
        self.rng = rng
        super().__init__(in_features, out_features, bias, init=init, rng=rng, dtype=dtype)

    def forward(self, x: Operand) -> Tensor:
        weight = F.dropconnect(self.weight, self.p, self.training, self.rng)
        return F.linear(x, weight, self.bias)

    def settings(self) -> str:
        return f"{self.in_features}, {self.out_features}, p={self.p}, bias={self.bias is not None}"


class BatchNorm1d(Module):
    """Normalises each feature over the mini-batch (see `functional.batch_norm`).

    Parameters
    ----------
    num_features
        The number of columns of x, (n, features).
    eps
        Keeps the division finite.
    momentum
        The weight of the newest statistics in the running estimates, in [0, 1].
    affine
        Whether there are γ and β.
    dtype
        A float type.

    Attributes
    ----------
    weight, bias
        γ and β, (features,), ones and zeros at first; None with affine=False.
    running_mean, running_var
        Buffers, (features,), zeros and ones at first: the statistics for eval mode.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.num_features = check_int("BatchNorm1d: num_features", num_features, least=1)
        self.eps = check_float("BatchNorm1d: eps", eps, "finite and 0 or more")
        self.momentum = check_float("BatchNorm1d: momentum", momentum, "in [0, 1]")
        affine = check_bool("BatchNorm1d: affine", affine)
        dtype = check_dtype("BatchNorm1d: dtype", dtype, "f")
        zeros = init.zeros((self.num_features,), dtype=dtype)
        self.weight = Parameter(zeros + 1, name="weight") if affine else None
        self.bias = Parameter(zeros, name="bias") if affine else None
        self.running_mean = Tensor(zeros, name="running_mean")
        self.running_var = Tensor(zeros + 1, name="running_var")

    def forward(self, x: Operand) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )

    def settings(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class Dropout(Module):
    """Drops elements with probability p in training (see `functional.dropout`).

    Parameters
    ----------
    p
        The probability of dropping, in [0, 1).
    mode
        "inverted" or "vanilla".
    rng
        Generator for the masks; by default the package's (see `seed`).
    """

    def __init__(
        self,
        p: float = 0.5,
        mode: F.Mode = "inverted",
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.p = check_float("Dropout: p", p, "in [0, 1)")
        check_choice("Dropout: mode", mode, F.MODES)
        self.mode: F.Mode = mode
        self.rng = None if rng is None else generator(rng)

    def forward(self, x: Operand) -> Tensor:
        return F.dropout(x, self.p, self.training, self.mode, self.rng)

    def settings(self) -> str:
        return f"p={self.p}" + (f", mode={self.mode!r}" if self.mode != "inverted" else "")


class ReLU(Module):
    """max(x, 0), element by element."""

    def forward(self, x: Operand) -> Tensor:
        return F.relu(x)


class Tanh(Module):
    """tanh x, element by element."""

    def forward(self, x: Operand) -> Tensor:
        return as_tensor(x).tanh()


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ), element by element."""

    def forward(self, x: Operand) -> Tensor:
        return F.sigmoid(x)
