"""Layers, and networks of layers.  `Module`, their base class, stands in `module.py`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from . import functional as F
from . import init
from .checks import check_bool, check_dtype
from .errors import rephrased, shown
from .module import Module, Parameter
from .operators import Operand
from .random import generator
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


class Sequential(Module):
    """Modules one after the other: Sequential(a, b)(x) is b(a(x)).

    Parameters
    ----------
    *modules
        In the order in which they are applied.

    Notes
    -----
    `model[0]` is the first of them and `model[:2]` a sequence of the first two, with the same
    parameters; `model[0] = module` replaces one.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> model(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    _unnamed = "modules."

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            check_module(i, module)
        self.modules = modules

    def forward(self, x: Any) -> Tensor:
        for module in self.modules:
            x = module(x)
        result: Tensor = x
        return result

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    @overload
    def __getitem__(self, i: int) -> Any: ...  # a module of whatever class
    @overload
    def __getitem__(self, i: slice) -> Sequential: ...

    def __getitem__(self, i: int | slice) -> Any:
        """The module at i; for a slice, a sequence of the same modules."""
        try:
            return Sequential(*self.modules[i]) if isinstance(i, slice) else self.modules[i]
        except (TypeError, IndexError, ValueError) as error:
            raise rephrased(error, f"Sequential[{shown(i)}] of {len(self)} modules") from error

    def __setitem__(self, i: int, module: Module) -> None:
        i = check_int("Sequential: the index", i)
        self[i]  # there is one
        check_module(i, module)
        modules = list(self.modules)
        modules[i] = module
        self.modules = tuple(modules)


def check_module(i: int, module: Any) -> None:
    """An element of a `Sequential`."""
    if not isinstance(module, Module):
        raise TypeError(
            f"Sequential: element {i} is {shown(module)}, not a module; nn.ReLU() is one, nn.ReLU "
            "and F.relu are not"
        )


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
        y = F.linear(x, self.weight, self.bias)
        if y._array.dtype is not self.weight._array.dtype:
            warn_of_float64(y, self.weight)
        return y

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
        y = F.linear(x, weight, self.bias)
        if y._array.dtype is not weight._array.dtype:
            warn_of_float64(y, weight)
        return y

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
        y = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        if y._array.dtype is not self.running_mean._array.dtype:
            warn_of_float64(y, self.running_mean)
        return y

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


# --- Types of data and models --------------------------------------------------------------------

warned_of_float64 = False


def warn_of_float64(result: Tensor, own: Tensor) -> None:
    """Warn, once in a program, that data of float64 has widened the result of a float32 layer."""
    global warned_of_float64
    if warned_of_float64 or (result.dtype, own.dtype) != (np.float64, np.float32):
        return
    warned_of_float64 = True
    warnings.warn(
        "a float64 batch meets a float32 model, so all that follows is computed in float64, which "
        "takes twice as long; convert the data, x.astype(np.float32), or the model, "
        "model.astype(np.float64)",
        stacklevel=6,
    )
