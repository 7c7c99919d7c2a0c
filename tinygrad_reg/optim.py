"""Optimizers and learning-rate schedules, with PyTorch's names, formulas and defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy import float16

from .attributes import bare, read_only
from .checks import check_bool
from .errors import NUMPY_ERRORS, rephrased, shape_of, shown
from .settings import check_float, check_int, check_list
from .tensor import Tensor

__all__ = ["SGD", "Adam", "AdamW", "CosineAnnealingLR", "Optimizer", "StepLR"]


class Stateful:
    """Has a state that can be saved: all its attributes but the one named by `outside`."""

    outside: str

    def state_dict(self) -> dict[str, Any]:
        """Copy the settings, and everything that `step` depends on."""
        inside = {name: value for name, value in vars(self).items() if name != self.outside}
        return deepcopy({"class": type(self).__name__, **inside})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave, settings included: all of it, or nothing.

        Parameters
        ----------
        state
            Of an object of the same class, for parameters of the same shapes.

        Raises
        ------
        ValueError
            If it is not.
        """
        new = fitted(type(self).__name__, self.state_dict(), state)
        del new["class"]
        vars(self).update(new)


class Optimizer(Stateful):
    """Base class of the optimizers: `step()` replaces the data of each parameter.

    A parameter whose `.grad` is None stays as it is, and so does its state; one that is frozen
    (`requires_grad = False`) does, too.  A subclass defines `update`.

    For parameters of float16, steps and state are computed in float32, and the new parameters are
    rounded.  A step of less than a thousandth of a parameter may get lost in that: keep parameters
    in float32 for small learning rates.

    Parameters
    ----------
    parameters
        The tensors to train: leaves that want a gradient.
    lr
        Learning rate, 0 or more.  It may be changed at any time: `optimizer.lr = 0.01`.
    weight_decay
        The strength of an L2 penalty on all parameters, 0 or more.

    Notes
    -----
    The tensors are those that were there when it was made: where the model gets a new parameter
    later, in the place of another or besides them, make a new optimizer.  Its state has the type
    that the parameters had, so make it after `model.astype`.
    """

    outside = "parameters"

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        check_not_single(parameters)
        parameters = check_list("optimizer", "parameters to train", parameters)
        for p in parameters:
            if not (isinstance(p, Tensor) and p.requires_grad and p.is_leaf):
                raise TypeError(
                    f"optimizer: can train only tensors made with requires_grad=True, not {p!r}"
                )
        self.parameters = list({p.node: p for p in parameters}.values())  # each once
        self.lr = at_least_zero("lr", lr)
        self.weight_decay = at_least_zero("weight_decay", weight_decay)

    def zero_grad(self) -> None:
        """Forget all gradients: the next `backward` starts from None again."""
        for p in self.parameters:
            p.node.grad = None

    def step(self) -> None:
        """Take one step with the gradients now in `.grad`.

        After an error in it, or Ctrl-C, some parameters have taken the step and others have not: go
        on from a checkpoint.
        """
        is_new = getattr(self.update, "__func__", None) in give_new_arrays
        for i, p in enumerate(self.parameters):
            node, array = p.node, p._array
            g = node.grad
            if g is None or not node.requires_grad:
                continue
            g = g._array if isinstance(g, Tensor) else g
            dtype = array.dtype
            if dtype.type is float16:  # where g² and eps would be 0
                array, g = array.astype(np.float32), g.astype(np.float32)
            if not is_new:
                array, g = read_only(array), read_only(g)
            update = self.update(i, array, g)
            if is_new and array.ndim and update.dtype is array.dtype:
                new = np.subtract(array, update, update)  # its memory serves for the result
            else:
                new = difference(array, update)
            p.replace(new if new.dtype is dtype else new.astype(dtype))

    def update(self, i: int, p: npt.NDArray[Any], g: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array to subtract from p, which is that of parameter i, if its gradient is g.

        Parameters
        ----------
        i
            The number of the parameter, for what is kept from step to step.
        p, g
            Its array and its gradient; both are read-only.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def decayed(self, p: npt.NDArray[Any], g: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """g + weight_decay · p, in a single new array."""
        total: npt.NDArray[Any] = self.weight_decay * p
        total += g
        return total

    def zeros(self) -> list[npt.NDArray[Any]]:
        """An array of zeros for each parameter, to begin with; of float32 for float16."""
        wider = {float16: np.float32}
        return [np.zeros_like(p._array, dtype=wider.get(p.dtype.type)) for p in self.parameters]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964).

    Parameters
    ----------
    parameters
        The tensors to train.
    lr
        Learning rate.
    momentum
        μ in [0, 1).
    nesterov
        Whether to look ahead (Sutskever et al. 2013, equations 3 and 4).
    weight_decay
        λ, an L2 penalty of that strength on *all* parameters; to spare biases use
        `functional.l2_penalty(model.weights(), λ)`.

    Notes
    -----
    ::

        g ← ∇p + λ p
        v ← μ v + g
        p ← p - lr · v,   with nesterov  p ← p - lr · (g + μ v)

    Examples
    --------
    >>> p = Tensor([1.0], requires_grad=True)
    >>> optimizer = optim.SGD([p], lr=0.1)
    >>> (p**2).sum().backward()
    >>> optimizer.step()
    >>> p.data
    array([0.8])
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = below_one("momentum", momentum)
        self.nesterov = check_bool("SGD: nesterov", nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        self.velocity = self.zeros() if momentum else []

    def update(self, i: int, p: npt.NDArray[Any], g: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.weight_decay:
            g = self.decayed(p, g)
        if self.momentum:
            v = self.velocity[i]
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        return self.lr * g


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    parameters
        The tensors to train.
    lr
        Learning rate.
    betas
        (β₁, β₂), each in [0, 1).
    eps
        Keeps the division finite.
    weight_decay
        λ, an L2 penalty of that strength on all parameters, inside g.

    Notes
    -----
    In step t::

        g ← ∇p + λ p
        m ← β₁ m + (1 - β₁) g          m̂ = m / (1 - β₁ᵗ)
        s ← β₂ s + (1 - β₂) g²         ŝ = s / (1 - β₂ᵗ)
        p ← p - lr · m̂ / (√ŝ + eps)
    """

    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
            raise TypeError(f"optimizer: betas must be two numbers, not {shown(betas)}")
        self.betas = below_one("betas[0]", betas[0]), below_one("betas[1]", betas[1])
        self.eps = at_least_zero("eps", eps)
        self.first = self.zeros()
        self.second = self.zeros()
        self.steps = [0] * len(self.parameters)

    def update(self, i: int, p: npt.NDArray[Any], g: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.weight_decay and not self.decoupled:
            g = self.decayed(p, g)
        beta1, beta2 = self.betas
        m, s = self.first[i], self.second[i]
        self.steps[i] += 1
        m *= beta1
        m += (1 - beta1) * g
        s *= beta2
        s += (1 - beta2) * (g * g)
        rate = self.lr / (1 - beta1 ** self.steps[i])
        scale = np.sqrt(s) / (1 - beta2 ** self.steps[i]) ** 0.5 + self.eps
        step: npt.NDArray[Any] = rate * m / scale
        return step + (self.lr * self.weight_decay) * p if self.decoupled else step


class AdamW(Adam):
    """Adam with the decay outside of g: p ← p - lr · λ p (Loshchilov & Hutter 2019, algorithm 2).

    The parameters are those of `Adam`; weight_decay, λ, is 0.01 by default.
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)


# These return neither g nor what they keep for the next step, so `step` may write into it.
give_new_arrays = {SGD.update, Adam.update}


class Schedule(Stateful):
    """Base class of the schedules: they set a learning rate by the number of the epoch.

    A subclass defines `rate`.

    Parameters
    ----------
    optimizer
        The one whose `lr` is set.

    Attributes
    ----------
    epoch
        How often `step()` was called.
    base_lr
        The learning rate at first.
    """

    outside = "optimizer"

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: {shown(optimizer)} is not an optimizer")
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.epoch = 0

    def step(self) -> None:
        """Go on to the next epoch (or whatever the schedule is to count)."""
        self.epoch += 1
        self.optimizer.lr = self.rate()

    def rate(self) -> float:
        """The learning rate of this epoch."""
        raise NotImplementedError


class CosineAnnealingLR(Schedule):
    """From lr down to η over T epochs along half a cosine (Loshchilov & Hutter 2017, equation 5).

    lr = η + ½ (base - η) (1 + cos(π · epoch / T)), and η after T epochs.

    Parameters
    ----------
    optimizer
        The one whose `lr` is set.
    T_max
        T, a number of epochs.
    eta_min
        η, the last learning rate.

    Examples
    --------
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = optim.CosineAnnealingLR(optimizer, T_max=2)
    >>> schedule.step()
    >>> optimizer.lr
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803
        super().__init__(optimizer)
        self.T_max = check_int("CosineAnnealingLR: T_max", T_max, least=1)
        self.eta_min = at_least_zero("eta_min", eta_min)

    def rate(self) -> float:
        done = min(self.epoch / self.T_max, 1.0)
        half: float = (1 + np.cos(pi * done).item()) / 2
        return self.eta_min + (self.base_lr - self.eta_min) * half


class StepLR(Schedule):
    """lr = base · γᵏ after k · step_size epochs.

    Parameters
    ----------
    optimizer
        The one whose `lr` is set.
    step_size
        The number of epochs between two changes.
    gamma
        γ, the factor of a change.

    Examples
    --------
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = optim.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> schedule.step()
    >>> optimizer.lr
    0.5
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size = check_int("StepLR: step_size", step_size, least=1)
        self.gamma = at_least_zero("gamma", gamma)

    def rate(self) -> float:
        return self.base_lr * self.gamma ** (self.epoch // self.step_size)


# --- Checks --------------------------------------------------------------------------------------


def check_not_single(parameters: Any) -> None:
    """A list of parameters, and not something else whose elements are not the parameters."""
    if isinstance(parameters, Tensor):
        remedy = "write [p]"
    elif isinstance(parameters, Mapping):
        remedy = "write list(d.values())"
    elif hasattr(parameters, "parameters"):
        remedy = "write model.parameters()"
    else:
        return
    raise TypeError(
        f"optimizer: parameters to train must come in a list, not as {shown(parameters)}; {remedy}"
    )


def difference(array: Any, update: Any) -> Any:
    """array - update, if it has the shape of the array."""
    try:
        new = array - bare(update)
    except NUMPY_ERRORS as error:
        raise rephrased(error, "optimizer: what update returned") from error
    if shape_of(new) != array.shape:
        raise ValueError(
            f"optimizer: update returned shape {shape_of(update)} for a parameter of shape "
            f"{array.shape}; it must be the same"
        )
    return new


def at_least_zero(name: str, value: float) -> float:
    """A setting that is finite and 0 or more."""
    return check_float(f"optimizer: {name}", value, "finite and 0 or more")


def below_one(name: str, value: float) -> float:
    """A setting from 0 to 1, without 1."""
    return check_float(f"optimizer: {name}", value, "in [0, 1)")


def fitted(what: str, own: Any, new: Any) -> Any:
    """A copy of the state `new`, if it is built like the state `own`; otherwise ValueError."""
    if isinstance(own, dict) and isinstance(new, dict):  # first what both have: above all the class
        both = {key: fitted(f"{what}.{key}", own[key], new[key]) for key in own if key in new}
    if built(new) != built(own):
        raise ValueError(
            f"load_state_dict: {what} is {built(new)}, but must be {built(own)}; nothing was loaded"
        )
    if isinstance(own, dict):
        return both
    if isinstance(own, (list, tuple)):
        return type(own)(fitted(f"{what}.{i}", *pair) for i, pair in enumerate(zip(own, new)))
    return new.astype(own.dtype) if isinstance(own, np.ndarray) else deepcopy(new)


def built(value: Any) -> str:
    """The kind, length, type and shape of a part of a state in words."""
    if isinstance(value, dict):
        return f"a dict of {', '.join(sorted(map(str, value)))}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype.name.rstrip('0123456789')}s of shape {value.shape}"
    if isinstance(value, str):
        return repr(value)
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return "a number" if number else f"of type {type(value).__name__}"
