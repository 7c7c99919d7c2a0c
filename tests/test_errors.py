"""Wrong use gets an error that names the operation, the shapes or values, and the remedy.

And nothing is half done then, nor accepted in silence; what is unusual but right is no error.
"""

import ast
import re
import warnings
from copy import copy
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tinygrad_reg as tg
from tinygrad_reg import (
    Tensor,
    composite,
    detect_anomaly,
    draw,
    grad,
    gradcheck,
    init,
    nn,
    optim,
    primitives,
    scope,
    seed,
)
from tinygrad_reg import functional as F
from tinygrad_reg.random import generator
from tinygrad_reg.scope import current, program

NAN, INF = float("nan"), float("inf")
ROWS = np.ones((3, 4))
RAGGED = [[1.0], [1.0, 2.0]]
MASKED = np.ma.masked_array(ROWS, mask=np.eye(3, 4))
LABELS = np.ma.masked_array([0, 1, 2], mask=[True, False, False])
DATES = np.array(["2020-01-01"], "M8[D]")
RECORDS = np.zeros(3, [("a", float)])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    MATRIX = np.matrix(ROWS)

T = Tensor(ROWS, requires_grad=True)
LOGITS = Tensor(np.zeros((3, 4)), requires_grad=True)
V = Tensor(np.ones(4))
SGD = optim.SGD([T])
NO_PROBABILITIES = [[0.5, 0.5, 0.5, -0.5]] * 3


def assign(name, value):
    setattr(Tensor(ROWS, requires_grad=True), name, value)


def load(**state):
    nn.BatchNorm1d(4).load_state_dict(nn.BatchNorm1d(4).state_dict() | state)


class Nested(nn.Module):
    """A module that contains itself, by way of its layer."""

    def __init__(self):
        self.layer = nn.Linear(4, 3)
        self.layer.parent = self


WRONG = [
    # Tensor: types
    (lambda: Tensor(None), TypeError, "data must be real numbers or booleans, not NoneType"),
    (lambda: Tensor("a"), TypeError, "Tensor: data must be real numbers or booleans, not str"),
    (lambda: Tensor(b"a"), TypeError, "not bytes"),
    (lambda: Tensor(["a", "b"]), TypeError, "not list of dtype <U1"),
    (lambda: Tensor({"a": 1}), TypeError, "not dict"),
    (lambda: Tensor({1, 2}), TypeError, "not set"),
    (lambda: Tensor(x for x in [1, 2]), TypeError, "not generator"),
    (lambda: Tensor(len), TypeError, "not builtin_function_or_method"),
    (lambda: Tensor(nn.ReLU()), TypeError, "not ReLU"),
    (lambda: Tensor(1 + 2j), TypeError, "real numbers or booleans, not complex"),
    (lambda: Tensor(ROWS * 1j), TypeError, "not ndarray of dtype complex128"),
    (lambda: Tensor([object()]), TypeError, "not list of dtype object"),
    (lambda: Tensor(DATES), TypeError, r"not ndarray of dtype datetime64\[D\]"),
    (lambda: Tensor(RECORDS), TypeError, r"not ndarray of dtype \[\('a'"),
    (lambda: Tensor(2**70), TypeError, "not int of dtype object"),
    (lambda: Tensor(RAGGED), ValueError, "Tensor: data: no array can be made of"),
    (lambda: Tensor(MASKED), TypeError, r"data must not be masked, .*use .filled\(value\)"),
    (lambda: Tensor(list(MASKED)), TypeError, "must not be masked"),
    (lambda: Tensor(np.ma.masked), TypeError, "must not be masked"),
    (lambda: nn.Parameter("a"), TypeError, "data must be real numbers"),
    # Tensor: arguments and attributes
    (lambda: Tensor([1, 2], requires_grad=True), TypeError, "only floats .* int64.*Tensor"),
    (lambda: Tensor(1.0, 2.0), TypeError, "requires_grad must be True or False, not 2.0"),
    (lambda: Tensor(1.0, "no"), TypeError, "requires_grad must be True or False, not 'no'"),
    (lambda: Tensor(1.0, ROWS), TypeError, r"True or False, not ndarray of shape \(3, 4\)"),
    (lambda: Tensor(1.0, False, 3), TypeError, "Tensor: the name must be text, not 3"),
    (lambda: assign("data", ROWS.T), ValueError, r"shape \(4, 3\), the tensor \(3, 4\)"),
    (lambda: assign("data", MASKED), TypeError, "data: the new array must not be masked"),
    (lambda: assign("data", "a"), TypeError, "data: the new array must be real numbers"),
    (lambda: assign("data", [[1, 2, 3, 4]] * 3), TypeError, "only floats have gradients"),
    (lambda: setattr(T * 2, "data", ROWS), ValueError, "data: this tensor is the result of mult"),
    (lambda: assign("requires_grad", "no"), TypeError, "requires_grad must be True or False"),
    (lambda: setattr(T * 2, "requires_grad", False), ValueError, "use .detach.. for one that does"),
    (lambda: assign("grad", np.ones(3)), ValueError, r"grad: the gradient has shape \(3,\), the"),
    (lambda: assign("grad", "a"), TypeError, "grad: the gradient must be real numbers"),
    (lambda: T.__setitem__(0, 1), TypeError, "assignment into a tensor is impossible"),
    (lambda: copy(T * 2), TypeError, "copy: .* the result of multiply; .* copy .detach"),
    (lambda: np.array(T), TypeError, r"would lose its .*\.item\(\).*\.numpy\(\).*\.detach"),
    (lambda: T.item(), ValueError, r"item: the tensor has 12 elements, shape \(3, 4\)"),
    (lambda: len(T.sum()), TypeError, r"len: a tensor of shape \(\) has no length"),
    # Tensor: backward
    (lambda: V.backward(), RuntimeError, "backward: no gradient flows into this tensor"),
    (lambda: T.backward(), ValueError, r"backward: a tensor of shape \(3, 4\) has no single"),
    (lambda: T.backward(np.ones(4)), ValueError, r"backward: the gradient has shape \(4,\)"),
    (lambda: T.backward("a"), TypeError, "backward: the gradient must be real numbers"),
    (lambda: T.backward(MASKED), TypeError, "backward: the gradient must not be masked"),
    (lambda: T.backward(1j * ROWS), TypeError, "not ndarray of dtype complex128"),
    (lambda: T.sum().backward(create_graph="x"), TypeError, "create_graph must be True or False"),
    # Operators and NumPy's functions
    (lambda: T + np.ones(3), ValueError, r"add: shapes \(3, 4\) and \(3,\) do not broadcast"),
    (lambda: T @ T, ValueError, r"matmul: shapes \(3, 4\) and \(3, 4\) do not fit"),
    (lambda: T @ 2.0, ValueError, r"matmul: shapes \(3, 4\) and \(\) do not fit"),
    (lambda: T + "a", TypeError, "add: operands must be real numbers or booleans, not str"),
    (lambda: T * None, TypeError, "multiply: operands .* not NoneType"),
    (lambda: T - 1j, TypeError, "subtract: operands .* not complex"),
    (lambda: DATES / T, TypeError, "divide: operands .* not ndarray of dtype datetime64"),
    (lambda: T + RAGGED, ValueError, "add: operands: no array can be made of"),
    (lambda: T + 10**400, ValueError, r"add of shape \(3, 4\) and \(\): int too large"),
    (lambda: Tensor([1, 2]) ** -1, ValueError, r"power of shape \(2,\) and \(\): Integers"),
    (lambda: T * MASKED, TypeError, "multiply: operands must not be masked"),
    (lambda: MASKED * T, TypeError, "array: this tensor would lose its gradient"),
    (lambda: np.maximum(MASKED, T), TypeError, "maximum: operands must not be masked"),
    (lambda: np.where(MASKED, T, 0), TypeError, "where: operands must not be masked"),
    (lambda: T.__lt__(np.ones(3)), ValueError, r"lt of shape \(3, 4\) and \(3,\)"),
    (lambda: np.ones(3) > T, ValueError, r"greater of shape \(3,\) and \(3, 4\)"),
    (lambda: T.__eq__(np.ones(3)), ValueError, r"eq of shape \(3, 4\) and \(3,\)"),
    (lambda: T < "a", TypeError, "lt of shape"),
    (lambda: T < RAGGED, ValueError, "lt of shape"),
    (lambda: np.spacing(T), TypeError, "np.spacing has no derivative rule"),
    (lambda: np.linalg.qr(T), TypeError, "np.linalg.qr has no derivative rule"),
    (lambda: np.add(T, 1, out=ROWS), TypeError, "np.add with out= is not supported"),
    (lambda: np.sum(T, 0, None, ROWS[0]), TypeError, "np.sum with out= is not supported"),
    (lambda: np.sum(T, where=ROWS > 0), TypeError, "np.sum with where= is not supported"),
    (lambda: np.argsort(T, axis="a"), TypeError, "argsort of shape .*axis='a': 'str' object"),
    (lambda: np.isclose(T, "a"), TypeError, "isclose of shape "),
    # Axes
    (lambda: T.sum(axis=2), ValueError, r"sum of shape \(3, 4\), axis=2.*out of bounds"),
    (lambda: T.sum(axis=1.0), TypeError, r"sum of shape \(3, 4\), axis=1.0.*'float'"),
    (lambda: T.mean(axis="rows"), TypeError, r"mean of shape \(3, 4\), axis='rows'"),
    (lambda: T.max(axis=[0, 1]), TypeError, r"max of shape \(3, 4\), axis=\[0, 1\].*'list'"),
    (lambda: T.sum(axis=2**70), ValueError, r"sum of shape \(3, 4\), axis=1180591620717411303424"),
    (lambda: T.sum(0, keepdims="yes"), TypeError, "sum of shape .* keepdims='yes'"),
    (lambda: F.max(np.ones((2, 0))), ValueError, r"max of shape \(2, 0\), axis=None"),
    (lambda: T.var(ddof="a"), TypeError, "var: ddof must be a number, not 'a'"),
    (lambda: T.var(ddof=NAN), ValueError, "var: ddof must be finite, not nan"),
    (lambda: T.argmax(axis=2), ValueError, r"argmax of shape \(3, 4\), axis=2"),
    (lambda: T.transpose(0, 2), ValueError, r"transpose of shape .* axes=\(0, 2\): axis 2"),
    (lambda: T.transpose(0, 0), ValueError, r"transpose of shape \(3, 4\), axes=\(0, 0\)"),
    (lambda: T.transpose("ab"), TypeError, "transpose: axes must be whole numbers, not 'ab'"),
    (lambda: T.swapaxes(0, 3), ValueError, "swapaxes of shape .* axis2=3: axis2: axis 3"),
    (lambda: T.swapaxes(0, None), TypeError, "swapaxes of shape .* axis2=None: .NoneType"),
    (lambda: F.softmax(T, axis=2), ValueError, r"max of shape \(3, 4\), axis=2.*\(in softmax\)"),
    (lambda: F.softmax(T, axis="a"), TypeError, r"max of shape .*axis='a'.*\(in softmax\)"),
    (lambda: F.softmax(np.zeros((2, 0))), ValueError, r"max of shape \(2, 0\), axis=-1"),
    (lambda: F.logsumexp(T, 0, "yes"), TypeError, "logsumexp: keepdims must be True or False"),
    # Shapes
    (lambda: T.reshape(5), ValueError, r"reshape of shape \(3, 4\), shape=\(5,\)"),
    (lambda: T.reshape(2.5, 6), TypeError, r"reshape: sizes must be whole numbers, not \(2.5, 6\)"),
    (lambda: T.reshape(None), TypeError, "reshape: sizes must be whole numbers, not None"),
    (lambda: T.reshape("12"), TypeError, "reshape: sizes must be whole numbers, not '12'"),
    (lambda: T.reshape(-1, -1), ValueError, "reshape .*can only specify one unknown"),
    (lambda: T.reshape(2**70), ValueError, r"reshape of shape \(3, 4\), shape=\(11805"),
    (lambda: np.broadcast_to(T, (4,)), ValueError, r"to become \(4,\), each axis.* none can be"),
    (lambda: np.broadcast_to(T, (5, 5)), ValueError, r"broadcast_to of shape \(3, 4\)"),
    (lambda: np.broadcast_to(T, (2**50, 3, 4)), MemoryError, r"broadcast_to of shape \(3, 4\)"),
    (lambda: np.broadcast_to(T, None), TypeError, "broadcast_to: shape must be whole numbers"),
    (lambda: np.expand_dims(T, 4), ValueError, r"expand_dims of shape \(3, 4\), axis=4"),
    (lambda: np.expand_dims(T, 0.5), TypeError, r"expand_dims of shape \(3, 4\), axis=0.5"),
    (lambda: np.squeeze(T, 0), ValueError, r"squeeze of shape \(3, 4\), axis=0: cannot select"),
    (lambda: np.squeeze(T, "a"), TypeError, "squeeze of shape .*axis='a'"),
    (lambda: F.vdot(T, T.T), ValueError, r"vdot: shapes \(3, 4\) and \(4, 3\) differ"),
    (lambda: np.concatenate([T, T[0]]), ValueError, r"concatenate of shape \(3, 4\) and \(4,\)"),
    (lambda: F.concatenate([T, T], axis="a"), TypeError, "concatenate of shape .*axis='a'"),
    (lambda: F.concatenate([]), ValueError, "concatenate: there are no arrays to join"),
    (lambda: F.concatenate(5), TypeError, "arrays to join must come in a list, not as 5"),
    (lambda: F.concatenate([T, MASKED]), TypeError, "concatenate: operands must not be masked"),
    (lambda: F.stack([]), ValueError, "stack: there are no arrays"),
    (lambda: F.stack(None), TypeError, "stack: arrays to join must come in a list, not as None"),
    (lambda: F.stack([T, T[0]]), ValueError, r"concatenate of shape .*\(in stack\)"),
    (lambda: F.stack([T, T], axis=3), ValueError, r"expand_dims of .* axis=3: .*\(in stack\)"),
    (lambda: F.sum_of_squares(), ValueError, "sum_of_squares: there are no arrays"),
    # Types and indices
    (lambda: T.astype(complex), TypeError, "numbers or booleans, .* not complex"),
    (lambda: T.astype("number"), TypeError, "astype: dtype must be .* not 'number'"),
    (lambda: T[7], IndexError, r"getitem of shape \(3, 4\), index=7"),
    (lambda: T["a"], IndexError, "getitem of shape .* index='a'"),
    (lambda: T[0.5], IndexError, "getitem of shape .* index=0.5"),
    (lambda: T[[0.5, 1.5]], IndexError, r"getitem of shape .* index=ndarray of shape \(2,\)"),
    (lambda: T[::0], ValueError, r"getitem of shape .* index=slice\(None, None, 0\)"),
    (lambda: T[RAGGED], ValueError, "getitem: the index: no array can be"),
    (lambda: T[LABELS], TypeError, "getitem: the index must not be masked"),
    # Functions of any array
    (lambda: F.relu("a"), TypeError, r"maximum: operands must be .* not str .*\(in relu\)"),
    (lambda: F.sigmoid(None), TypeError, "Tensor: data must be real .*not NoneType"),
    (lambda: F.exp([None]), TypeError, "exp: operands must be .* not list of dtype object"),
    (lambda: F.softplus(MASKED), TypeError, "must not be masked"),
    (lambda: F.leaky_relu(T, "a"), TypeError, "negative_slope must be a number, not 'a'"),
    (lambda: F.leaky_relu(T, NAN), ValueError, "leaky_relu: negative_slope must be finite"),
    # Losses
    (lambda: F.cross_entropy(LOGITS, [0, 1]), ValueError, r"must have shape \(3,\), not \(2,\)"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 4]), ValueError, "0 to 3, but they go from 0 to 4"),
    (lambda: F.cross_entropy(LOGITS, [0, -1, 2]), ValueError, "they go from -1 to 2"),
    (lambda: F.cross_entropy(LOGITS, [0.0, 1, 2]), ValueError, "class indices must be integers"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, NAN]), ValueError, "class indices must be integers"),
    (lambda: F.cross_entropy(LOGITS, ["a", "b", "c"]), TypeError, "the target must be real num"),
    (lambda: F.cross_entropy(LOGITS, DATES), TypeError, "integer class indices or float prob"),
    (lambda: F.cross_entropy(LOGITS, [True] * 3), TypeError, "float probabilities, not bool"),
    (lambda: F.cross_entropy(LOGITS, None), TypeError, "cross_entropy: the target must be real"),
    (lambda: F.cross_entropy(LOGITS, LABELS), TypeError, "the target must not be masked"),
    (lambda: F.cross_entropy(LOGITS, MASKED / 4), TypeError, "the target must not be masked"),
    (lambda: F.cross_entropy(LOGITS, RAGGED), ValueError, "target: no array can be made of this"),
    (lambda: F.cross_entropy(LOGITS, NO_PROBABILITIES), ValueError, "but the least is -0.5"),
    (lambda: F.cross_entropy(LOGITS, NAN * ROWS), ValueError, "0 or more, but the least is nan"),
    (lambda: F.cross_entropy(V, [0, 1]), ValueError, r"must have shape \(\), not \(2,\)"),
    (lambda: F.cross_entropy(T.sum(), 0), ValueError, r"\(n, classes\).*shape \(\)"),
    (lambda: F.cross_entropy(np.ones((0, 3)), []), ValueError, "not empty"),
    (lambda: F.cross_entropy("a", [0]), TypeError, r"not str of dtype <U1 \(in cross_entropy\)"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], "average"), ValueError, "or .none., not 'average'"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], None), ValueError, "cross_entropy: reduction must"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], ROWS), ValueError, "not ndarray of shape"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], label_smoothing=2), ValueError, r"in \[0, 1\].* 2"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], label_smoothing=NAN), ValueError, "not nan"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], label_smoothing="0.1"), TypeError, "not '0.1'"),
    (lambda: F.mse_loss(T, np.ones(4)), ValueError, r"same shape, not \(3, 4\) and \(4,\)"),
    (lambda: F.mse_loss(T, MASKED), TypeError, r"must not be masked"),
    (lambda: F.mse_loss(T, "a"), TypeError, r"not str of dtype <U1 \(in mse_loss\)"),
    (lambda: F.mse_loss(T, ROWS, None), ValueError, "mse_loss: reduction must be .* not None"),
    (lambda: F.hinge_loss(T, np.zeros((3, 4))), ValueError, "consist of -1 and 1"),
    (lambda: F.hinge_loss(T, NAN * ROWS), ValueError, "consist of -1 and 1"),
    (lambda: F.hinge_loss(T, 2 * np.ones((3, 4))), ValueError, "consist of -1 and 1"),
    (lambda: F.hinge_loss(T, ROWS, 1), ValueError, "hinge_loss: reduction must be .* not 1"),
    (lambda: F.binary_cross_entropy_with_logits(T, 2 * ROWS), ValueError, r"in \[0, 1\]"),
    (lambda: F.binary_cross_entropy_with_logits(T, NAN * ROWS), ValueError, r"in \[0, 1\]"),
    # Layers
    (lambda: F.linear(T, np.ones((3, 4))), ValueError, r"matmul: .*do not fit.*\(in linear\)"),
    (lambda: F.linear(T, np.ones((4, 2)), np.ones(3)), ValueError, r"add: .*\(in linear\)"),
    (lambda: F.linear(T, None), TypeError, "matmul: operands .* not NoneType"),
    (lambda: F.batch_norm(T, np.zeros(4), np.ones(4)), TypeError, "are tensors, not ndarray"),
    (lambda: F.batch_norm(T, V, None), TypeError, "both running_mean and running_var, or neither"),
    (lambda: F.batch_norm(T, None, None, np.ones(5) * Tensor(1.0)), ValueError, r"shape \(5,\)"),
    (lambda: F.l1_penalty(T, [1.0, 2.0]), ValueError, "2 strengths for 1 weights"),
    (lambda: F.binary_cross_entropy_with_logits(T, -ROWS / 2), ValueError, r"in \[0, 1\]"),
    (lambda: F.batch_norm(T, None, None, V[:3]), ValueError, r"or parameter has shape \(3,\)"),
    (lambda: F.batch_norm(T, None, V), TypeError, "both running_mean and running_var, or neither"),
    (lambda: F.batch_norm(T, V, V, 1.0), TypeError, "parameters are tensors, not 1.0"),
    (lambda: F.batch_norm(T[:1], None, None, training=True), ValueError, "at least 2: use"),
    (lambda: F.batch_norm(T[0], None, None, training=True), ValueError, r"must be \(n, features\)"),
    (lambda: F.batch_norm(T, None, None, momentum=NAN), ValueError, r"momentum must be in \[0"),
    (lambda: F.batch_norm(T, None, None, momentum=None), TypeError, "momentum must be a number"),
    (lambda: F.batch_norm(T, None, None, momentum=V), TypeError, r"not Tensor of shape \(4,\)"),
    (lambda: F.batch_norm(T, None, None, eps=NAN), ValueError, "eps must be finite and 0 or more"),
    (lambda: F.batch_norm(T, None, None, eps=-1e-5), ValueError, "batch_norm: eps .*not -1e-05"),
    (lambda: F.batch_norm(T, None, None, eps="1e-5"), TypeError, "eps must be a number"),
    (lambda: F.batch_norm(T, None, None, training="x"), TypeError, "training must be True or"),
    (lambda: F.dropout(T, 1.0), ValueError, r"dropout: p, the probability of dropping.*not 1.0"),
    (lambda: F.dropout(T, -0.1), ValueError, "not -0.1"),
    (lambda: F.dropout(T, NAN), ValueError, r"in \[0, 1\), not nan"),
    (lambda: F.dropout(T, "0.5"), TypeError, "must be a number, not '0.5'"),
    (lambda: F.dropout(T, np.full(4, 0.5)), TypeError, r"a number, not ndarray of shape \(4,\)"),
    (lambda: F.dropout(T, 0.5, "vanilla"), TypeError, "dropout: training must be True or False"),
    (lambda: F.dropout(T, mode="upside down"), ValueError, "dropout: mode must be .inverted. or"),
    (lambda: F.dropout(T, mode=None), ValueError, "mode must be .* not None"),
    (lambda: F.dropout(T, rng=0), TypeError, "rng must be a numpy.random.Generator.* not 0"),
    (lambda: F.dropout(T, rng=np.random), TypeError, "not module"),
    (lambda: F.dropout(T, mask=[0.5] * 4), ValueError, r"a mask consists of 0 \(drop\)"),
    (lambda: F.dropout(T, mask=[2] * 4), ValueError, r"a mask consists of 0 \(drop\)"),
    (lambda: F.dropout(T, mask=[1, 0]), ValueError, r"a mask of shape \(2,\) does not fit x"),
    (lambda: F.dropout(T[0], mask=np.ones((3, 4))), ValueError, "does not fit x"),
    (lambda: F.dropout(T, mask=MASKED), TypeError, "dropout: a mask must not be masked"),
    (lambda: F.dropout(T, mask=1 + 0j * ROWS), TypeError, "a mask must be real .* complex128"),
    (lambda: F.dropout(T, mask="a"), TypeError, "dropout: a mask must be real numbers"),
    (lambda: F.dropconnect(T, 1.5), ValueError, "dropconnect: p"),
    (lambda: F.dropconnect(T, 0.5, None), TypeError, "dropconnect: training must be True or Fal"),
    # Penalties
    (lambda: F.l2_penalty(T, -1.0), ValueError, "strengths must be finite and 0 or more, not -1"),
    (lambda: F.l2_penalty(T, NAN), ValueError, "l2_penalty: strengths must be finite .*not nan"),
    (lambda: F.l1_penalty(T, INF), ValueError, "l1_penalty: strengths must be finite .*not inf"),
    (lambda: F.l1_penalty(T, "a"), TypeError, "strengths must be a number, not 'a'"),
    (lambda: F.l1_penalty(T, None), TypeError, "strengths must be a number, not None"),
    (lambda: F.l1_penalty(T, T.sum()), TypeError, "strengths must be a number, not Tensor"),
    (lambda: F.l1_penalty([T, T], [1.0]), ValueError, "1 strengths for 2 weights"),
    (lambda: F.l1_penalty([T, T], [1.0, NAN]), ValueError, "strengths must be finite"),
    (lambda: F.l2_penalty([], 1.0), ValueError, "l2_penalty: there are no weights"),
    (lambda: F.l2_penalty(3.0, 1.0), TypeError, "weights must come in a list, not as 3.0"),
    (lambda: F.l2_penalty(ROWS, 1.0), TypeError, r"are tensors, not ndarray of shape \(4,\)"),
    (lambda: F.l1_penalty([T, 2.0], 1.0), TypeError, "l1_penalty: weights are tensors, not 2.0"),
    (lambda: F.l2_penalty(nn.Linear(4, 3), 1.0), TypeError, "in a list, not as Linear"),
    # Modules
    (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features must be 1 or more, not 0"),
    (lambda: nn.Linear(3, -2), ValueError, "Linear: out_features must be 1 or more, not -2"),
    (lambda: nn.Linear(2.5, 3), TypeError, "in_features must be a whole number, not 2.5"),
    (lambda: nn.Linear("3", 2), TypeError, "in_features must be a whole number, not '3'"),
    (lambda: nn.Linear((3, 2), 2), TypeError, r"a whole number, not \(3, 2\)"),
    (lambda: nn.Linear(2**60, 2**60), ValueError, "lecun_normal of shape .*array is too big"),
    (lambda: nn.Linear(2**50, 1), MemoryError, "lecun_normal of shape .*Unable to allocate"),
    (lambda: nn.Linear(3, 2, np.float32), TypeError, "bias must be .* not the class float32"),
    (lambda: nn.Linear(3, 2, init="he"), TypeError, "init must be a function, not 'he'"),
    (lambda: nn.Linear(3, 2, init=lambda *_, **__: None), TypeError, "data must be .* not NoneTyp"),
    (lambda: nn.Linear(3, 2, rng=7), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: nn.Linear(3, 2, dtype=int), TypeError, "dtype must be a float type.*not int64"),
    (lambda: nn.Linear(3, 2, dtype=None), TypeError, "dtype must be a float type.*not None"),
    (lambda: nn.Linear(3, 2, dtype="f9"), TypeError, "dtype must be a float type.*not 'f9'"),
    (lambda: nn.Linear(3, 2)(T), ValueError, r"matmul: .*\(3, 4\) and \(3, 2\).*\(in Linear/lin"),
    (lambda: nn.Linear(4, 2)(MASKED), TypeError, "must not be masked"),
    (lambda: nn.DropConnectLinear(3, 2, p=-1), ValueError, "DropConnectLinear: p"),
    (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features must be 1 or more, not 0"),
    (lambda: nn.BatchNorm1d(3.0), TypeError, "num_features must be a whole number, not 3.0"),
    (lambda: nn.BatchNorm1d(2**50), MemoryError, "zeros of shape .*Unable to allocate"),
    (lambda: nn.BatchNorm1d(3, eps=-1), ValueError, "BatchNorm1d: eps must be finite and 0 or"),
    (lambda: nn.BatchNorm1d(3, eps=NAN), ValueError, "eps must be .* not nan"),
    (lambda: nn.BatchNorm1d(3, momentum=1.1), ValueError, r"momentum must be in \[0, 1\], not 1.1"),
    (lambda: nn.BatchNorm1d(3, momentum=None), TypeError, "momentum must be a number, not None"),
    (lambda: nn.BatchNorm1d(3, affine="no"), TypeError, "affine must be True or False, not 'no'"),
    (lambda: nn.BatchNorm1d(3, dtype=bool), TypeError, "dtype must be a float type.*not bool"),
    (lambda: nn.BatchNorm1d(3)(T), ValueError, r"has 4 features.*shape \(3,\)"),
    (lambda: nn.Dropout(1.0), ValueError, "Dropout: p"),
    (lambda: nn.Dropout(None), TypeError, "Dropout: p must be a number, not None"),
    (lambda: nn.Dropout(0.5, "vanila"), ValueError, "Dropout: mode must be .* not 'vanila'"),
    (lambda: nn.Dropout(0.5, rng=7), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: nn.Sequential(nn.ReLU(), F.relu), TypeError, "element 1 is function, not a module"),
    (lambda: nn.Sequential(nn.ReLU), TypeError, r"element 0 is the class ReLU, not.*nn.ReLU\(\)"),
    (lambda: nn.Sequential([nn.ReLU()]), TypeError, r"element 0 is \[ReLU\(\)\], not a module"),
    (lambda: nn.Sequential(nn.ReLU())[1], IndexError, r"Sequential\[1\] of 1 modules"),
    (lambda: nn.Module()(T), NotImplementedError, "Module must define forward"),
    (lambda: nn.ReLU().train("eval"), TypeError, "ReLU.train: mode must be .* not 'eval'"),
    (lambda: nn.ReLU().train(nn.ReLU()), TypeError, "mode must be True or False, not ReLU"),
    (lambda: nn.Linear(3, 2).astype(int), TypeError, "Linear.astype: dtype .*not int64"),
    (lambda: nn.Linear(3, 2).astype(None), TypeError, "dtype must be a float type.*not None"),
    (lambda: Nested().state_dict(), ValueError, "Nested: the module at 'layer.parent' contains"),
    (lambda: Nested().train(), ValueError, "contains itself"),
    (lambda: Nested().astype(float), ValueError, "contains itself"),
    (lambda: list(Nested().parameters()), ValueError, "contains itself"),
    (lambda: nn.ReLU().load_state_dict(None), TypeError, "the state is a dictionary.* not None"),
    (lambda: nn.ReLU().load_state_dict({"a": 1}), KeyError, r"unexpected \['a'\]"),
    (lambda: load(weight=MASKED[0]), TypeError, "load_state_dict: weight must not be masked"),
    (lambda: load(weight=RAGGED), ValueError, "weight: no array can be made of this"),
    (lambda: load(weight=1j * np.ones(4)), ValueError, "weight is complex128 .* nothing was"),
    (lambda: load(weight=np.ones(3)), ValueError, r"weight is float64 of shape \(3,\), but must"),
    # Initial weights
    (lambda: init.zeros(None), TypeError, "zeros: shape must be whole numbers, not None"),
    (lambda: init.he_normal((3.0, 2)), TypeError, r"he_normal: shape .* not \(3.0, 2\)"),
    (lambda: init.he_normal((0, 3)), ValueError, r"shape must be \(fan_in, fan_out\), not \(0, 3"),
    (lambda: init.xavier_uniform(()), ValueError, r"xavier_uniform: shape .* not \(\)"),
    (lambda: init.lecun_normal((2**50, 1)), MemoryError, "lecun_normal of shape .*Unable to alloc"),
    (lambda: init.zeros((2**70, 1)), ValueError, "zeros of shape .*Maximum allowed dimension"),
    (lambda: init.lecun_normal((3, 2), 7), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: init.zeros((3, 2), dtype=int), TypeError, "zeros: dtype must be a float type"),
    # Optimizers and schedules
    (lambda: optim.SGD([]), ValueError, "no parameters to train"),
    (lambda: optim.SGD(None), TypeError, "parameters to train must come in a list, not as None"),
    (lambda: optim.SGD(nn.Linear(4, 3)), TypeError, "must come in a list, not as Linear"),
    (lambda: optim.SGD([Tensor([1.0])]), TypeError, "requires_grad=True, not Tensor"),
    (lambda: optim.Adam([T * 2]), TypeError, "only tensors made with requires_grad=True"),
    (lambda: optim.Adam([{}]), TypeError, r"requires_grad=True, not \{\}"),
    (lambda: optim.SGD([T], lr=-1), ValueError, "lr must be finite and 0 or more, not -1"),
    (lambda: optim.SGD([T], lr=NAN), ValueError, "optimizer: lr must be .* not nan"),
    (lambda: optim.SGD([T], lr=INF), ValueError, "lr must be .* not inf"),
    (lambda: optim.SGD([T], lr="0.1"), TypeError, "lr must be a number, not '0.1'"),
    (lambda: optim.SGD([T], lr=None), TypeError, "lr must be a number, not None"),
    (lambda: optim.SGD([T], lr=10**400), ValueError, "lr must be finite"),
    (lambda: optim.SGD([T], momentum=1.0), ValueError, r"momentum must be in \[0, 1\), not 1.0"),
    (lambda: optim.SGD([T], momentum=NAN), ValueError, r"momentum must be in \[0, 1\), not nan"),
    (lambda: optim.SGD([T], nesterov=True), ValueError, "nesterov needs a momentum"),
    (lambda: optim.SGD([T], nesterov="x"), TypeError, "nesterov must be True or False, not 'x'"),
    (lambda: optim.SGD([T], weight_decay=NAN), ValueError, "weight_decay must be"),
    (lambda: optim.Adam([T], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be in"),
    (lambda: optim.Adam([T], betas=0.9), TypeError, "betas must be two numbers, not 0.9"),
    (lambda: optim.Adam([T], betas=(0.9,)), TypeError, r"betas must be two numbers, not \(0.9,\)"),
    (lambda: optim.AdamW([T], eps=NAN), ValueError, "eps must be finite"),
    (lambda: optim.StepLR(SGD, 0), ValueError, "step_size must be 1 or more"),
    (lambda: optim.StepLR(SGD, 1.5), TypeError, "step_size must be a whole number, not 1.5"),
    (lambda: optim.StepLR(SGD, 1, NAN), ValueError, "gamma must be finite"),
    (lambda: optim.StepLR(T, 1), TypeError, r"StepLR: Tensor of shape \(3, 4\) is not an optim"),
    (lambda: optim.CosineAnnealingLR(SGD, 0), ValueError, "T_max must be 1 or more"),
    (lambda: optim.CosineAnnealingLR(SGD, NAN), TypeError, "T_max must be a whole number, not nan"),
    (lambda: optim.CosineAnnealingLR(SGD, 9, -1), ValueError, "eta_min must be .* not -1"),
    # Gradients of functions
    (lambda: grad(None), TypeError, "grad: what to differentiate must be a function, not None"),
    (lambda: grad(np.tanh, "x"), TypeError, "grad: argnum must be whole numbers, not 'x'"),
    (lambda: grad(np.tanh, ()), ValueError, "argnum is an empty tuple"),
    (lambda: grad(np.tanh, 1)(2.0), ValueError, "no argument 1 among 1"),
    (lambda: grad(np.tanh)("a"), TypeError, "data must be real numbers .* not str"),
    (lambda: grad(np.tanh)(10**400), ValueError, "grad: an argument must be finite"),
    (lambda: grad(np.tanh)(ROWS), ValueError, r"returned a tensor of shape \(3, 4\)"),
    (lambda: grad(lambda x: x.item())(1.0), TypeError, "grad: the function returned float"),
    (lambda: gradcheck(None, ROWS), TypeError, "gradcheck: f must be a function, not None"),
    (lambda: gradcheck(np.tanh, []), ValueError, "gradcheck: there are no inputs"),
    (lambda: gradcheck(np.tanh, None), TypeError, "gradcheck: input 0 must be real numbers"),
    (lambda: gradcheck(np.tanh, MASKED), TypeError, "gradcheck: input 0 must not be masked"),
    (lambda: gradcheck(np.tanh, NAN), ValueError, "gradcheck: input 0 has NaN or infinity"),
    (lambda: gradcheck(np.tanh, np.float32(1)), TypeError, "input 0 is float32, but must be"),
    (lambda: gradcheck(np.isnan, ROWS), TypeError, "gradcheck: f returned ndarray"),
    (lambda: gradcheck(np.tanh, ROWS, 0), ValueError, "order must be 1 or more"),
    (lambda: gradcheck(np.tanh, ROWS, 1.5), TypeError, "order must be a whole number, not 1.5"),
    (lambda: gradcheck(np.tanh, ROWS, eps=0), ValueError, "eps must be finite and above 0, not 0"),
    (lambda: gradcheck(np.tanh, ROWS, eps="a"), TypeError, "eps must be a number, not 'a'"),
    (lambda: gradcheck(np.tanh, ROWS, rtol=NAN), ValueError, "rtol must be finite and 0 or more"),
    (lambda: gradcheck(np.tanh, ROWS, atol=-1), ValueError, "atol must be finite and 0 or more"),
    (lambda: gradcheck(np.tanh, ROWS, rng=0), TypeError, "rng must be a numpy.random.Generator"),
    # Pictures, scopes, chance
    (lambda: draw("a"), TypeError, "draw: only tensors have graphs, not str"),
    (lambda: draw(T).save(None), TypeError, "the name of a file must be text or a path, not None"),
    (lambda: draw(T).save(b"x.svg"), TypeError, "must be text or a path, not b'x.svg'"),
    (lambda: draw(T).save("x.gif"), ValueError, "the name 'x.gif' must end in one of"),
    (lambda: scope(3), TypeError, "scope: the name must be text, not int"),
    (lambda: composite("x"), TypeError, "composite: this decorates functions, not str"),
    (lambda: generator(np.random), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: seed("a"), TypeError, "seed: n must be a whole number, not 'a'"),
    (lambda: seed(1.0), TypeError, "seed: n must be a whole number, not 1.0"),
    (lambda: seed(-1), ValueError, "seed: n must be 0 or more, not -1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_wrong_use_gets_a_clear_error(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
    assert current.get() is program


def test_an_initialiser_must_give_the_shape_asked_for_and_gets_its_type():
    assert nn.Linear(3, 2, init=init.zeros).weight.shape == (3, 2)
    with pytest.raises(ValueError, match=r"init gave shape \(2, 3\), not \(3, 2\)"):
        nn.Linear(3, 2, init=lambda shape, rng, dtype: np.zeros(shape[::-1], dtype))
    ours = nn.Linear(3, 2, init=lambda shape, rng, dtype: np.eye(*shape))
    assert ours.weight.dtype == np.float32


def test_a_module_that_contains_itself_can_still_be_looked_at():
    assert repr(Nested()) == "Nested(\n  (layer): Linear(4, 3, bias=True\n    (parent): …\n  )\n)"


def test_the_package_asserts_nothing():
    package = Path(tg.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert not lines, f"{path} has bare asserts in lines {lines}; python -O drops them"


# --- Nothing is half done ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"bias": Tensor(np.ones(3))},
        {"running_var": None},
        {"momentum": "a"},
        {"momentum": NAN},
        {"eps": NAN},
        {"training": "yes"},
    ],
)
def test_a_refused_batch_norm_moves_no_statistics(wrong):
    mean, var = Tensor(np.zeros(4)), Tensor(np.ones(4))
    arguments = {"running_mean": mean, "running_var": var, "weight": V, "bias": V}
    with pytest.raises((TypeError, ValueError)):
        F.batch_norm(ROWS, **arguments | {"training": True} | wrong)
    assert np.all(mean.data == 0)
    assert np.all(var.data == 1)


def test_statistics_do_not_move_if_the_last_step_of_batch_norm_fails():
    layer = nn.BatchNorm1d(4, dtype=float)
    layer.weight.data = [1.0, 1.0, 1.0, INF]
    with pytest.raises(tg.AnomalyError), detect_anomaly():
        layer(np.arange(12.0).reshape(3, 4))
    assert np.all(layer.running_mean.data == 0)


def test_a_refused_call_draws_no_random_numbers():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    for call in (
        lambda: F.dropout(T, 2.0, rng=rng),
        lambda: F.dropout(T, 0.5, True, "neither", rng),
        lambda: F.dropconnect(T, 0.5, "yes", rng),
        lambda: nn.Linear(4, 3, "yes", rng=rng),
        lambda: nn.Linear(4, 3, dtype=int, rng=rng),
        lambda: nn.DropConnectLinear(4, 3, 1.0, rng=rng),
        lambda: init.he_normal((4, 3), rng, int),
        lambda: gradcheck(np.tanh, ROWS.astype(int), rng=rng),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
    assert rng.bit_generator.state == before


def test_a_refused_seed_leaves_the_default_generator_alone():
    seed(3)
    before = generator().bit_generator.state
    with pytest.raises(TypeError):
        seed(3.0)
    assert generator().bit_generator.state == before


def test_a_model_that_cannot_change_its_type_stays_as_it_is():
    model = nn.Sequential(nn.Linear(4, 3, rng=np.random.default_rng(0)), nn.BatchNorm1d(3))
    model[1].running_var.data = np.full(3, 1e30)
    with pytest.raises(RuntimeWarning, match="overflow"):  # in tests, warnings are errors
        model.astype(np.float16)
    assert {array.dtype.name for array in model.state_dict().values()} == {"float32"}


def test_a_model_that_contains_itself_does_not_change_its_mode():
    model = Nested()
    with pytest.raises(ValueError, match="contains itself"):
        model.eval()
    assert model.training
    assert model.layer.training


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_that_fails_leaves_every_gradient_as_it_was(monkeypatch, create_graph):
    def fails(g, out, x):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setitem(primitives.table, np.tanh, (fails,))
    x = Tensor(np.ones(3), requires_grad=True)
    early = np.tanh(x)
    y = Tensor(np.ones(3), requires_grad=True)  # newer than tanh, so its turn comes before
    (2 * y).sum().backward()
    with pytest.raises(ZeroDivisionError):
        (y * y + early).sum().backward(create_graph=create_graph)
    assert x.grad is None
    np.testing.assert_array_equal(y.grad.data, [2, 2, 2])
    assert current.get() is program


def test_refused_assignments_leave_a_tensor_as_it_was():
    x = Tensor(ROWS, requires_grad=True)
    x.sum().backward()
    gradient = x.grad
    for name, value in (("data", np.ones(3)), ("grad", np.ones(3)), ("requires_grad", "no")):
        with pytest.raises((TypeError, ValueError)):
            setattr(x, name, value)
    np.testing.assert_array_equal(x.data, ROWS)
    assert x.grad is gradient
    assert x.requires_grad


# --- What is unusual, and right ------------------------------------------------------------------


def test_read_only_arrays_are_as_good_as_others():
    x, labels = np.array(ROWS), np.array([0, 1, 2])
    x.flags.writeable = labels.flags.writeable = False
    t = Tensor(x, requires_grad=True)
    t.data = x
    (t * x + x).backward(x)
    t.grad = x
    F.cross_entropy(t, labels)
    F.cross_entropy(x, x / 4)
    F.dropout(t, mask=x)
    t[labels].sum().backward()
    gradcheck(np.tanh, x)
    layer = nn.Linear(3, 4, bias=False)
    layer.load_state_dict({"weight": x})
    np.testing.assert_array_equal(layer.weight.data, x)
    x.flags.writeable = True  # nobody has closed it for good


def test_numbers_of_all_kinds_may_be_settings():
    for p in (0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), Fraction(1, 2)):
        assert nn.Dropout(p).p == 0.5
        assert type(nn.Dropout(p).p) is float
    for n in (3, np.int8(3), np.uint64(3), np.array(3)):
        assert nn.Linear(n, n).weight.shape == (3, 3)
        assert type(nn.Linear(n, n).in_features) is int
    for yes in (True, 1, np.True_):
        assert nn.ReLU().train(yes).training is True


def test_nan_in_data_is_data():
    x = Tensor([[NAN, 1.0], [0.0, 1.0]], requires_grad=True)
    for loss in (F.mse_loss(x, x.data), F.cross_entropy(x, [0, 1]), F.l2_penalty(x, 0.1)):
        assert np.isnan(loss.item())


def test_a_gradient_may_be_given_by_hand():
    p = Tensor(np.ones(3, np.float32), requires_grad=True)
    p.grad = [1, 2, 3]
    assert p.grad.dtype == np.float32
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.data, [0, -1, -2])


# --- All calls with all values -------------------------------------------------------------------

# Each • is replaced by each of the values; the name that every message must contain is the function
# around it, or what stands in front of a colon.
CALLS = """
Tensor(•)   Tensor(1.0, •)   Tensor(1.0, False, •)   Tensor: nn.Parameter(•)
data: setattr(x, "data", •)   grad: setattr(x, "grad", •)
requires_grad: setattr(x, "requires_grad", •)
x.backward(•)   backward: x.sum().backward(create_graph=•)
add: x + •   add|conversion: • + x   subtract: x - •   multiply|conversion: • * x   power: x ** •
matmul: x @ •   matmul: • @ x   lt: x < •   eq: x == •
x.sum(•)   x.sum(0, keepdims=•)   x.max(•)   x.min(•)   mean|sum: x.mean(•)   var|sum: x.var(•)
var: x.var(ddof=•)   x.argmax(•)   x.reshape(•)   x.reshape(•, 4)   x.transpose(•)
x.transpose(0, •)   x.swapaxes(0, •)   x.astype(•)   getitem: x[•]   getitem: x[0, •]
np.add(x, •)   np.where(•, x, 0)   np.where(x > 0, •, x)   np.maximum(•, x)   np.isclose(x, •)
np.argsort(x, •)   np.vdot(x, •)   np.power(•, x)
F.abs(•)   F.exp(•)   F.log(•)   F.sqrt(•)   F.tanh(•)   F.sum(•)   F.max(•)   F.min(•)   F.mean(•)
F.var(•)   F.relu(•)   F.leaky_relu(•)   F.sigmoid(•)   F.softplus(•)   F.softmax(•)
F.log_softmax(•)   F.logsumexp(•)   F.transpose(•)   F.squeeze(•)   F.where(•, x, 0)
F.minimum(•, x)   F.vdot(•, x)   F.sum_of_squares(x, •)   F.concatenate(•)   F.concatenate([x, •])
F.concatenate([x, x], •)   F.stack(•)   F.stack([x, •])   F.stack([x, x], •)
F.reshape(x, •)   F.broadcast_to(x, •)   F.expand_dims(x, •)   F.squeeze(x, •)   F.transpose(x, •)
F.leaky_relu(x, •)   F.softmax(x, •)   F.log_softmax(x, •)   F.logsumexp(x, •)
F.logsumexp(x, 0, •)
F.cross_entropy(•, [0, 1, 2])   F.cross_entropy(x, •)   F.cross_entropy(x, [0, 1, 2], •)
F.cross_entropy(x, [0, 1, 2], "sum", •)
F.binary_cross_entropy_with_logits(•, ROWS)   F.binary_cross_entropy_with_logits(x, •)
F.mse_loss(•, ROWS)   F.mse_loss(x, •)   F.mse_loss(x, ROWS, •)
F.hinge_loss(•, ROWS)   F.hinge_loss(x, •)   F.hinge_loss(x, ROWS, •)
F.linear(•, ROWS)   F.linear(x, •)   F.linear(x, ROWS.T, •)
F.batch_norm(•, None, None)   F.batch_norm(x, •, v)   F.batch_norm(x, v, •)
F.batch_norm(x, v, v, •)   F.batch_norm(x, v, v, v, •)   F.batch_norm(x, v, v, v, v, •)
F.batch_norm(x, v, v, v, v, True, •)   F.batch_norm(x, v, v, v, v, True, 0.1, •)
F.dropout(•)   F.dropout(x, •)   F.dropout(x, 0.5, •)   F.dropout(x, 0.5, True, •)
F.dropout(x, rng=•)   F.dropout(x, mask=•)   F.dropconnect(•)   F.dropconnect(x, •)
F.dropconnect(x, 0.5, •)   F.dropconnect(x, rng=•)   F.dropconnect(x, mask=•)
F.l1_penalty(•, 0.1)   F.l1_penalty([x, •], 0.1)   F.l1_penalty(x, •)   F.l1_penalty([x, x], [1, •])
F.l2_penalty(•, 0.1)   F.l2_penalty([x, •], 0.1)   F.l2_penalty(x, •)
normal|in_features: nn.Linear(•, 3)   normal|out_features: nn.Linear(4, •)   nn.Linear(4, 3, •)
nn.Linear(4, 3, init=lambda *_, **__: •)   rng: nn.Linear(4, 3, rng=•)   nn.Linear(4, 3, dtype=•)
Linear: nn.Linear(4, 3)(•)   normal|in_features: nn.DropConnectLinear(•, 3)
nn.DropConnectLinear(4, 3, •)   DropConnect: nn.DropConnectLinear(4, 3)(•)
zeros|num_features: nn.BatchNorm1d(•)   nn.BatchNorm1d(4, •)   nn.BatchNorm1d(4, 1e-5, •)
nn.BatchNorm1d(4, affine=•)   nn.BatchNorm1d(4, dtype=•)   norm: nn.BatchNorm1d(4)(•)
nn.Dropout(•)   nn.Dropout(0.5, •)   rng: nn.Dropout(0.5, rng=•)   Dropout: nn.Dropout()(•)
ReLU: nn.ReLU()(•)   tanh: nn.Tanh()(•)   Sigmoid: nn.Sigmoid()(•)   nn.Sequential(•)
Sequential: nn.Sequential(nn.ReLU())[•]   nn.ReLU().train(•)   nn.Linear(4, 3).astype(•)
nn.ReLU().load_state_dict(•)   weight: load(weight=•)
init.lecun_normal(•)   init.he_normal(•)   init.xavier_uniform(•)   init.zeros(•)
rng: init.zeros((4, 3), •)   init.zeros((4, 3), dtype=•)   init.he_normal((4, 3), dtype=•)
optimizer: optim.SGD(•)   optimizer: optim.SGD([x, •])   optimizer: optim.SGD([x], •)
optimizer: optim.SGD([x], 0.1, •)   optim.SGD([x], 0.1, 0.9, •)
optimizer: optim.SGD([x], weight_decay=•)   optimizer: optim.Adam([x], betas=•)
optimizer: optim.Adam([x], betas=(0.9, •))   optimizer: optim.AdamW([x], eps=•)
optim.StepLR(•, 3)   optim.StepLR(SGD, •)   optimizer: optim.StepLR(SGD, 3, •)
optim.CosineAnnealingLR(•, 3)   optim.CosineAnnealingLR(SGD, •)
optimizer: optim.CosineAnnealingLR(SGD, 3, •)
grad(•)   grad: tg.value_and_grad(•)   grad: grad(np.tanh, •)(1.0)   grad: grad(np.sum)(•)
grad: grad(lambda x: •)(1.0)   gradcheck|Sequential: gradcheck(•, ROWS)
gradcheck(np.tanh, [•], 1)   gradcheck: gradcheck(lambda x: •, ROWS)
rtol: gradcheck(np.tanh, ROWS, 1, rtol=•)   rng: gradcheck(np.tanh, ROWS, 1, rng=•)
draw(•)   draw: draw(x).save(•)   scope(•)   composite(•)   rng: generator(•)   seed(•)
"""

VALUES = [
    None, True, 0, -1, 2**60, 10**400, 2.5, NAN, INF, np.float32(0.5), 1 + 2j, "a", "0.5", b"a",
    object(), len, nn.ReLU(), nn.Sequential, ..., slice(1, 2), {}, {"a": 1}, {1, 2}, [], (),
    ["a", "b"], [None], RAGGED, [MASKED], range(3), (2**50, 3, 4), (1.5, 2), iter(()),
    np.zeros(0), np.zeros((0, 4)), np.ones(5), np.ones((3, 4, 5)), np.full((3, 4), NAN), MATRIX,
    MASKED, np.ma.masked, np.array([object()]), np.array(["a"]), 1j * ROWS, DATES, RECORDS,
    np.ones((3, 4), np.float16), Tensor([0, 1, 2]), V[:3], Tensor(np.ones(5), requires_grad=True),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", re.split(r"\s{3,}|\n", CALLS.strip()))
def test_all_calls_take_all_values_or_say_what_is_wrong(line):
    name, code = re.fullmatch(r"(?:([\w|]+): )?(.*)", line).groups()
    name = name or re.search(r"(\w+)\([^()]*(?:\([^()]*\)[^()]*)*•", code).group(1)
    call = eval(f"lambda x, v, value: {code.replace('•', 'value')}")
    for value in VALUES:
        try:
            call(Tensor(ROWS, requires_grad=True), Tensor(np.ones(4)), value)
        except Exception as error:
            raised = error
        else:
            continue
        about = f"{line} for {value!r}: {raised!r}"
        assert isinstance(raised, (TypeError, ValueError, LookupError, MemoryError)), about
        assert re.search(f"{name}|Tensor: data", str(raised)), about


def test_no_public_function_is_missing_from_these_calls():
    public = {*F.__all__, *nn.__all__, *init.__all__, *optim.__all__}
    abstract = {"Initializer", "Module", "Optimizer"}
    assert public - abstract <= set(re.findall(r"\w+", CALLS))
