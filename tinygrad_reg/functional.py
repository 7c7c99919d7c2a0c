"""Everything composed of primitives: activations, losses, normalisation, dropout and penalties.

There is no derivative in this file.  Each function says what it computes, in terms of operations
that have one, and its gradient follows, to any order.  Arrays that are not tensors (masks, one-hot
labels, the shift inside a softmax) are constants.

Rows are examples: a mini-batch has the shape (n, features).  Arguments are tensors, or whatever
arrays can be made of; results are tensors.  What a function checks before it computes stands in
functions of its own, in the last section.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from numpy import float16

from . import primitives
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
from .arrays.reductions import as_float
from .attributes import own_array
from .blocks import composite
from .checks import check_bool
from .errors import NUMPY_ERRORS, explained, shown
from .half import through_float32
from .operators import Axis, Operand
from .primitives import Array
from .random import generator, random_bits
from .settings import check_choice, check_float, check_list
from .tensor import Tensor, apply, as_tensor, constant

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


# --- Activations ---------------------------------------------------------------------------------


@composite
def relu(x: Operand) -> Tensor:
    """max(x, 0), element by element.

    The derivative at 0 is 0.

    Examples
    --------
    >>> relu([-1.0, 0.0, 2.0])
    Tensor([0., 0., 2.])
    """
    return maximum(x, 0)


@composite
def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope · x (Maas et al. 2013).

    The derivative at 0 is the slope.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], 0.1)
    Tensor([-0.1,  2. ])
    """
    x = as_float(x)
    slope = check_float("leaky_relu: negative_slope", negative_slope)
    below = x if slope else where(x > 0, 0, x)  # a slope of 0 would compute 0 · ∞ at ∞
    return where(x > 0, x, slope * below)


@through_float32
def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e⁻ˣ), element by element.

    Written so that no exponential overflows, and no digit is lost for x < 0.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0])
    Tensor([0. , 0.5])
    """
    return apply(primitives.sigmoid, as_float(x))


@composite
def softplus(x: Operand) -> Tensor:
    """log(1 + eˣ), element by element: a smooth relu.

    Written so that no exponential overflows.

    Examples
    --------
    >>> softplus([-1000.0, 1000.0])
    Tensor([   0., 1000.])
    """
    x = as_float(x)
    return maximum(x, 0) + exp_of_minus_abs(x).log1p()


def exp_of_minus_abs(x: Tensor) -> Tensor:
    """e^-|x|, with the branch for x ≤ 0 at the kink, so that formulas smooth at 0 stay so."""
    return where(x > 0, -x, x).exp()


@composite
@through_float32
def softmax(x: Operand, axis: int = -1) -> Tensor:
    """exp(xᵢ) / Σⱼ exp(xⱼ) along the axis.

    Examples
    --------
    >>> softmax([[0.0, 0.0, 0.0, 0.0]])
    Tensor([[0.25, 0.25, 0.25, 0.25]])
    """
    x = as_float(x)
    positive = (x - largest(x, axis)).exp()
    return positive / positive.sum(axis, keepdims=True)


@composite
@through_float32
def log_softmax(x: Operand, axis: int = -1) -> Tensor:
    """xᵢ - log Σⱼ exp(xⱼ) along the axis: the logarithm of softmax, without its underflow.

    Examples
    --------
    >>> log_softmax([[0.0, -1000.0]])
    Tensor([[    0., -1000.]])
    """
    x = as_float(x)
    shifted = x - largest(x, axis)
    return shifted - shifted.exp().sum(axis, keepdims=True).log()


@composite
@through_float32
def logsumexp(x: Operand, axis: Axis = -1, keepdims: bool = False) -> Tensor:
    """log Σⱼ exp(xⱼ) along the axis, or several (None: all): a smooth maximum.

    Examples
    --------
    >>> logsumexp([1000.0, -1000.0])
    Tensor(1000.)
    """
    x = as_float(x)
    most = np.finfo(x.dtype).max  # a finite shift: ∞ - ∞ would be NaN
    top = constant(largest(x, axis)._array.clip(-most, most), name="max")
    with np.errstate(divide="ignore", over="ignore"):  # log 0 and e^-∞ are meant
        total = (x - top).exp().sum(axis, keepdims=True).log() + top
    return total if check_bool("logsumexp: keepdims", keepdims) else squeeze(total, axis)


def largest(x: Tensor, axis: Axis) -> Tensor:
    """The maximum along the axis as a constant: to shift by it cancels out, so that is exact."""
    try:
        return constant(x._array.max(axis=axis, keepdims=True), name="max")
    except NUMPY_ERRORS as error:
        raise explained(error, np.max, [x._array], {"axis": axis}) from error


# --- Losses --------------------------------------------------------------------------------------


@composite
@through_float32
def cross_entropy(
    input: Operand,
    target: Operand,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-Σₖ yₖ log softmax(input)ₖ for each example; by default the mean over the mini-batch.

    Parameters
    ----------
    input
        Logits, (n, classes), or (classes,) for a single example.  They may be huge, and -∞ for
        classes that are not the target.
    target
        Class indices, integers of shape (n,), or rows of probabilities, (n, classes).
    reduction
        "mean" over the n examples, "sum", or "none" for the n losses.
    label_smoothing
        s in [0, 1]: the target becomes (1 - s) y + s/classes (Szegedy et al. 2016).

    Raises
    ------
    ValueError
        For shapes that do not fit, labels out of range, probabilities below 0 (their sum is not
        looked at) and an empty mini-batch.
    TypeError
        For labels that are neither integers nor probabilities.

    Notes
    -----
    The gradient with respect to the logits is (softmax - y) / n.  Nobody wrote it down: it comes
    out of the primitives.

    Examples
    --------
    >>> logits = Tensor([[0.0, 0.0]], requires_grad=True)
    >>> cross_entropy(logits, [0]).backward()
    >>> logits.grad
    Tensor([[-0.5,  0.5]])
    """
    check_choice("cross_entropy: reduction", reduction, REDUCTIONS)
    smoothing = check_float("cross_entropy: label_smoothing", label_smoothing, "in [0, 1]")
    x = as_float(input)
    y = target_probabilities(target, x)
    *examples, classes = x._array.shape
    n = examples[0] if examples and reduction == "mean" else 1
    if smoothing:
        y = (1 - smoothing) * y + smoothing / classes
    weights = named(y * (-1 / n), "-target / n" if n > 1 else "-target")
    logs = log_softmax(x)
    total = vdot(weights, logs)  # -Σ y log softmax over all classes and examples, in one product
    if total._array != total._array:  # NaN: a logit of -∞ makes 0 · ∞ of a class not meant
        logs = where((y == 0) & (logs == -np.inf), 0, logs)
        total = vdot(weights, logs)
    return (weights * logs).sum(axis=-1) if reduction == "none" else total


@composite
@through_float32
def binary_cross_entropy_with_logits(
    input: Operand, target: Operand, reduction: Reduction = "mean"
) -> Tensor:
    """-y log σ(x) - (1 - y) log(1 - σ(x)), element by element, with σ the sigmoid.

    Parameters
    ----------
    input
        Logits x, of any shape.
    target
        Labels or probabilities y in [0, 1], of the same shape.
    reduction
        "mean" over all elements, "sum", or "none".

    Notes
    -----
    Computed as relu(x) - x y + log(1 + e^-|x|), where no exponential overflows.  An infinite logit
    that its label agrees with costs nothing: 0 · ∞ counts as 0, as in y log y.

    Examples
    --------
    >>> binary_cross_entropy_with_logits([0.0, 1000.0], [1.0, 1.0], "none")
    Tensor([0.69314718, 0.        ])
    """
    x = as_float(input)
    y = same_shape("binary_cross_entropy_with_logits", x, target)
    if not np.all((y >= 0) & (y <= 1)):
        raise ValueError("binary_cross_entropy_with_logits: the target must be in [0, 1]")
    if np.isinf(x._array).any():  # relu(x) - x y is x (1 - y) or -x y; here 0 · ∞ counts as 0
        factor = where(x > 0, 1 - y, -y)
        losses = where(np.isinf(x) & (factor == 0), 0, x) * factor
    else:  # the difference cancels before anything small is added to it, so no digit is lost
        losses = maximum(x, 0) - x * y
    losses = losses + exp_of_minus_abs(x).log1p()
    return reduced("binary_cross_entropy_with_logits", losses, reduction)


@composite
@through_float32
def mse_loss(input: Operand, target: Operand, reduction: Reduction = "mean") -> Tensor:
    """(input - target)², element by element; both of the same shape.

    Parameters
    ----------
    input, target
        Of the same shape.
    reduction
        "mean" over all elements, "sum", or "none".

    Examples
    --------
    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    Tensor(2.)
    """
    x = as_float(input)
    return reduced("mse_loss", (x - same_shape("mse_loss", x, target)) ** 2, reduction)


@composite
@through_float32
def hinge_loss(input: Operand, target: Operand, reduction: Reduction = "mean") -> Tensor:
    """max(0, 1 - y · input), element by element.

    At the kink, y · input = 1, the derivative is 0.

    Parameters
    ----------
    input
        Scores, of any shape.
    target
        Labels y = ±1 of the same shape.
    reduction
        "mean" over all elements, "sum", or "none".

    Examples
    --------
    >>> hinge_loss([0.5, 3.0], [1.0, -1.0], "none")
    Tensor([0.5, 4. ])
    """
    x = as_float(input)
    y = same_shape("hinge_loss", x, target)
    if not np.all((y == 1) | (y == -1)):
        raise ValueError("hinge_loss: the target must consist of -1 and 1 (2 * y - 1 for y = 0, 1)")
    return reduced("hinge_loss", maximum(1 - x * y, 0), reduction)


def reduced(name: str, losses: Tensor, reduction: Reduction) -> Tensor:
    """The mean of losses, their sum, or the losses."""
    check_choice(f"{name}: reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


# --- Layers --------------------------------------------------------------------------------------


@composite
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x @ weight + bias.

    Parameters
    ----------
    x
        (…, in_features).
    weight
        (in_features, out_features), the transpose of PyTorch's.
    bias
        (out_features,), or None.

    Examples
    --------
    >>> linear([[1.0, 2.0]], [[3.0], [4.0]], [5.0])
    Tensor([[16.]])
    """
    x = as_tensor(x)
    if bias is not None and x._array.dtype.type is float16:  # rounded after the sum alone
        dtype = np.result_type(x.dtype, as_tensor(weight).dtype, as_tensor(bias).dtype)
        return (x.astype(np.float32) @ weight + bias).astype(dtype)
    product = x @ weight
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
    """γ · (x - μ) / √(σ² + eps) + β for each feature (Ioffe & Szegedy 2015, algorithm 1).

    Parameters
    ----------
    x
        (n, features), or (n, features, …): then statistics run over the rest too.
    running_mean, running_var
        Estimates of μ and σ² for test time, (features,).  In training they are replaced by
        (1 - momentum) · running + momentum · batch, unless they are None.
    weight, bias
        γ and β, (features,); None leaves them out.
    training
        Whether μ and σ² are those of this mini-batch, and gradients flow through them, or the
        running estimates.  Without estimates they are always the mini-batch's.
    momentum
        The weight of the newest statistics in the running estimates, in [0, 1].
    eps
        Keeps the division finite.

    Raises
    ------
    ValueError
        For shapes that do not fit, and in training for a single value per feature, where σ² = 0.

    Notes
    -----
    σ² is the biased variance, the mean of (x - μ)².  The running estimate takes the unbiased one,
    as PyTorch does.  In float16 it is infinite above 65504: give estimates of float32 to such x.

    Examples
    --------
    >>> x = Tensor([[1.0], [3.0]])
    >>> batch_norm(x, None, None, eps=0.0)
    Tensor([[-1.],
            [ 1.]])
    """
    x = as_float(x)
    if x.ndim > 2:
        return batch_norm_of_positions(
            x, running_mean, running_var, weight, bias, training, momentum, eps
        )
    if x._array.dtype.type is float16:
        y = batch_norm(
            x.astype(np.float32), running_mean, running_var, weight, bias, training, momentum, eps
        )
        return y.astype(np.result_type(*(t.dtype for t in (x, weight, bias) if t is not None)))
    training, momentum, eps = check_batch_norm(
        x, running_mean, running_var, weight, bias, training, momentum, eps
    )
    n = x._array.shape[0]
    if training or running_mean is None or running_var is None:
        average = constant(averaging_row(n, x.dtype), name="1/n")
        mean = average @ x
        centred = x - mean
        var = average @ centred**2
    else:
        mean, var = running_mean, running_var
        centred = x - mean
    y = centred * ((1 if weight is None else weight) / (var + eps).sqrt())
    if bias is not None:
        y = y + bias
    if training and running_mean is not None and running_var is not None:
        move(running_mean, mean, momentum)
        move(running_var, var, momentum, unbiased=n / (n - 1))
    return y


def move(running: Tensor, batch: Tensor, momentum: float, unbiased: float = 1.0) -> None:
    """Let an exponential average take its next step."""
    average = (1 - momentum) * running._array + (momentum * unbiased) * batch._array
    running.replace(average if average.dtype is running.dtype else average.astype(running.dtype))


@lru_cache(maxsize=64)
def averaging_row(n: int, dtype: np.dtype[Any]) -> Array:
    """The row 1/n, …, 1/n: its product with n rows is their mean, the fastest way to have it."""
    return np.full(n, 1 / n, dtype)


@composite
@through_float32
def dropout(
    x: Operand,
    p: float = 0.5,
    training: bool = True,
    mode: Mode = "inverted",
    rng: np.random.Generator | None = None,
    mask: npt.ArrayLike | None = None,
) -> Tensor:
    """Set each element to zero with probability p (Srivastava et al. 2014, section 4).

    Parameters
    ----------
    x
        Of any shape.
    p
        The probability of *dropping*, in [0, 1), to 16 bits; the literature's p is mostly 1 - p.
    training
        Otherwise nothing is dropped.
    mode
        What keeps the expected value of training and test equal: "inverted" divides by 1 - p in
        training, "vanilla" multiplies by 1 - p at test time.
    rng
        Generator for the mask; by default the package's (see `seed`).
    mask
        The mask itself instead: 1 keeps, 0 drops; of a shape that broadcasts to x's.

    Notes
    -----
    Every element of x draws on its own, so every example in a mini-batch trains its own thinned
    network.  The mask is a constant of the graph: backward uses the one that forward used.  To drop
    is to multiply by 0, so NaN and ±∞ are NaN after it and do not disappear, as in PyTorch.

    Examples
    --------
    >>> dropout([1.0, 2.0, 3.0], p=0.5, mask=[1, 0, 1])
    Tensor([2., 0., 6.])
    """
    x = as_float(x)
    p = check_float("dropout: p, the probability of dropping,", p, "in [0, 1)")
    check_choice("dropout: mode", mode, MODES)
    if not check_bool("dropout: training", training):
        return x if mode == "inverted" else x * (1 - p)
    if p == 0 and mask is None:
        return x
    scale = 1 / (1 - p) if mode == "inverted" else 1
    return x * dropout_mask("dropout", x, p, scale, rng, mask)


@composite
@through_float32
def dropconnect(
    weight: Operand,
    p: float = 0.5,
    training: bool = True,
    rng: np.random.Generator | None = None,
    mask: npt.ArrayLike | None = None,
) -> Tensor:
    """Set each *weight* to zero with probability p and divide the others by 1 - p, in training.

    The arguments are those of `dropout`.  One mask serves the whole mini-batch; Wan et al. (2013)
    draw one for each example, and sample a Gaussian at test time, where here the mean weight is
    used.

    Examples
    --------
    >>> dropconnect([[1.0, 2.0]], p=0.5, mask=[[0, 1]])
    Tensor([[0., 4.]])
    """
    weight = as_float(weight)
    p = check_float("dropconnect: p, the probability of dropping,", p, "in [0, 1)")
    if not check_bool("dropconnect: training", training) or (p == 0 and mask is None):
        return weight
    return weight * dropout_mask("dropconnect", weight, p, 1 / (1 - p), rng, mask)


def dropout_mask(
    name: str,
    x: Tensor,
    p: float,
    scale: float,
    rng: np.random.Generator | None,
    mask: npt.ArrayLike | None,
) -> Tensor:
    """`scale` where x is kept and 0 where it is dropped, as a constant of x's type."""
    if mask is None:
        threshold = builtins.min(round(p * 2**16), 2**16 - 1)
        kept = random_bits(generator(rng), x.size).reshape(x.shape) >= np.uint16(threshold)
    else:
        kept = check_mask(name, x, mask)
    return constant(np.multiply(kept, scale, dtype=x.dtype), name="mask")


# --- Penalties -----------------------------------------------------------------------------------


@composite
def l2_penalty(weights: Tensor | Iterable[Tensor], alpha: float | Sequence[float]) -> Tensor:
    """½ α Σ w² over all weights, or ½ Σᵢ αᵢ ‖Wᵢ‖²: adds α W to the gradient of W.

    Parameters
    ----------
    weights
        One tensor or several, e.g. `model.weights()`.
    alpha
        One strength for all, or one for each.

    Examples
    --------
    >>> w = Tensor([1.0, -2.0], requires_grad=True)
    >>> l2_penalty(w, 0.1).backward()
    >>> w.grad
    Tensor([ 0.1, -0.2])
    """
    weights, alpha = check_penalty("l2_penalty", weights, alpha)
    if float16 in [w._array.dtype.type for w in weights]:
        return penalty_in_float32(l2_penalty, weights, alpha)
    if isinstance(alpha, float):
        return sum_of_squares(*weights) * (0.5 * alpha)
    return sum_up([sum_of_squares(w) * (0.5 * a) for w, a in zip(weights, alpha)])


@composite
def l1_penalty(weights: Tensor | Iterable[Tensor], beta: float | Sequence[float]) -> Tensor:
    """β Σ |w| over all weights, or Σᵢ βᵢ Σ |Wᵢ|: adds β sign(W) to the gradient, with sign(0) = 0.

    Parameters
    ----------
    weights
        One tensor or several, e.g. `model.weights()`.
    beta
        One strength for all, or one for each.

    Examples
    --------
    >>> w = Tensor([3.0, 0.0, -2.0], requires_grad=True)
    >>> l1_penalty(w, 0.5).backward()
    >>> w.grad
    Tensor([ 0.5,  0. , -0.5])
    """
    weights, beta = check_penalty("l1_penalty", weights, beta)
    if float16 in [w._array.dtype.type for w in weights]:
        return penalty_in_float32(l1_penalty, weights, beta)
    magnitudes = [w.abs().sum() for w in weights]
    if isinstance(beta, float):
        return sum_up(magnitudes) * beta
    return sum_up([magnitude * b for magnitude, b in zip(magnitudes, beta)])


def penalty_in_float32(
    penalty: Callable[..., Tensor], weights: list[Tensor], strength: float | list[float]
) -> Tensor:
    """A penalty on weights of which some are of float16, rounded once."""
    wide = [w.astype(np.promote_types(w.dtype, np.float32)) for w in weights]
    return penalty(wide, strength).astype(np.result_type(*(w.dtype for w in weights)))


def sum_up(terms: list[Tensor]) -> Tensor:
    """The sum of tensors, from left to right."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


# --- NumPy's functions ---------------------------------------------------------------------------
# For those who prefer F.exp(x) to x.exp(), and for arguments that are no tensors yet.


def exp(x: Operand) -> Tensor:
    """eˣ, element by element."""
    return apply(np.exp, x)


def log(x: Operand) -> Tensor:
    """The natural logarithm, element by element."""
    return apply(np.log, x)


def sqrt(x: Operand) -> Tensor:
    """√x, element by element."""
    return apply(np.sqrt, x)


def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent, element by element."""
    return apply(np.tanh, x)


def abs(x: Operand) -> Tensor:
    """|x|, element by element; the derivative at 0 is 0."""
    return apply(np.abs, x)


def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x along the axis, several, or all (None); keepdims leaves size 1 there."""
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


# --- Checks, and arguments in other forms --------------------------------------------------------


def same_shape(name: str, x: Tensor, target: Operand) -> Tensor:
    """The target of a loss, of the shape and type of x."""
    y = as_float(target)
    if y.shape != x.shape:
        raise ValueError(
            f"{name}: input and target must have the same shape, not {x.shape} and {y.shape}; "
            "broadcasting them would compare every example with every other"
        )
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def target_probabilities(target: Operand, logits: Tensor) -> Tensor | Array:
    """The target of cross_entropy as rows of probabilities: indices become one-hot rows.

    It is a tensor if gradients flow into it, else a bare array.
    """
    shape = logits._array.shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(
            f"cross_entropy: the logits must be (n, classes) or (classes,), not empty, "
            f"but have shape {shape}"
        )
    labels: Array = target
    if isinstance(target, Tensor):
        labels = target._array
    elif type(target) is not np.ndarray:
        labels = own_array("cross_entropy: the target", target)
    if labels.dtype.kind == "f":
        check_probabilities(labels, shape)
        if not (isinstance(target, Tensor) and target.requires_grad):
            return labels.astype(logits.dtype)
        return target.astype(logits.dtype) if labels.dtype.type is float16 else target
    check_labels(labels, shape)
    one_hot = labels[..., None] == np.arange(shape[-1], like=logits._array)
    if np.count_nonzero(one_hot) != labels.size:
        raise ValueError(
            f"cross_entropy: class indices must be from 0 to {shape[-1] - 1}, but they go from "
            f"{labels.min()} to {labels.max()}"
        )
    return one_hot.astype(logits.dtype)


def check_probabilities(y: Array, shape: tuple[int, ...]) -> None:
    """Probabilities for logits of this shape."""
    if y.shape != shape:
        raise ValueError(
            f"cross_entropy: probabilities must have the logits' shape {shape}, not "
            f"{y.shape}; class indices must be integers, e.g. target.astype(int)"
        )
    if not np.all(y >= 0):
        raise ValueError(
            f"cross_entropy: probabilities must be 0 or more, but the least is {y.min()}"
        )


def check_labels(labels: Array, shape: tuple[int, ...]) -> None:
    """Class indices for logits of this shape."""
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


def named(x: Tensor | Array, name: str) -> Tensor:
    """A tensor with this name: a constant, unless it is one already."""
    if not isinstance(x, Tensor):
        return constant(x, name)
    x.name = name
    return x


def batch_norm_of_positions(x: Tensor, *others: Any) -> Tensor:
    """Batch norm of (n, features, …): every position is one more example."""
    last = x.swapaxes(1, -1)
    rows = last.reshape(-1, x.shape[1])
    return batch_norm(rows, *others).reshape(last.shape).swapaxes(1, -1)


def check_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[bool, float, float]:
    """The settings, of arguments that fit together."""
    shape = x._array.shape
    if len(shape) < 2:
        raise ValueError(f"batch_norm: x must be (n, features), but has shape {shape}")
    training = check_bool("batch_norm: training", training)
    momentum = check_float("batch_norm: momentum", momentum, "in [0, 1]")
    eps = check_float("batch_norm: eps", eps, "finite and 0 or more")
    for vector in (running_mean, running_var, weight, bias):
        if vector is None:
            continue
        if not isinstance(vector, Tensor):
            raise TypeError(
                f"batch_norm: statistics and parameters are tensors, not {shown(vector)}"
            )
        if vector._array.shape != shape[1:]:
            raise ValueError(
                f"batch_norm: x of shape {shape} has {shape[1]} features, but a statistic or "
                f"parameter has shape {vector.shape}"
            )
    if (running_mean is None) != (running_var is None):
        raise TypeError("batch_norm: give both running_mean and running_var, or neither")
    if shape[0] < 2 and (training or running_mean is None):
        raise ValueError(
            f"batch_norm: {shape[0]} value(s) per feature in x of shape {shape}; the variance "
            "needs at least 2: use a larger mini-batch, or eval mode with running estimates"
        )
    return training, momentum, eps


def check_mask(name: str, x: Tensor, mask: npt.ArrayLike) -> Array:
    """A mask for x: of zeros and ones, of a shape that broadcasts to x's."""
    kept = own_array(f"{name}: a mask", mask)
    if not np.all((kept == 0) | (kept == 1)):
        raise ValueError(f"{name}: a mask consists of 0 (drop) and 1 (keep)")
    pairs = zip(kept.shape[::-1], x.shape[::-1])
    if kept.ndim > x.ndim or any(m not in (1, n) for m, n in pairs):
        raise ValueError(f"{name}: a mask of shape {kept.shape} does not fit x, {x.shape}")
    return kept


def check_penalty(
    name: str, weights: Tensor | Iterable[Tensor], strength: float | Sequence[float]
) -> tuple[list[Tensor], float | list[float]]:
    """The weights as a list, and their common strength, or one for each."""
    tensors = [weights] if isinstance(weights, Tensor) else check_list(name, "weights", weights)
    for w in tensors:
        if not isinstance(w, Tensor):
            raise TypeError(f"{name}: weights are tensors, not {shown(w)}")
    what, allowed = f"{name}: strengths", "finite and 0 or more"
    if isinstance(strength, float) or not np.iterable(strength):
        return tensors, check_float(what, strength, allowed)
    strengths = [check_float(what, s, allowed) for s in strength]
    if len(strengths) != len(tensors):
        raise ValueError(
            f"{name}: {len(strengths)} strengths for {len(tensors)} weights; "
            "give one number, or one for each weight"
        )
    return tensors, strengths
