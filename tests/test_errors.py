"""Wrong use gets an error that names the operation, the shapes or values, and the remedy."""

import numpy as np
import pytest

from tinygrad_reg import Tensor, init, nn, optim, seed
from tinygrad_reg import functional as F
from tinygrad_reg.random import generator

T = Tensor(np.ones((3, 4)), requires_grad=True)
LOGITS = Tensor(np.zeros((3, 4)), requires_grad=True)

WRONG = [
    (lambda: T + np.ones(3), ValueError, r"add: shapes \(3, 4\) and \(3,\) do not broadcast"),
    (lambda: T @ T, ValueError, r"matmul: shapes \(3, 4\) and \(3, 4\) do not fit"),
    (lambda: T @ 2.0, ValueError, r"matmul: shapes \(3, 4\) and \(\) do not fit"),
    (lambda: T.reshape(5), ValueError, r"reshape of shape \(3, 4\), shape=\(5,\)"),
    (lambda: T.sum(axis=2), ValueError, r"sum of shape \(3, 4\), axis=2.*out of bounds"),
    (lambda: T.transpose(0, 2), ValueError, "transpose: axis 2 does not exist with 2 dimensions"),
    (lambda: T.transpose(0, 0), ValueError, r"transpose of shape \(3, 4\), axes=\(0, 0\)"),
    (lambda: T.swapaxes(0, 3), ValueError, "swapaxes: axis 3 does not exist"),
    (lambda: np.expand_dims(T, 4), ValueError, "expand_dims: axis 4 does not exist"),
    (lambda: np.squeeze(T, 0), ValueError, r"squeeze: axis 0 of shape \(3, 4\) is not of size 1"),
    (lambda: np.vdot(T, T.T), ValueError, r"vdot: shapes \(3, 4\) and \(4, 3\) differ"),
    (lambda: T[7], IndexError, r"getitem of shape \(3, 4\), index=7"),
    (lambda: T["a"], IndexError, "getitem"),
    (lambda: T.__lt__(np.ones(3)), ValueError, r"lt of shape \(3, 4\) and \(3,\)"),
    (lambda: np.ones(3) > T, ValueError, r"greater of shape \(3,\) and \(3, 4\)"),
    (lambda: T.__eq__(np.ones(3)), ValueError, r"eq of shape \(3, 4\) and \(3,\)"),
    (lambda: Tensor([1, 2]) ** -1, ValueError, r"power of shape \(2,\) and \(\): Integers"),
    (lambda: T.reshape(2.5, 6), TypeError, "float"),
    (lambda: T.astype(complex), TypeError, "real numbers or booleans, not complex"),
    (lambda: F.concatenate([]), ValueError, "concatenate: there are no arrays"),
    (lambda: F.stack([]), ValueError, "stack: there are no arrays"),
    (lambda: np.broadcast_to(T, (4,)), ValueError, r"shape \(3, 4\) has more axes than \(4,\)"),
    (lambda: np.sum(T, 0, None, None), TypeError, "np.sum is not supported on tensors"),
    (lambda: F.softmax(np.zeros((2, 0))), ValueError, r"max of shape \(2, 0\), axis=-1"),
    (lambda: F.batch_norm(T, np.zeros(4), np.ones(4)), TypeError, "are tensors, not ndarray"),
    (lambda: nn.BatchNorm1d(3, eps=-1), ValueError, "eps 0 or more"),
    (lambda: np.concatenate([T, T[0]]), ValueError, r"concatenate of shape \(3, 4\) and \(4,\)"),
    (lambda: np.broadcast_to(T, (5, 5)), ValueError, r"broadcast_to of shape \(3, 4\)"),
    (lambda: T + "a", TypeError, "data must be real numbers or booleans, not str"),
    (lambda: T * None, TypeError, "not NoneType"),
    (lambda: Tensor(1 + 2j), TypeError, "real numbers or booleans, not complex"),
    (lambda: Tensor([[1.0], [1.0, 2.0]]), ValueError, "the data does not form an array"),
    (lambda: Tensor(np.ma.masked_array([1.0])), TypeError, "masked array would lose its mask"),
    (lambda: Tensor([1, 2], requires_grad=True), TypeError, "only floats .* int64.*Tensor"),
    (lambda: F.cross_entropy(LOGITS, [0, 1]), ValueError, r"must have shape \(3,\), not \(2,\)"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 4]), ValueError, "0 to 3, but they go from 0 to 4"),
    (lambda: F.cross_entropy(LOGITS, [0, -1, 2]), ValueError, "they go from -1 to 2"),
    (lambda: F.cross_entropy(LOGITS, [0.0, 1, 2]), ValueError, "class indices must be integers"),
    (lambda: F.cross_entropy(LOGITS, ["a", "b", "c"]), TypeError, "integer class indices"),
    (lambda: F.cross_entropy(T.sum(), 0), ValueError, r"\(n, classes\).*shape \(\)"),
    (lambda: F.cross_entropy(np.ones((0, 3)), []), ValueError, "not empty"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], "average"), ValueError, "not 'average'"),
    (lambda: F.cross_entropy(LOGITS, [0, 1, 2], label_smoothing=2), ValueError, r"2 is not in"),
    (lambda: F.mse_loss(T, np.ones(4)), ValueError, r"same shape, not \(3, 4\) and \(4,\)"),
    (lambda: F.hinge_loss(T, np.zeros((3, 4))), ValueError, "consist of -1 and 1"),
    (lambda: F.binary_cross_entropy_with_logits(T, 2 * np.ones((3, 4))), ValueError, r"\[0, 1\]"),
    (lambda: F.dropout(T, 1.0), ValueError, r"dropout: p is the probability of dropping.*not 1.0"),
    (lambda: F.dropout(T, -0.1), ValueError, "not -0.1"),
    (lambda: F.dropout(T, float("nan")), ValueError, "not nan"),
    (lambda: F.dropout(T, mode="upside down"), ValueError, "mode must be"),
    (lambda: F.dropout(T, mask=[0.5] * 4), ValueError, r"a mask consists of 0 \(drop\)"),
    (lambda: F.dropout(T, mask=[1, 0]), ValueError, r"a mask of shape \(2,\) does not fit x"),
    (lambda: F.dropout(T[0], mask=np.ones((3, 4))), ValueError, "does not fit x"),
    (lambda: F.dropconnect(T, 1.5), ValueError, "dropconnect: p"),
    (lambda: F.batch_norm(T[:1], None, None, training=True), ValueError, "at least 2: use"),
    (lambda: F.batch_norm(T[0], None, None, training=True), ValueError, r"must be \(n, features\)"),
    (lambda: nn.BatchNorm1d(3)(T), ValueError, r"has 4 features.*shape \(3,\)"),
    (lambda: F.l2_penalty(T, -1.0), ValueError, "strengths must be 0 or more, not -1"),
    (lambda: F.l1_penalty([T, T], [1.0]), ValueError, "1 strengths for 2 weights"),
    (lambda: F.l2_penalty([], 1.0), ValueError, "no weights to penalise"),
    (lambda: nn.Linear(0, 3), ValueError, "sizes must be 1 or more, not 0, 3"),
    (lambda: nn.Linear(3, 2)(T), ValueError, r"matmul: shapes \(3, 4\) and \(3, 2\)"),
    (lambda: nn.Dropout(1.0), ValueError, "Dropout: p"),
    (lambda: nn.DropConnectLinear(3, 2, p=-1), ValueError, "DropConnectLinear: p"),
    (lambda: nn.Sequential(nn.ReLU(), F.relu), TypeError, "element 1 is function, not a module"),
    (lambda: nn.Module()(T), NotImplementedError, "Module must define forward"),
    (lambda: nn.Linear(3, 2).astype(int), TypeError, "int64 is not a float type"),
    (lambda: optim.SGD([]), ValueError, "no parameters to train"),
    (lambda: optim.SGD([Tensor([1.0])]), TypeError, "requires_grad=True, not Tensor"),
    (lambda: optim.SGD([T], lr=-1), ValueError, "lr must be 0 or more, not -1"),
    (lambda: optim.SGD([T], momentum=1.0), ValueError, r"momentum must be in \[0, 1\), not 1.0"),
    (lambda: optim.SGD([T], nesterov=True), ValueError, "nesterov needs a momentum"),
    (lambda: optim.Adam([T], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be in"),
    (lambda: optim.StepLR(optim.SGD([T]), 0), ValueError, "step_size must be 1 or more"),
    (lambda: optim.CosineAnnealingLR(optim.SGD([T]), 0), ValueError, "T_max must be 1 or more"),
    (lambda: generator(np.random), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: seed("a"), TypeError, "seed: n must be a whole number from 0, not 'a'"),
    (lambda: seed(-1), TypeError, "not -1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_wrong_use_gets_a_clear_error(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_an_initialiser_must_give_the_shape_asked_for():
    assert nn.Linear(3, 2, init=init.zeros).weight.shape == (3, 2)
    with pytest.raises(ValueError, match=r"init gave shape \(2, 3\), not \(3, 2\)"):
        nn.Linear(3, 2, init=lambda shape, rng, dtype: np.zeros(shape[::-1], dtype))
