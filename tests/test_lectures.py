"""What the lectures derive by hand, which the engine must find by itself.

None of these formulas stands in the package: they must come out of the primitives.
"""

import numpy as np
import pytest

from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F

RNG = np.random.default_rng(4342)


def network(n=5, features=4, hidden=6, classes=3):
    """Inputs, one-hot labels and the parameters of a network with one hidden layer."""
    x = RNG.standard_normal((n, features))
    y = np.eye(classes)[RNG.integers(0, classes, n)]
    shapes = (features, hidden), (hidden,), (hidden, classes), (classes,)
    parameters = [Tensor(RNG.standard_normal(shape), requires_grad=True) for shape in shapes]
    return x, y, parameters


def forward(x, w1, b1, w2, b2):
    z = x @ w1 + b1
    h = F.relu(z)
    return z, h, F.softmax(h @ w2 + b2), h @ w2 + b2


def test_the_gradients_of_the_hidden_layer_network_are_those_derived_by_hand():
    x, y, (w1, b1, w2, b2) = network()
    z, h, prediction, logits = forward(x, w1, b1, w2, b2)
    F.cross_entropy(logits, y).backward()

    # ∇W2 = (ŷ - y) hᵀ, ∇b2 = ŷ - y, g = ((ŷ - y)ᵀ W2) ⊙ relu'(z), ∇W1 = g xᵀ, ∇b1 = g: for each
    # example; here rows are examples and W is (fan_in, fan_out), and the mini-batch is averaged.
    error = (prediction.data - y) / len(x)
    g = (error @ w2.data.T) * (z.data > 0)
    np.testing.assert_allclose(w2.grad.data, h.data.T @ error, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(b2.grad.data, error.sum(0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(w1.grad.data, x.T @ g, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(b1.grad.data, g.sum(0), rtol=1e-12, atol=1e-15)


def test_the_worked_dropout_example():
    # Dropping input unit 2 and hidden unit 2, without rescaling, gives ŷ = [60, 132].
    w1 = Tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], requires_grad=True)
    w2 = Tensor([[1.0, 2, 3], [4, 5, 6]], requires_grad=True)
    x = Tensor([[0.0, 1, 2]])
    mask = [[1, 0, 1]]
    kept = F.dropout(x, mask=mask, mode="vanilla")
    hidden = F.dropout(F.relu(kept @ w1.T), mask=mask, mode="vanilla")
    prediction = hidden @ w2.T
    np.testing.assert_array_equal(prediction.data, [[60, 132]])

    # What is dropped learns nothing: exactly zero into and out of the units dropped.
    prediction.sum().backward()
    assert np.all(w1.grad.data[:, 1] == 0)
    assert np.all(w1.grad.data[1, :] == 0)
    assert np.all(w2.grad.data[:, 1] == 0)
    assert np.all(w2.grad.data[:, [0, 2]] != 0)


def test_the_mask_of_the_forward_pass_is_that_of_the_backward_pass():
    x = Tensor(np.ones((4, 100)), requires_grad=True)
    out = F.dropout(x, 0.3, rng=np.random.default_rng(0))
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.data, out.data)
    assert len({row.tobytes() for row in out.data}) == 4  # each example has its own network


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_vanilla_and_inverted_dropout_expect_the_same(p):
    # Over all 2³ masks with their probabilities, what training gives on average is what test gives.
    x = np.array([[1.0, -2.0, 3.0]])
    masks = [[[a, b, c]] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    for mode in ("inverted", "vanilla"):
        expected = sum(
            (1 - p) ** np.sum(mask)
            * p ** (3 - np.sum(mask))
            * F.dropout(x, p, mode=mode, mask=mask).data
            for mask in masks
        )
        np.testing.assert_allclose(
            F.dropout(x, p, training=False, mode=mode).data, expected, rtol=1e-12
        )
    np.testing.assert_array_equal(F.dropout(x, p, training=False).data, x)
    np.testing.assert_allclose(
        F.dropout(x, p, training=False, mode="vanilla").data, x * (1 - p), rtol=1e-15
    )


def test_gamma_and_beta_recover_the_input_of_batch_norm():
    # γ = √(σ² + ε) and β = μ undo the normalisation exactly.
    z = RNG.standard_normal((7, 3)) * 5 + 2
    eps = 1e-5
    gamma, beta = Tensor(np.sqrt(z.var(axis=0) + eps)), Tensor(z.mean(axis=0))
    recovered = F.batch_norm(z, None, None, gamma, beta, training=True, eps=eps)
    np.testing.assert_allclose(recovered.data, z, rtol=1e-12)


def test_batch_norm_uses_the_batch_in_training_and_the_running_estimates_in_eval():
    z = RNG.standard_normal((8, 3))
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    out = F.batch_norm(z, mean, var, training=True, eps=0.0)
    np.testing.assert_allclose(out.data.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(out.data.var(axis=0), 1)
    np.testing.assert_allclose(mean.data, 0.1 * z.mean(axis=0))
    np.testing.assert_allclose(var.data, 0.9 + 0.1 * z.var(axis=0, ddof=1))
    kept = mean.numpy(), var.numpy()
    out = F.batch_norm(z, mean, var, training=False, eps=0.0)
    np.testing.assert_allclose(out.data, (z - kept[0]) / np.sqrt(kept[1]))
    np.testing.assert_array_equal(mean.data, kept[0])


def test_the_gradient_of_batch_norm_flows_through_its_statistics():
    # The outputs of a normalised batch sum to zero whatever the input: their gradient is zero.
    # Were μ and σ² constants, it would be 1/σ.
    z = Tensor(RNG.standard_normal((6, 2)), requires_grad=True)
    F.batch_norm(z, None, None, training=True).sum().backward()
    np.testing.assert_allclose(z.grad.data, 0, atol=1e-14)


@pytest.mark.parametrize(
    ("zero", "moves_at_first", "moves_later"),
    [
        (("W1", "b1", "W2", "b2"), {"b2"}, {"b2"}),
        (("W1", "b1"), {"b2"}, {"b2"}),
        (("W2", "b2"), {"W2", "b2"}, {"W1", "b1", "W2", "b2"}),
    ],
)
def test_zero_initialisation_in_its_three_forms(zero, moves_at_first, moves_later):
    x, y, parameters = network(n=20)
    named = dict(zip(("W1", "b1", "W2", "b2"), parameters))
    for name in zero:
        named[name].data = np.zeros(named[name].shape)
    optimizer = optim.SGD(parameters, lr=0.1)

    def moved_by_a_step():
        before = {name: p.numpy() for name, p in named.items()}
        optimizer.zero_grad()
        F.cross_entropy(forward(x, *parameters)[3], y).backward()
        optimizer.step()
        return {name for name, p in named.items() if np.any(p.data != before[name])}

    assert moved_by_a_step() == moves_at_first
    assert moved_by_a_step() == moves_later
    if moves_later == {"b2"}:  # then the prediction becomes the frequencies of the classes
        optimizer.lr = 2.0
        for _ in range(500):
            assert moved_by_a_step() <= {"b2"}
        np.testing.assert_allclose(F.softmax(named["b2"]).data, y.mean(axis=0), atol=1e-6)


def test_penalties_add_alpha_w_and_beta_sign_w():
    w = Tensor([[1.5, -2.0], [0.0, 4.0]], requires_grad=True)
    F.l2_penalty(w, 0.3).backward()
    np.testing.assert_allclose(w.grad.data, 0.3 * w.data, rtol=1e-15)
    w.grad = None
    F.l1_penalty(w, 0.3).backward()
    np.testing.assert_allclose(w.grad.data, 0.3 * np.sign(w.data), rtol=1e-15)
    assert w.grad.data[1, 0] == 0


def test_strengths_may_differ_for_every_weight():
    u, v = Tensor([1.0, 2.0], requires_grad=True), Tensor([[3.0]], requires_grad=True)
    F.l2_penalty([u, v], [0.1, 10]).backward()
    np.testing.assert_allclose(u.grad.data, 0.1 * u.data)
    np.testing.assert_allclose(v.grad.data, 10 * v.data)


def test_biases_and_batch_norm_parameters_are_not_penalised():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    assert [id(w) for w in model.weights()] == [id(model[0].weight), id(model[3].weight)]


def test_dropout_as_an_ensemble_is_exact_for_softmax_of_a_linear_layer():
    # The normalised geometric mean of all 2^N thinned networks is the weight-scaled one; for
    # p ≠ ½ each mask counts with its probability.
    p, n = 0.3, 5
    x, w = RNG.standard_normal(n), RNG.standard_normal((n, 3))
    log_mean = np.zeros(3)
    for bits in range(2**n):
        mask = np.array([bits >> i & 1 for i in range(n)])
        weight = (1 - p) ** mask.sum() * p ** (n - mask.sum())
        thinned = F.dropout(x, p, mode="vanilla", mask=mask)
        log_mean += weight * F.log_softmax(thinned @ w).data
    scaled = F.dropout(x, p, training=False, mode="vanilla")
    np.testing.assert_allclose(F.softmax(log_mean).data, F.softmax(scaled @ w).data, rtol=1e-12)


def test_softmax_is_finite_for_huge_logits():
    logits = Tensor(np.float32([[1e4, -1e4, 0.0]]), requires_grad=True)
    loss = F.cross_entropy(logits, [1])
    loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_array_equal(logits.grad.data, [[1, -1, 0]])
