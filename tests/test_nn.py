"""Modules: what they hold, how they are saved, and in which mode they are."""

import warnings

import numpy as np
import pytest

import tinygrad_reg as tg
from tinygrad_reg import Tensor, init, nn
from tinygrad_reg import functional as F


def network(rng=None):
    return nn.Sequential(
        nn.Linear(4, 3, rng=rng), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.Linear(3, 2, bias=False, rng=rng),
    )  # fmt: skip


class Nested(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(2), name="scale")
        self.blocks = [nn.Linear(2, 2), nn.Tanh()]
        self.tied = self.blocks[0]

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x * self.scale


def test_parameters_have_dotted_names_and_come_once():
    assert [name for name, _ in network().named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "4.weight",
    ]  # fmt: skip
    names = [name for name, _ in Nested().named_parameters()]
    assert names == ["scale", "blocks.0.weight", "blocks.0.bias"]


def test_repr_shows_the_structure():
    assert repr(network()) == (
        "Sequential(\n"
        "  (0): Linear(4, 3, bias=True)\n"
        "  (1): BatchNorm1d(3, eps=1e-05, momentum=0.1)\n"
        "  (2): ReLU()\n"
        "  (3): Dropout(p=0.5)\n"
        "  (4): Linear(3, 2, bias=False)\n"
        ")"
    )
    assert "  (blocks.0): Linear(2, 2, bias=True)\n" in repr(Nested())


def test_layers_are_float32_and_can_be_another_type():
    model = network(np.random.default_rng(0))
    assert model(np.ones((5, 4), np.float32)).dtype == np.float32
    model.astype(np.float64)
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype(np.float64)}
    assert nn.Linear(2, 2, dtype=np.float64).weight.dtype == np.float64


def test_eval_mode_is_deterministic_and_examples_do_not_influence_each_other():
    model = network(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((6, 4), dtype=np.float32)
    assert np.any(model(x).data != model(x).data)
    assert model.eval() is model
    assert not model[3].training
    np.testing.assert_array_equal(model(x).data, model(x).data)
    np.testing.assert_allclose(model(x[:1]).data, model(x).data[:1], rtol=1e-6)
    assert model.train()[3].training


def test_zero_grad_forgets_gradients():
    model = network(np.random.default_rng(0))
    model(np.ones((5, 4), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_state_can_be_saved_and_loaded():
    one, two = network(np.random.default_rng(0)), network(np.random.default_rng(1))
    one(np.random.default_rng(2).standard_normal((9, 4), dtype=np.float32))
    state = one.state_dict()
    assert list(state) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight",
    ]  # fmt: skip
    two.load_state_dict(state)
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(one.eval()(x).data, two.eval()(x).data)
    state["0.bias"][:] = 7
    assert np.all(one[0].bias.data != 7)
    assert np.all(two[0].bias.data != 7)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda s: s.pop("0.bias"), KeyError, r"missing \['0.bias'\], unexpected nothing"),
        (lambda s: s.update(extra=1), KeyError, r"missing nothing, unexpected \['extra'\]"),
        (
            lambda s: s.update({"4.weight": np.ones(3)}),
            ValueError,
            r"4.weight is float64 of shape \(3,\)",
        ),
        (lambda s: s.update({"4.weight": [["a", "b"]] * 3}), ValueError, "4.weight is <U1"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_loaded(change, kind, words):
    model = network(np.random.default_rng(0))
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(kind, match=words):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_dropconnect_drops_weights_in_training_only():
    layer = nn.DropConnectLinear(50, 40, p=0.25, rng=np.random.default_rng(0))
    x = np.eye(50, dtype=np.float32)
    effective = layer(x).data
    dropped = np.mean(effective == 0)
    assert 0.2 < dropped < 0.3
    kept = effective != 0
    np.testing.assert_allclose(effective[kept], layer.weight.data[kept] / 0.75, rtol=1e-6)
    np.testing.assert_allclose(layer.eval()(x).data, layer.weight.data)


def test_activations_are_modules_too():
    x = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(nn.Tanh()(x).data, np.tanh(x))
    np.testing.assert_allclose(nn.Sigmoid()(x).data, 1 / (1 + np.exp(-x)))
    np.testing.assert_allclose(nn.ReLU()(x).data, np.maximum(x, 0))


def test_the_seed_makes_everything_repeatable_and_leaves_numpys_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    outputs = []
    for _ in range(2):
        tg.seed(3)
        outputs.append(network()(np.ones((5, 4), np.float32)).data)
    np.testing.assert_array_equal(*outputs)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_initialisers_have_the_spread_they_promise():
    rng, shape = np.random.default_rng(0), (400, 300)
    assert init.lecun_normal(shape, rng).std() == pytest.approx(1 / 20, rel=0.01)
    assert init.he_normal(shape, rng).std() == pytest.approx(np.sqrt(2 / 400), rel=0.01)
    uniform = init.xavier_uniform(shape, rng)
    assert abs(uniform).max() == pytest.approx(np.sqrt(6 / 700), rel=0.01)
    assert uniform.std() == pytest.approx(np.sqrt(2 / 700), rel=0.01)
    assert not init.zeros(shape).any()
    assert {f(shape).dtype.name for f in (init.lecun_normal, init.he_normal)} == {"float32"}


def test_a_sequence_may_have_attributes_of_its_own():
    class WithHead(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 3), nn.ReLU())
            self.head = nn.Linear(3, 1, bias=False)

    names = [name for name, _ in WithHead().named_parameters()]
    assert names == ["0.weight", "0.bias", "head.weight"]


def test_what_forward_leaves_in_an_attribute_is_not_saved():
    class Keeps(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 3)

        def forward(self, x, *, scale):
            self.hidden = self.layer(x) * scale
            return self.hidden

    model = Keeps()
    model(np.ones((1, 2), np.float32), scale=2)
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]


INTEGERS = np.array([[1, 2, 5], [0, 3, 1]], np.uint8)


@pytest.mark.parametrize(
    "f",
    [
        F.leaky_relu, F.sigmoid, F.softplus, F.softmax, F.log_softmax, F.logsumexp, F.mean, F.var,
        lambda x: F.cross_entropy(x, [2, 0]),
        lambda x: F.mse_loss(x, np.full((2, 3), 1.5)),
        lambda x: F.mse_loss(np.full((2, 3), 1.5), x),
        lambda x: F.binary_cross_entropy_with_logits(x, np.full((2, 3), 0.5)),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.dropout(x, mask=[1, 0, 1]),
    ],
)  # fmt: skip
def test_integers_are_taken_for_floats(f):
    np.testing.assert_array_equal(f(INTEGERS).data, f(INTEGERS.astype(float)).data)


def test_numpy_floats_as_arguments_widen_nothing():
    x, half = Tensor(np.ones((3, 2), np.float32), requires_grad=True), np.float64(0.5)
    for result in (
        F.dropout(x, half),
        F.dropout(x, half, training=False, mode="vanilla"),
        F.dropconnect(x, half),
        F.leaky_relu(x, half),
        F.batch_norm(x, None, None, training=True, eps=half),
        F.cross_entropy(x, [0, 1, 1], label_smoothing=half),
        F.cross_entropy(x, np.full((3, 2), 0.5)),
        F.l1_penalty(x, half),
        F.l2_penalty([x, x], np.array([0.5, 0.5])),
    ):
        assert result.dtype == np.float32


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_classes_may_be_ruled_out_by_infinite_logits(reduction):
    logits = Tensor([[1.0, -np.inf, 0.0]], requires_grad=True)
    loss = F.cross_entropy(logits, [0], reduction)
    loss.backward([1.0] if reduction == "none" else None)
    p = np.exp(1) / (np.exp(1) + 1)
    np.testing.assert_allclose(loss.data, -np.log(p) * np.ones(loss.shape))
    np.testing.assert_allclose(logits.grad.data, [[p - 1, 0, 1 - p]])


def test_labels_may_be_a_tensor_and_a_single_example_needs_no_batch():
    logits = Tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    assert F.cross_entropy(logits, Tensor([2])).item() == F.cross_entropy(logits[0], 2).item()


def test_running_statistics_keep_their_type():
    layer = nn.BatchNorm1d(3)
    layer(np.random.default_rng(0).normal(size=(5, 3)))
    assert [layer.running_mean.dtype, layer.running_var.dtype] == [np.float32] * 2


@pytest.mark.parametrize("f", [F.softmax, F.log_softmax, F.logsumexp])
def test_softmax_and_its_kin_go_along_the_last_axis(f):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(f(x).numpy(), f(x, axis=2).numpy())


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
def test_reductions_have_numpys_defaults(name):
    x = np.random.default_rng(0).normal(size=(3, 4))
    result = getattr(F, name)(x)
    assert result.shape == ()
    np.testing.assert_allclose(result.item(), getattr(np, name)(x), rtol=1e-14)


def test_batch_norm_uses_the_estimates_unless_told_to_train():
    x, mean, var = np.array([[1.0, 2], [3, 5]]), Tensor([0.5, 1]), Tensor([4.0, 9])
    expected = (x - mean.data) / np.sqrt(var.data + 1e-5)
    np.testing.assert_allclose(F.batch_norm(x, mean, var).numpy(), expected, rtol=1e-14)


def test_leaky_relu_lets_a_hundredth_through():
    np.testing.assert_array_equal(F.leaky_relu([-3.0, 3]).numpy(), [-0.03, 3])


@pytest.mark.parametrize(("reduction", "name"), [("mean", "-target / n"), ("sum", "-target")])
def test_pictures_name_what_cross_entropy_multiplies_with(reduction, name):
    logits = Tensor(np.zeros((2, 3)), requires_grad=True)
    assert F.cross_entropy(logits, [0, 1], reduction).node.inputs[0].name == name


@pytest.mark.parametrize("loss", [F.mse_loss, F.binary_cross_entropy_with_logits])
def test_losses_have_the_type_of_their_input(loss):
    x = Tensor(np.zeros(3, np.float32), requires_grad=True)
    y = Tensor(np.full(3, 0.5), requires_grad=True)
    result = loss(x, y)
    result.backward()
    assert [t.dtype for t in (result, x.grad, y.grad)] == [np.float32, np.float32, np.float64]


@pytest.mark.parametrize("f", [F.dropout, F.dropconnect])
def test_half_is_dropped_by_default_and_nothing_drawn_for_nothing(f):
    x = Tensor(np.ones((8, 5), np.float32))
    bits = np.random.default_rng(0).bit_generator.random_raw(10).view(np.uint16)
    kept = bits.reshape(8, 5) >= 2**15
    np.testing.assert_array_equal(f(x, rng=np.random.default_rng(0)).numpy(), 2 * kept)
    rng = np.random.default_rng(0)
    assert f(x, 0.0, rng=rng) is x
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    "name",
    ["relu", "leaky_relu", "softplus", "softmax", "log_softmax", "logsumexp", "dropout",
     "dropconnect", "l1_penalty", "l2_penalty", "mse_loss", "hinge_loss", "cross_entropy",
     "binary_cross_entropy_with_logits", "linear", "batch_norm"],
)  # fmt: skip
def test_composites_put_what_they_compute_in_a_box_of_their_name(name):
    x, rest = Tensor(np.eye(2), requires_grad=True), []
    if "loss" in name or "entropy" in name:
        rest = [np.eye(2) if name != "hinge_loss" else np.ones((2, 2))]
    elif "penalty" in name or name == "linear":
        rest = [0.1 if "penalty" in name else np.eye(2)]
    elif name == "batch_norm":
        rest = [None, None]
    result = getattr(F, name)(x, *rest)
    assert result.node.scope.path[0].name == name


# --- A float64 batch and a float32 model ---------------------------------------------------------


@pytest.fixture
def untold(monkeypatch):
    """Nobody has been warned yet."""
    monkeypatch.setattr(nn, "warned_of_float64", False)


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    "layer",
    [lambda: nn.Linear(3, 2), lambda: nn.DropConnectLinear(3, 2), lambda: nn.BatchNorm1d(3),
     lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 2))],
)  # fmt: skip
@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_data_of_float64_for_a_model_of_float32_are_warned_of_once(layer, wrap):
    model, x = layer(), wrap(np.random.default_rng(0).normal(size=(4, 3)))
    with pytest.warns(UserWarning, match=r"float64 batch.*x\.astype\(np\.float32\)"):
        model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x)
        layer()(x)


@pytest.mark.usefixtures("untold")
def test_what_fits_is_not_warned_of():
    x = np.ones((4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.Linear(3, 2)(x.astype(np.float32))
        nn.Linear(3, 2)(x.astype(np.float16))
        nn.Linear(3, 2)(np.ones((4, 3), int).astype(np.float32))
        nn.Linear(3, 2, dtype=np.float64)(x)
        nn.Linear(3, 2, dtype=np.float64)(x.astype(np.float32))
