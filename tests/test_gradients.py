"""Every rule of the table and every composite, judged by difference quotients and by each other."""

import inspect
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pytest
from catalogue import catalogue, each_entry, pull_back, sample

from tinygrad_reg import Tensor, grad, primitives, protocols, tensor
from tinygrad_reg import functional as F
from tinygrad_reg.drawing.read import behind
from tinygrad_reg.methods import Methods
from tinygrad_reg.numerical import GradientError, gradcheck
from tinygrad_reg.operators import Operators
from tinygrad_reg.primitives import EachPosition, table


def arriving(result, seed=0):
    """A gradient for a result, of its shape and type."""
    u = np.random.default_rng(seed).uniform(0.5, 1.5, result.shape)
    return np.asarray(u, dtype=result.dtype)


# --- Derivatives ---------------------------------------------------------------------------------


@each_entry
def test_gradients_agree_with_difference_quotients_to_second_order(entry):
    if entry.smooth:
        gradcheck(entry.f, entry.inputs)


# --- Each rule, perturbed, fails -----------------------------------------------------------------


def rules_of(function) -> Iterable[primitives.Rule | None]:
    """The rules by position; the first three of endlessly many."""
    rules = table[function]
    return islice(rules, 3) if isinstance(rules, EachPosition) else rules


RULES = [
    (function, position)
    for function in table
    for position, rule in enumerate(rules_of(function))
    if rule is not None
]


def rules_in(entry):
    """Which rules the first derivatives of an entry use, as (function, position)."""
    return {
        (node.function, position)
        for node in behind(entry.f(*entry.leaves()).node)
        for position, _ in node.edges
        if (node.function, position) in RULES
    }


@pytest.fixture(scope="module")
def coverage():
    """For each rule, some entries that use it, all of them smooth and with elements."""
    entries = [entry for name in catalogue for entry in sample(name, 5) if entry.smooth]
    used = [(entry, rules_in(entry)) for entry in entries if all(x.size for x in entry.inputs)]
    return {rule: [entry for entry, rules in used if rule in rules] for rule in RULES}


@pytest.mark.parametrize(
    ("function", "position"), RULES, ids=[f"{f.__name__}-{position}" for f, position in RULES]
)
@pytest.mark.parametrize("factor", [1.001, 0])
def test_a_perturbed_rule_fails_the_check_of_every_entry_whose_gradient_it_changes(
    function, position, factor, coverage, monkeypatch
):
    covering = coverage[function, position]
    exact_gradients = [gradients_of(entry) for entry in covering]
    rules = list(islice(table[function], 8))
    exact = rules[position]
    rules[position] = lambda *arrays, **metadata: factor * exact(*arrays, **metadata)
    monkeypatch.setitem(table, function, tuple(rules))
    changed = [
        entry
        for entry, before in zip(covering, exact_gradients)  # a branch not taken changes nothing
        if not np.allclose(gradients_of(entry), before, rtol=1e-9, atol=1e-12)
    ]
    assert changed, "no entry of the catalogue notices this rule"
    assert [entry.name for entry in changed if "order 1" not in message(entry)] == []


def message(entry):
    """The text of gradcheck's error for an entry; empty if it passes."""
    try:
        gradcheck(entry.f, entry.inputs)
    except GradientError as error:
        return str(error)
    return ""


def gradients_of(entry):
    """All first derivatives of an entry in one row."""
    leaves = entry.leaves()
    result = entry.f(*leaves)
    return np.concatenate([g.numpy().ravel() for g in pull_back(result, arriving(result), leaves)])


# --- The catalogue is complete, the table closed -------------------------------------------------


class Spy(dict):
    """The table, which notes down what is looked up in it."""

    def __init__(self, original, seen):
        super().__init__(original)
        self.seen = seen

    def __getitem__(self, function):
        self.seen.add(function)
        return super().__getitem__(function)


def noting(name, function, seen):
    """The function, which notes down that it is called."""

    def call(*args, **kwargs):
        seen.add(name)
        return function(*args, **kwargs)

    return call


METHODS = {  # operators, and what has no underscore in front
    f"Tensor.{name}": method
    for kind in (Operators, Methods, Tensor)
    for name, method in vars(kind).items()
    if inspect.isfunction(method) and method.__annotations__["return"] in ("Tensor", "Result")
    if name.startswith("__") or not name.startswith("_")
}


@pytest.fixture(scope="module")
def called():
    """What is called by some entries of each function: rules, and names of functions."""
    seen = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor, "table", Spy(table, seen))
        patch.setattr(protocols, "array_functions", Spy(protocols.array_functions, seen))
        for name in F.__all__:
            patch.setattr(F, name, noting(name, getattr(F, name), seen))
        for name, method in METHODS.items():
            patch.setattr(Tensor, method.__name__, noting(name, method, seen))
        for name in catalogue:
            for entry in sample(name, 20):
                entry.f(*entry.leaves())
    return seen


def test_every_function_of_the_table_is_in_the_catalogue(called):
    assert set(table) - called == set()


def test_every_function_of_numpy_that_we_compose_is_in_the_catalogue(called):
    assert set(protocols.array_functions) - called == set()


def test_every_public_function_is_in_the_catalogue(called):
    assert set(F.__all__) - called == set()


def test_every_method_that_gives_a_tensor_is_in_the_catalogue(called):
    without_derivative = "Tensor.detach"
    for_lists_alone = "Tensor.__rmatmul__"  # arrays on the left ask NumPy
    assert set(METHODS) - called == {without_derivative, for_lists_alone}


@each_entry
def test_rules_call_nothing_but_the_table_to_third_order(entry):
    leaves = entry.leaves()
    result = entry.f(*leaves)
    for order in 1, 2, 3:
        u = Tensor(arriving(result, order), requires_grad=True)
        found = pull_back(result, u, leaves, create_graph=True)
        assert all(isinstance(g, Tensor) for g in found)
        nodes = behind(*(g.node for g in found))
        assert all(node.function in table for node in nodes if node.function is not None)
        result = sum(F.vdot(g, Tensor(arriving(g, order))) for g in found)
        leaves.append(u)


@each_entry
def test_the_fast_path_gives_the_numbers_of_the_recorded_path(entry):
    leaves = entry.leaves()
    result = entry.f(*leaves)
    u = arriving(result)
    fast = pull_back(result, u, leaves)
    recorded = pull_back(result, u, leaves, create_graph=True)
    for quick, slow, x in zip(fast, recorded, leaves):
        assert type(quick._array) is type(slow._array)
        assert quick.shape == slow.shape == x.shape
        np.testing.assert_array_equal(quick._array, slow._array)  # the same calls: bit for bit


@each_entry
def test_float32_stays_float32_to_second_order(entry):
    leaves = entry.leaves(np.float32)
    result = entry.f(*leaves)
    assert result.dtype == np.float32
    u = arriving(result)
    found = pull_back(result, u, leaves, create_graph=True)
    assert [g.dtype for g in found] == [np.float32] * len(leaves)
    for g in behind(*(g.node for g in found)):
        assert g.value.dtype.kind != "f" or g.value.dtype == np.float32 or "astype" in entry.name
    second = pull_back(sum(F.vdot(g, Tensor(arriving(g))) for g in found), np.float32(1), leaves)
    assert [g.dtype for g in second] == [np.float32] * len(leaves)
    exact_leaves = entry.leaves()
    exact_result = entry.f(*exact_leaves)
    np.testing.assert_allclose(result._array, exact_result._array, rtol=1e-4, atol=1e-5)
    for g, exact in zip(found, pull_back(exact_result, u.astype(float), exact_leaves)):
        np.testing.assert_allclose(g._array, exact._array, rtol=1e-3, atol=1e-4)


# --- Conventions ---------------------------------------------------------------------------------


def slope(f, x, *others):
    """The derivative of a function of one number."""
    return grad(f)(float(x), *others).item()


def test_the_derivative_of_relu_at_0_is_0():
    assert slope(F.relu, 0) == 0
    assert slope(F.relu, -0.0) == 0
    assert slope(F.relu, 1e-300) == 1


def test_the_derivative_of_abs_at_0_is_0_as_that_of_the_l1_penalty():
    assert slope(abs, 0) == 0
    weight = Tensor([0.0, 2.0, -3.0], requires_grad=True)
    F.l1_penalty(weight, 0.5).backward()
    np.testing.assert_array_equal(weight.grad.data, [0, 0.5, -0.5])


def test_the_derivative_of_leaky_relu_at_0_is_its_slope():
    assert slope(lambda x: F.leaky_relu(x, 0.25), 0) == 0.25


@pytest.mark.parametrize("f", [F.maximum, F.minimum])
def test_arrays_that_tie_share_the_gradient_in_halves(f):
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([1.0, 5.0], requires_grad=True)
    f(x, y)[0].backward()
    np.testing.assert_array_equal(x.grad.data, [0.5, 0])
    np.testing.assert_array_equal(y.grad.data, [0.5, 0])


@pytest.mark.parametrize("f", [F.maximum, F.minimum])
@pytest.mark.parametrize("number", [1, 1.0])
def test_a_tie_with_a_number_goes_to_the_number(f, number):
    assert slope(lambda x: f(x, number), 1) == 0
    assert slope(lambda x: f(number, x), 1) == 0


@pytest.mark.parametrize("f", [F.max, F.min])
def test_equal_extremes_share_the_gradient_equally(f):
    x = Tensor([[3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 1.0, 2.0]], requires_grad=True)
    f(x, axis=1).sum().backward()
    second = [0, 0.5, 0, 0.5] if f is F.max else [0.5, 0, 0.5, 0]
    np.testing.assert_array_equal(x.grad.data, [[0.25] * 4, second])


def test_powers_at_0_have_the_derivatives_of_their_formulas():
    assert slope(lambda x: x**0, 0) == 0
    assert slope(lambda x: x**0.0, 0) == 0
    assert slope(lambda x: x**1, 0) == 1
    assert slope(lambda x: x**2, 0) == 0
    assert slope(lambda x: x**3, 0) == 0
    assert slope(grad(lambda x: x**2), 0) == 2
    assert slope(grad(lambda x: x**3), 0) == 0
    assert slope(grad(grad(lambda x: x**3)), 0) == 6
    assert slope(lambda y: 0**y, 2) == 0
    for exponent, curvature in (3.0, 0), (2.0, 2), (1.0, 0):
        x, y = Tensor([0.0], requires_grad=True), Tensor([exponent], requires_grad=True)
        first = pull_back(x**y, np.ones(1), [x, y], create_graph=True)
        assert [g.item() for g in first] == [1 if exponent == 1 else 0, 0]
        assert pull_back(first[0], np.ones(1), [x])[0].item() == curvature


def test_sigmoid_and_softplus_are_smooth_at_0():
    assert slope(F.sigmoid, 0) == 0.25
    assert slope(grad(F.sigmoid), 0) == 0
    assert slope(grad(grad(F.sigmoid)), 0) == -0.125
    assert slope(F.softplus, 0) == 0.5
    assert slope(grad(F.softplus), 0) == 0.25
    assert slope(grad(grad(F.softplus)), 0) == 0


# --- Sums of gradients ---------------------------------------------------------------------------


def test_a_tensor_used_several_times_gets_the_sum_of_its_gradients():
    a = Tensor([1.0, 2.0], requires_grad=True)
    b = a + a  # both rules of add hand on the same array
    c = b + b * a + b
    c.backward([1.0, 1.0])  # c = 4 a + 2 a²
    np.testing.assert_array_equal(a.grad.data, [8, 12])


def test_two_leaves_that_were_handed_the_same_gradient_accumulate_apart():
    x, y = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    u = Tensor([1.0, 10.0])
    (x + y).backward(u)
    (3 * x).backward(u)
    np.testing.assert_array_equal(x.grad.data, [4, 40])
    np.testing.assert_array_equal(y.grad.data, [1, 10])
    np.testing.assert_array_equal(u.data, [1, 10])


def test_the_arriving_gradient_may_be_changed_afterwards():
    x = Tensor([1.0, 2.0], requires_grad=True)
    u = np.array([1.0, 10.0])
    (x + 0).backward(u)
    u[:] = 7
    np.testing.assert_array_equal(x.grad.data, [1, 10])


@each_entry
def test_pulling_back_twice_gives_the_same_and_changes_no_value(entry):
    leaves = entry.leaves()
    result = entry.f(*leaves)
    before = [np.array(node.value) for node in behind(result.node)]
    u = arriving(result)
    first = [g.numpy() for g in pull_back(result, u, leaves)]
    second = pull_back(result, u, leaves)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b._array)
    for value, node in zip(before, behind(result.node)):
        np.testing.assert_array_equal(value, node.value)
    np.testing.assert_array_equal(u, arriving(result))
