"""Everything composed of primitives: activations, losses, normalisation, dropout and penalties.

There is no derivative in this file.  Each function says what it computes, in terms of operations
that have one, and its gradient follows, to any order.  Arrays that are not tensors (masks, one-hot
labels, the shift inside a softmax) are constants.

Rows are examples: a mini-batch is (n, features).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .arrays import (
    broadcast_to,
    concatenate,
    expand_dims,
    maximum,
    minimum,
    reshape,
    squeeze,
    stack,
    sum_of_squares,
    transpose,
    vdot,
    where,
)
from .errors import COMPLAINTS, explained, flag, number, numbers, one_of, several, shown
from .primitives import Array
from .random import generator
from .scope import composite
from .tensor import Axis, Operand, Tensor, as_float, as_tensor, bare, constant

__all__ = [
    "abs",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "concatenate",
    "cross_entropy",
    "dropconnect",
    "dropout",
    "exp",
    "expand_dims",
    "hinge_loss",
    "l1_penalty",
    "l2_penalty",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse_loss",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "softplus",
    "sqrt",
    "squeeze",
    "stack",
    "sum",
    "sum_of_squares",
    "tanh",
    "transpose",
    "var",
    "vdot",
    "where",
]

Reduction = Literal["mean", "sum", "none"]
Mode = Literal["inverted", "vanilla"]
REDUCTIONS, MODES = get_args(Reduction), get_args(Mode)

# The methods of Tensor as functions, for those who prefer F.exp(x) to x.exp().
exp, log, sqrt, tanh, abs = Tensor.exp, Tensor.log, Tensor.sqrt, Tensor.tanh, Tensor.abs


def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x along the axis."""
    return as_tensor(x).sum(axis, keepdims)


def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest along the axis; where several are equal they share the gradient."""
    return as_tensor(x).max(axis, keepdims)


def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest along the axis; where several are equal they share the gradient."""
    return as_tensor(x).min(axis, keepdims)


def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x / n along the axis."""
    return as_float(x).mean(axis, keepdims)


def var(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Σ (x - mean)² / (n - ddof) along the axis."""
    return as_float(x).var(axis, keepdims, ddof)


# --- Activations ---------------------------------------------------------------------------------


@composite
def relu(x: Operand) -> Tensor:
    """max(x, 0), element by element; relu'(0) = 0."""
    return maximum(x, 0)


@composite
def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope · x; the derivative at 0 is the slope."""
    x = as_float(x)
    return where(x > 0, x, number("leaky_relu: negative_slope", negative_slope) * x)


@composite
def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e⁻ˣ), written so that no exponential overflows and no digit is lost for x < 0."""
    x = as_float(x)
    small = exp_of_minus_abs(x)
    return where(x > 0, 1.0, small) / (1 + small)


@composite
def softplus(x: Operand) -> Tensor:
    """log(1 + eˣ), a smooth relu, written so that no exponential overflows."""
    x = as_float(x)
    return maximum(x, 0) + exp_of_minus_abs(x).log1p()


def exp_of_minus_abs(x: Tensor) -> Tensor:
    """e^-|x|, with the branch for x ≤ 0 at the kink, so that formulas smooth at 0 stay so."""
    return where(x > 0, -x, x).exp()


@composite
def softmax(x: Operand, axis: int = -1) -> Tensor:
    """exp(xᵢ) / Σⱼ exp(xⱼ) along the axis."""
    x = as_float(x)
    positive = (x - largest(x, axis)).exp()
    return positive / positive.sum(axis, keepdims=True)


@composite
def log_softmax(x: Operand, axis: int = -1) -> Tensor:
    """xᵢ - log Σⱼ exp(xⱼ) along the axis: the logarithm of softmax, without its underflow."""
    x = as_float(x)
    shifted = x - largest(x, axis)
    return shifted - shifted.exp().sum(axis, keepdims=True).log()


@composite
def logsumexp(x: Operand, axis: Axis = -1, keepdims: bool = False) -> Tensor:
    """log Σⱼ exp(xⱼ) along the axis, or several (None: all), a smooth maximum."""
    x = as_float(x)
    top = bare(largest(x, axis))
    top = constant(np.where(np.isfinite(top), top, 0), name="max")
    total = (x - top).exp().sum(axis, keepdims=True).log() + top
    return total if flag("logsumexp: keepdims", keepdims) else squeeze(total, axis)


def largest(x: Tensor, axis: Axis) -> Tensor:
    """The maximum along the axis as a constant: to shift by it cancels out, so that is exact."""
    try:
        return constant(x._data.max(axis=axis, keepdims=True), name="max")
    except COMPLAINTS as error:
        raise explained(error, np.max, [x._data], {"axis": axis}) from error


# --- Losses --------------------------------------------------------------------------------------


@composite
def cross_entropy(
    input: Operand,
    target: Operand,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-Σₖ yₖ log softmax(input)ₖ for each example; the mean over the mini-batch by default.

    input             logits, (n, classes), or (classes,) for a single example
    target            class indices, integers of shape (n,), or rows of probabilities, (n, classes)
    reduction         "mean" over the n examples, "sum", or "none" for the n losses
    label_smoothing   s in [0, 1]: the target becomes (1 - s) y + s/classes (Szegedy et al. 2016)

    Logits may be huge, and -∞ for classes that are not the target.  The gradient with respect to
    the logits is (softmax - y) / n, which nobody wrote down: it comes out of the primitives.

    Raises ValueError for shapes that do not fit, labels out of range, probabilities below 0 (their
    sum is not looked at) and an empty mini-batch, and TypeError for labels that are neither
    integers nor probabilities.
    """
    one_of("cross_entropy: reduction", reduction, REDUCTIONS)
    smoothing = number("cross_entropy: label_smoothing", label_smoothing, "in [0, 1]")
    input = as_float(input)
    shape = input._data.shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(
            f"cross_entropy: the logits must be (n, classes) or (classes,), not empty, "
            f"but have shape {shape}"
        )
    y = probabilities(target, input)
    if smoothing:
        y = (1 - smoothing) * y + smoothing / shape[-1]
    n = shape[0] if len(shape) == 2 and reduction == "mean" else 1
    weights = y * (-1 / n)  # sign and mean go into the constant: so much less to record
    weights = weights if isinstance(weights, Tensor) else constant(weights)
    weights.name = "-target" if n == 1 else "-target / n"
    logs = log_softmax(input)
    total = vdot(weights, logs)  # Σ over classes and examples in one product
    if total._data != total._data:  # nan: a logit of -∞ makes 0 · ∞ of a class not meant
        logs = where(y == 0, 0, logs)
        total = vdot(weights, logs)
    return (weights * logs).sum(axis=-1) if reduction == "none" else total


def probabilities(target: Operand, input: Tensor) -> Tensor | Array:
    """The target of cross_entropy as rows of probabilities: indices become one-hot rows.

    It is a tensor if gradients flow into it, else a bare array.
    """
    shape, classes = input._data.shape, input._data.shape[-1]
    labels: Array = target
    if isinstance(target, Tensor):
        labels = target._data
    elif type(target) is not np.ndarray:
        labels = numbers("cross_entropy: the target", target)
    if labels.dtype.kind == "f":
        if labels.shape != shape:
            raise ValueError(
                f"cross_entropy: probabilities must have the logits' shape {shape}, not "
                f"{labels.shape}; class indices must be integers, e.g. target.astype(int)"
            )
        if not np.all(labels >= 0):
            raise ValueError(
                f"cross_entropy: probabilities must be 0 or more, but the least is {labels.min()}"
            )
        if isinstance(target, Tensor) and target.requires_grad:
            return target
        return labels.astype(input.dtype)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: the target must be integer class indices or float probabilities, "
            f"not {labels.dtype}"
        )
    if labels.shape != shape[:-1]:
        raise ValueError(
            f"cross_entropy: class indices for logits of shape {shape} must have shape "
            f"{shape[:-1]}, not {labels.shape}"
        )
    one_hot = labels[..., None] == np.arange(classes, like=input._data)
    if np.count_nonzero(one_hot) != labels.size:
        raise ValueError(
            f"cross_entropy: class indices must be from 0 to {classes - 1}, but they go from "
            f"{labels.min()} to {labels.max()}"
        )
    return one_hot.astype(input.dtype)


@composite
def binary_cross_entropy_with_logits(
    input: Operand, target: Operand, reduction: Reduction = "mean"
) -> Tensor:
    """-y log σ(x) - (1 - y) log(1 - σ(x)) = relu(x) - x y + log(1 + e^-|x|), element by element.

    input    logits x, of any shape
    target   labels or probabilities y in [0, 1], of the same shape
    """
    x = as_float(input)
    y = same_shape("binary_cross_entropy_with_logits", x, target)
    if not np.all((y >= 0) & (y <= 1)):
        raise ValueError("binary_cross_entropy_with_logits: the target must be in [0, 1]")
    # relu(x) - x y cancels before anything small is added to it, so no digit is lost.
    losses = (maximum(x, 0) - x * y) + exp_of_minus_abs(x).log1p()
    return reduced("binary_cross_entropy_with_logits", losses, reduction)


@composite
def mse_loss(input: Operand, target: Operand, reduction: Reduction = "mean") -> Tensor:
    """(input - target)², element by element; both of the same shape."""
    x = as_float(input)
    return reduced("mse_loss", (x - same_shape("mse_loss", x, target)) ** 2, reduction)


@composite
def hinge_loss(input: Operand, target: Operand, reduction: Reduction = "mean") -> Tensor:
    """max(0, 1 - y · input), element by element, with labels y = ±1 of the same shape.

    At the kink, y · input = 1, the derivative is 0.
    """
    x = as_float(input)
    y = same_shape("hinge_loss", x, target)
    if not np.all((y == 1) | (y == -1)):
        raise ValueError("hinge_loss: the target must consist of -1 and 1 (2 * y - 1 for y = 0, 1)")
    return reduced("hinge_loss", maximum(1 - x * y, 0), reduction)


def same_shape(name: str, x: Tensor, target: Operand) -> Tensor:
    y = as_float(target)
    if y.shape != x.shape:
        raise ValueError(
            f"{name}: input and target must have the same shape, not {x.shape} and {y.shape}; "
            "broadcasting them would compare every example with every other"
        )
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def reduced(name: str, losses: Tensor, reduction: Reduction) -> Tensor:
    one_of(f"{name}: reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


# --- Layers --------------------------------------------------------------------------------------


@composite
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x @ weight + bias, for x (…, fan_in), weight (fan_in, fan_out), bias (fan_out,)."""
    product = as_tensor(x) @ weight
    return product if bias is None else product + bias


@composite
def batch_norm(
    x: Operand,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """weight · (x - μ) / √(σ² + eps) + bias for each feature (Ioffe & Szegedy 2015, algorithm 1).

    x                (n, features), or (n, features, …): then statistics run over the rest too
    running_mean,    (features,) estimates for test time; replaced in training, unless None, by
    running_var      (1 - momentum) · running + momentum · batch
    weight, bias     γ and β, (features,); None leaves them out
    training         whether μ and σ² are those of this mini-batch (and gradients flow through them)
                     or the running estimates; without estimates they are always the mini-batch's

    σ² is the biased variance, the mean of (x - μ)²; the running estimate takes the unbiased one, as
    PyTorch does.  Raises ValueError in training on a single value per feature, where σ² = 0.
    """
    x = as_float(x)
    shape = x._data.shape
    if len(shape) < 2:
        raise ValueError(f"batch_norm: x must be (n, features), but has shape {shape}")
    if len(shape) > 2:  # every position is one more example
        last = x.swapaxes(1, -1)
        rows = last.reshape(-1, shape[1])
        y = batch_norm(rows, running_mean, running_var, weight, bias, training, momentum, eps)
        return y.reshape(last.shape).swapaxes(1, -1)
    n, features = shape
    training = flag("batch_norm: training", training)
    momentum = number("batch_norm: momentum", momentum, "in [0, 1]")
    eps = number("batch_norm: eps", eps, "finite and 0 or more")
    for vector in (running_mean, running_var, weight, bias):
        if vector is None:
            continue
        if not isinstance(vector, Tensor):
            raise TypeError(
                f"batch_norm: statistics and parameters are tensors, not {shown(vector)}"
            )
        if vector._data.shape != shape[1:]:
            raise ValueError(
                f"batch_norm: x of shape {shape} has {features} features, but a statistic or "
                f"parameter has shape {vector.shape}"
            )
    if (running_mean is None) != (running_var is None):
        raise TypeError("batch_norm: give both running_mean and running_var, or neither")
    if training or running_mean is None or running_var is None:
        if n < 2:
            raise ValueError(
                f"batch_norm: {n} value(s) per feature in x of shape {shape}; the variance needs "
                "at least 2: use a larger mini-batch, or eval mode with running estimates"
            )
        average = constant(averaging_row(n, x.dtype), name="1/n")
        mean = average @ x
        centred = x - mean
        var = average @ centred**2
    else:
        centred = x - running_mean
        var = running_var
    scaled = centred * ((1 if weight is None else weight) / (var + eps).sqrt())
    y = scaled if bias is None else scaled + bias
    if training and running_mean is not None and running_var is not None:  # now nothing can fail
        move(running_mean, mean, momentum)
        move(running_var, var, momentum, unbiased=n / (n - 1))
    return y


@lru_cache(maxsize=64)
def averaging_row(n: int, dtype: np.dtype[Any]) -> Array:
    """The row 1/n, …, 1/n: its product with n rows is their mean, the fastest way to have it."""
    return np.full(n, 1 / n, dtype)


def move(running: Tensor, batch: Tensor, momentum: float, unbiased: float = 1.0) -> None:
    """Let an exponential average take its next step."""
    average = (1 - momentum) * running._data + (momentum * unbiased) * batch._data
    running.replace(average if average.dtype is running.dtype else average.astype(running.dtype))


@composite
def dropout(
    x: Operand,
    p: float = 0.5,
    training: bool = True,
    mode: Mode = "inverted",
    rng: np.random.Generator | None = None,
    mask: npt.ArrayLike | None = None,
) -> Tensor:
    """Set each element to zero with probability p (Srivastava et al. 2014, section 4).

    p          the probability of *dropping*, in [0, 1); the literature's p is mostly 1 - p
    training   otherwise nothing is dropped
    mode       what keeps the expected value of training and test equal: "inverted" divides by 1 - p
               in training, "vanilla" multiplies by 1 - p at test time
    rng        generator for the mask; by default the package's (see `seed`)
    mask       the mask itself instead: 1 keeps, 0 drops; of a shape that broadcasts to x's

    Every element of x draws on its own, so every example in a mini-batch trains its own thinned
    network.  The mask is a constant of the graph: backward uses the one that forward used.
    """
    x = as_float(x)
    p = number("dropout: p, the probability of dropping,", p, "in [0, 1)")
    one_of("dropout: mode", mode, MODES)
    if not flag("dropout: training", training):
        return x if mode == "inverted" else x * (1 - p)
    if p == 0 and mask is None:
        return x
    return x * keep_mask("dropout", x, p, 1 / (1 - p) if mode == "inverted" else 1, rng, mask)


@composite
def dropconnect(
    weight: Operand,
    p: float = 0.5,
    training: bool = True,
    rng: np.random.Generator | None = None,
    mask: npt.ArrayLike | None = None,
) -> Tensor:
    """Set each *weight* to zero with probability p and divide the others by 1 - p, in training.

    The arguments are those of `dropout`; one mask serves the whole mini-batch (Wan et al. 2013 draw
    one for each example, and sample a Gaussian at test time; here the mean weight is used).
    """
    weight = as_float(weight)
    p = number("dropconnect: p, the probability of dropping,", p, "in [0, 1)")
    if not flag("dropconnect: training", training) or (p == 0 and mask is None):
        return weight
    return weight * keep_mask("dropconnect", weight, p, 1 / (1 - p), rng, mask)


def keep_mask(
    name: str,
    x: Tensor,
    p: float,
    scale: float,
    rng: np.random.Generator | None,
    mask: npt.ArrayLike | None,
) -> Tensor:
    """`scale` where x is kept and 0 where it is dropped, as a constant of x's type."""
    if mask is None:
        uniform = np.float32 if x.dtype.itemsize <= 4 else np.float64
        kept = generator(rng).random(x.shape, dtype=uniform) >= p
    else:
        kept = numbers(f"{name}: a mask", mask)
        if not np.all((kept == 0) | (kept == 1)):
            raise ValueError(f"{name}: a mask consists of 0 (drop) and 1 (keep)")
        pairs = zip(kept.shape[::-1], x.shape[::-1])
        if kept.ndim > x.ndim or any(m not in (1, n) for m, n in pairs):
            raise ValueError(f"{name}: a mask of shape {kept.shape} does not fit x, {x.shape}")
    return constant(kept.astype(x.dtype) * scale, name="mask")


# --- Penalties -----------------------------------------------------------------------------------


@composite
def l2_penalty(weights: Tensor | Iterable[Tensor], alpha: float | Sequence[float]) -> Tensor:
    """½ α Σ w² over all weights, or ½ Σᵢ αᵢ ‖Wᵢ‖²: adds α W to the gradient of W.

    weights   one tensor or several, e.g. `model.weights()`
    alpha     one strength for all, or one for each
    """
    return penalty("l2_penalty", weights, alpha, sum_of_squares, 0.5)


@composite
def l1_penalty(weights: Tensor | Iterable[Tensor], beta: float | Sequence[float]) -> Tensor:
    """β Σ |w| over all weights, or Σᵢ βᵢ Σ |Wᵢ|: adds β sign(W) to the gradient, with sign(0) = 0.

    weights   one tensor or several, e.g. `model.weights()`
    beta      one strength for all, or one for each
    """
    return penalty("l1_penalty", weights, beta, sum_of_magnitudes, 1.0)


def sum_of_magnitudes(*tensors: Tensor) -> Tensor:
    return sum_up([t.abs().sum() for t in tensors])


def penalty(
    name: str,
    weights: Tensor | Iterable[Tensor],
    strength: float | Sequence[float],
    norm: Callable[..., Tensor],
    factor: float,
) -> Tensor:
    """factor · Σᵢ strengthᵢ · norm(Wᵢ)"""
    tensors = [weights] if isinstance(weights, Tensor) else several(name, "weights", weights)
    for w in tensors:
        if not isinstance(w, Tensor):
            raise TypeError(f"{name}: weights are tensors, not {shown(w)}")
    what, allowed = f"{name}: strengths", "finite and 0 or more"
    if isinstance(strength, float) or not np.iterable(strength):
        return norm(*tensors) * (factor * number(what, strength, allowed))
    strengths = [number(what, s, allowed) for s in strength]
    if len(strengths) != len(tensors):
        raise ValueError(
            f"{name}: {len(strengths)} strengths for {len(tensors)} weights; "
            "give one number, or one for each weight"
        )
    return sum_up([norm(w) * (factor * s) for w, s in zip(tensors, strengths)])


def sum_up(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
