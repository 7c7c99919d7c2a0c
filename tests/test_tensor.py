"""What a tensor holds, how it looks, and how it gets on with Python and NumPy."""

import copy
import pickle

import numpy as np
import pytest

from tinygrad_reg import StaleValueError, Tensor, functional, nn, no_grad, optim


def test_the_data_is_copied_so_that_nobody_else_can_change_it():
    array = np.ones(3)
    t = Tensor(array)
    array[0] = 5
    np.testing.assert_array_equal(t.data, [1, 1, 1])


def test_the_data_is_read_only_and_numpy_gives_a_copy_that_is_not():
    t = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 5
    mine = t.numpy()
    mine[0] = 5
    assert t.data[0] == 1


def test_results_and_views_are_read_only_too():
    t = Tensor([[1.0, 2.0]], requires_grad=True)
    for result in (t + 1, t.reshape(2), t.T, t[0], t.sum(), t.detach()):
        assert not result.data.flags.writeable


def test_dtypes_are_numpys_and_python_numbers_are_weak():
    assert Tensor([1.0]).dtype == np.float64
    assert Tensor([1]).dtype == np.int64
    t = Tensor(np.ones(2, np.float32), requires_grad=True)
    for result in (t * 2, 2.5 * t, t / 3, t**2, t**2.5, 1 - t, np.maximum(t, 0.5), t.mean()):
        assert result.dtype == np.float32
    assert (t * np.ones(2)).dtype == np.float64


def test_gradients_have_the_type_of_their_tensor_in_mixed_graphs():
    half = Tensor(np.ones(2, np.float32), requires_grad=True)
    full = Tensor(np.ones(2), requires_grad=True)
    (half * full).sum().backward()
    assert half.grad.dtype == np.float32
    assert full.grad.dtype == np.float64


def test_new_data_must_have_the_same_shape_and_be_float_for_a_gradient():
    t = Tensor([1.0, 2.0], requires_grad=True)
    t.data = [3.0, 4.0]
    np.testing.assert_array_equal(t.data, [3, 4])
    with pytest.raises(ValueError, match=r"shape \(3,\), the tensor \(2,\)"):
        t.data = [1.0, 2.0, 3.0]
    with pytest.raises(TypeError, match="only floats have gradients"):
        t.data = [1, 2]
    np.testing.assert_array_equal(t.data, [3, 4])


def test_only_leaves_take_new_data_or_change_whether_they_want_a_gradient():
    result = Tensor(1.0, requires_grad=True) * 2
    with pytest.raises(ValueError, match="result of multiply"):
        result.data = 3.0
    with pytest.raises(ValueError, match="result of multiply"):
        result.requires_grad = False


@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_through_replaced_data_is_refused_and_leaves_no_gradient(create_graph):
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    other = Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * other).sum() + other.sum()
    w.data = [3.0, 4.0]
    with pytest.raises(StaleValueError, match=r"'w' of shape \(2,\) had in multiply"):
        loss.backward(create_graph=create_graph)
    assert w.grad is None
    assert other.grad is None


def fitted():
    """A model, a loss computed with it, and the gradients of that loss."""
    model = nn.Sequential(
        nn.Linear(3, 4, rng=np.random.default_rng(0)), nn.Tanh(), nn.Linear(4, 2, bias=False)
    )
    loss = functional.cross_entropy(model(np.eye(3)), [0, 1, 0])
    loss.backward()
    return model, loss


@pytest.mark.parametrize(
    "change",
    [
        lambda model: optim.SGD(model.parameters(), lr=0.1).step(),
        lambda model: optim.SGD(model.parameters(), lr=0.1, momentum=0.9).step(),
        lambda model: optim.AdamW(model.parameters()).step(),
        lambda model: model.load_state_dict(model.state_dict()),
        lambda model: model.astype(np.float64),
        lambda model: setattr(model[2].weight, "data", np.zeros((4, 2))),
    ],
    ids=["SGD", "momentum", "AdamW", "load_state_dict", "astype", "data"],
)
def test_whatever_renews_parameters_between_two_backwards_is_noticed(change):
    model, loss = fitted()
    change(model)
    with pytest.raises(StaleValueError, match=r"'weight' of shape \(4, 2\) had in matmul"):
        loss.backward()


def test_arrays_given_to_an_operation_may_be_changed_afterwards():
    x, weight = np.ones((2, 3)), Tensor(np.ones((3, 2)), requires_grad=True)
    index, mask, condition = np.array([0, 1]), np.array([1, 0]), np.array([True, False])
    labels = np.array([1, 0])
    h = functional.dropout((x @ weight)[index], mask=mask) * np.where(condition, 2.0, 3.0)
    loss = functional.cross_entropy(functional.where(condition, h, 0.0), labels)
    loss.backward()
    before, weight.grad = weight.grad.numpy(), None
    for array in (x, index, mask, condition, labels):
        array[...] = 0
    loss.backward()
    np.testing.assert_array_equal(weight.grad.data, before)
    assert before.any()


def test_what_data_hands_out_cannot_be_made_writeable():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = x.reshape(3, 2) * 1
    for tensor in (x, y, y.T, y[1:].reshape(4), x.detach()):
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            tensor.data.flags.writeable = True


def test_replaced_constants_are_noticed_where_they_would_matter():
    x = Tensor([1.0, 2.0])
    w = Tensor([3.0, 4.0], requires_grad=True)
    loss = (x * w).sum()
    x.data = [5.0, 6.0]
    loss.backward()  # the graph kept the old array, so this is right
    np.testing.assert_array_equal(w.grad.data, [1, 2])
    with pytest.raises(StaleValueError):  # here the rule would see the new one
        loss.backward(create_graph=True)


def test_item_and_python_numbers():
    t = Tensor([[2.5]])
    assert t.item() == 2.5
    assert float(t) == 2.5
    assert int(t) == 2
    assert bool(t)
    assert f"{t:.2f}" == "2.50"
    assert f"{Tensor(1.5)}" == "Tensor(1.5)"
    for convert in (Tensor.item, float, bool):
        with pytest.raises(ValueError, match=r"2 elements|shape \(2,\)"):
            convert(Tensor([1.0, 2.0]))


def test_complex_numbers_are_refused():
    t = Tensor([1.0], requires_grad=True)
    for number in (1j, np.complex64(1j), np.array([1j])):
        with pytest.raises(TypeError, match=r"multiply: operands must be real .* complex"):
            t * number


def test_a_name_is_text():
    t = Tensor([1.0])
    t.name = "t"
    for make in (lambda: Tensor(1.0, name=3), lambda: setattr(t, "name", 3)):
        with pytest.raises(TypeError, match="the name must be text, not 3"):
            make()
    assert t.name == "t"


@pytest.mark.parametrize("one", [True, np.True_, np.array([True]), 1, np.int8(1)])
def test_an_exponent_may_be_a_boolean_or_a_small_integer(one):
    t = Tensor([0.0, 3.0], requires_grad=True)
    (t**one).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [1, 1])


def test_repr_shows_what_matters():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    w = Tensor(np.float32([1, 2]), requires_grad=True, name="w")
    assert repr(w) == "Tensor([1., 2.], dtype=float32, requires_grad=True, name='w')"
    assert repr((w * 2).sum()) == "Tensor(6., dtype=float32, function=sum)"


def test_comparisons_give_bare_boolean_arrays():
    t = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for mask in (t > 2, t >= 2, t < 2, t <= 2, t == 2, t != 2, np.greater(t, 2), np.isnan(t)):
        assert type(mask) is np.ndarray
        assert mask.dtype == bool
    np.testing.assert_array_equal(t == Tensor([1.0, 0.0, 3.0]), [True, False, True])


def test_tensors_hash_by_identity():
    a, b = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    assert len({a, b, a}) == 2
    assert {a: "a", b: "b"}[b] == "b"
    assert any(x is b for x in [a, b])
    with pytest.raises(ValueError, match="ambiguous"):
        assert b in [a]


def test_numpy_functions_give_tensors_with_gradients():
    t = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    array = np.arange(6.0).reshape(2, 3)
    results = [
        np.exp(t), np.sum(t, axis=0), np.sum(t, 1, keepdims=True), np.mean(t), np.var(t, axis=1),
        np.max(t, axis=-1), np.min(t), np.maximum(t, 0), np.where(t > 2, t, 0), array * t,
        t - array, array @ t.T, np.reshape(t, (3, 2)), np.reshape(t, shape=-1), np.transpose(t),
        np.transpose(t, axes=(1, 0)), np.swapaxes(t, 0, 1), np.concatenate([t, array], axis=1),
        np.concatenate([t, t], axis=None), np.stack([t, t]), np.broadcast_to(t, (4, 2, 3)),
        np.expand_dims(t, -1), np.squeeze(t[:1]), np.vdot(t, array), np.power(2, t), np.abs(t),
    ]  # fmt: skip
    for result in results:
        assert isinstance(result, Tensor)
        assert result.requires_grad
    np.testing.assert_allclose(np.var(t, axis=1).data, np.var(t.numpy(), axis=1))
    np.testing.assert_allclose(t.var(ddof=1).data, np.var(t.numpy(), ddof=1))


def test_integer_results_are_bare_arrays():
    t = Tensor([[1.0, 3.0], [4.0, 2.0]], requires_grad=True)
    np.testing.assert_array_equal(np.argmax(t, axis=1), [1, 0])
    np.testing.assert_array_equal(t.argmax(axis=1), [1, 0])
    assert t.astype(int).requires_grad is False
    assert np.shape(t) == (2, 2)
    assert np.allclose(t, t.numpy())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.spacing(t), "np.spacing has no derivative rule"),
        (lambda t: np.linalg.qr(t), "np.linalg.qr has no derivative rule"),
        (lambda t: np.sum(t, where=[True, False]), "np.sum with where= is not supported"),
        (lambda t: np.exp(t, out=np.ones(2)), "np.exp with out= is not supported"),
        (lambda t: np.add.reduce(t), r"np.add.reduce is not supported"),
        (lambda t: np.asarray(t), "would lose its gradient"),
        (lambda t: np.add(np.ones(2), t, out=np.ones(2)), "np.add with out= is not supported"),
    ],
)
def test_what_numpy_cannot_do_with_tensors_is_said_by_name(call, words):
    with pytest.raises(TypeError, match=words):
        call(Tensor([1.0, 2.0], requires_grad=True))


def test_tensors_without_gradient_turn_into_arrays():
    np.testing.assert_array_equal(np.asarray(Tensor([1.0, 2.0])), [1, 2])
    assert np.asarray(Tensor([1.0]), dtype=np.float32).dtype == np.float32


def test_means_over_nothing_are_nan_as_in_numpy():
    nothing = Tensor(np.zeros((2, 0)))
    assert Tensor(np.zeros((0, 3))).mean(axis=1).shape == (0,)
    with np.errstate(invalid="ignore"):
        assert np.isnan(nothing.mean(axis=1).data).all()


def test_new_data_takes_the_float_type_of_the_tensor():
    t = Tensor(np.float32([1, 2]), requires_grad=True)
    t.data = t.data * np.sqrt(2)
    assert t.dtype == np.float32


def test_iteration_length_and_indexing():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(t) == 2
    assert [row.data.tolist() for row in t] == [[1, 2], [3, 4]]
    assert t[Tensor([1, 0]), [0, 1]].data.tolist() == [3, 2]
    assert t[[]].shape == (0, 2)
    with pytest.raises(TypeError, match="has no length"):
        len(t.sum())
    with pytest.raises(TypeError, match="assignment into a tensor is impossible"):
        t[0] = 1


def test_an_index_is_kept_as_it_was():
    t = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = np.array([0, 0])
    picked = t[index].sum()
    index[:] = 2
    picked.backward()
    np.testing.assert_array_equal(t.grad.data, [2, 0, 0])


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda t, i: t[i:], [0, 1, 1]),
        (lambda t, i: t[(slice(None, i), None)], [1, 0, 0]),
        (lambda t, i: t.reshape(3, 1).sum(axis=i) * [1, 2, 3], [1, 2, 3]),
        (lambda t, i: np.concatenate([t.reshape(1, 3), t.reshape(1, 3)], axis=i), [2, 2, 2]),
    ],
    ids=["slice", "slice in a tuple", "sum", "concatenate"],
)
def test_tensors_in_indices_and_axes_are_kept_as_they_were(f, expected):
    t, i = Tensor([1.0, 2.0, 3.0], requires_grad=True), Tensor(1)
    result = f(t, i).sum()
    i.data = 0
    result.backward()
    np.testing.assert_array_equal(t.grad.data, expected)


def test_leaves_can_be_copied_and_pickled_results_cannot():
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    for twin in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert twin is not w
        assert twin.node is not w.node
        assert (twin.requires_grad, twin.name, twin.data.tolist()) == (True, "w", [1, 2])
        assert twin.grad is None
    (w**2).sum().backward(create_graph=True)
    for twin in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert twin.grad.data.tolist() == [2, 4]
    with pytest.raises(TypeError, match="result of multiply"):
        copy.deepcopy(w * 2)


def test_detach_stops_gradients():
    t = Tensor([2.0], requires_grad=True)
    (t * t.detach()).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [2])


def test_no_grad_records_nothing_as_a_block_and_as_a_decorator():
    t = Tensor(1.0, requires_grad=True)

    @no_grad()
    def double(x):
        return x * 2

    with no_grad():
        assert (t * 2).is_leaf
    assert double(t).is_leaf
    assert not (t * 2).is_leaf


@pytest.mark.parametrize("name", functional.__all__)
def test_everything_that_functional_promises_is_there(name):
    assert callable(getattr(functional, name))
    assert getattr(functional, name).__doc__ or name in ("exp", "log", "sqrt", "tanh", "abs",
                                                         "sum", "mean")  # fmt: skip
