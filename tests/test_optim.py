"""Optimizers and schedules: 20 steps beside PyTorch's, and states that go on where they were."""

import numpy as np
import pytest

from tinygrad_reg import Tensor, nn, optim

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}),
]
SCHEDULES = [
    ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    ("StepLR", {"step_size": 7, "gamma": 0.3}),
]


def starts():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 4)), rng.standard_normal(5)]


@pytest.mark.parametrize(("schedule", "schedule_settings"), SCHEDULES)
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_steps_are_those_of_pytorch(name, settings, schedule, schedule_settings):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install -e '.[oracle]'")
    ours = [Tensor(start, requires_grad=True) for start in starts()]
    theirs = [torch.tensor(start, requires_grad=True) for start in starts()]
    our_optimizer = getattr(optim, name)(ours, **settings)
    their_optimizer = getattr(torch.optim, name)(theirs, **settings)
    our_schedule = getattr(optim, schedule)(our_optimizer, **schedule_settings)
    their_schedule = getattr(torch.optim.lr_scheduler, schedule)(
        their_optimizer, **schedule_settings
    )
    for _ in range(20):
        our_optimizer.zero_grad()
        their_optimizer.zero_grad()
        sum(((1 + (p - 1) ** 2) ** 0.5).sum() for p in ours).backward()
        sum(((1 + (p - 1) ** 2) ** 0.5).sum() for p in theirs).backward()
        our_optimizer.step()
        their_optimizer.step()
        our_schedule.step()
        their_schedule.step()
        assert our_optimizer.lr == pytest.approx(their_optimizer.param_groups[0]["lr"], rel=1e-9)
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_a_schedule_stays_at_its_end():
    optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=3, eta_min=0.25)
    for _ in range(10):
        schedule.step()
    assert optimizer.lr == 0.25


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_parameter_without_gradient_stays_as_it_is(name, settings):
    used, unused = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = getattr(optim, name)([unused, used], **settings)
    (used * 2).sum().backward()
    optimizer.step()
    assert unused.item() == 1
    assert used.item() != 1


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_float32_stays_float32(name, settings):
    p = Tensor(np.float32([1, 2]), requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings)
    (p**2).sum().backward()
    optimizer.step()
    assert p.dtype == np.float32


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_single_number_is_trained_too(name, settings):
    p = Tensor(1.0, requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings)
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).backward()
        optimizer.step()
    assert abs(p.item()) < 1


def test_a_parameter_listed_twice_is_stepped_once():
    p = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p, p], lr=0.1)
    (2 * p).sum().backward()
    optimizer.step()
    assert p.item() == 0.8


def test_numpy_floats_as_settings_widen_nothing():
    p = Tensor(np.float32([1, 2]), requires_grad=True)
    optimizer = optim.AdamW([p], lr=np.float64(0.1), weight_decay=np.float64(0.1))
    schedule = optim.StepLR(optimizer, 1, gamma=np.float64(0.5))
    (p**2).sum().backward()
    optimizer.step()
    schedule.step()
    optimizer.step()
    assert p.dtype == np.float32


def test_a_model_that_changes_type_keeps_it_in_the_next_step():
    p = Tensor(np.float32([1, 2]), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.replace(p.data.astype(np.float16))
    (p**2).sum().backward()
    optimizer.step()
    assert p.dtype == np.float16


def test_a_value_seen_before_a_step_is_not_changed_by_it():
    p = Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    before = p.data
    for _ in range(3):
        optimizer.zero_grad()
        (p**2).sum().backward()
        optimizer.step()
    np.testing.assert_array_equal(before, [1, 2])


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_model_made_wider_later_keeps_what_the_old_type_cannot_hold(name, settings):
    p = Tensor(np.float32([1, 2]), requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings | {"lr": 1e-12})
    p.replace(np.array([1 + 1e-10, 2 + 1e-10]))
    p.sum().backward()
    optimizer.step()
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.data, [1 + 1e-10, 2 + 1e-10], rtol=1e-11)


def test_a_frozen_parameter_stays_as_it_is_though_it_has_a_gradient():
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p, q], lr=1.0)
    (p * q).sum().backward()
    p.requires_grad = False
    optimizer.step()
    assert (p.item(), q.item()) == (1, 0)


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        (Tensor([1.0, 2.0], requires_grad=True), TypeError, r"Tensor of shape \(2,\); write \[p\]"),
        ({"w": Tensor(1.0, requires_grad=True)}, TypeError, r"dict; write list\(d.values\(\)\)"),
        (nn.Linear(2, 2), TypeError, r"Linear; write model.parameters\(\)"),
        (nn.Sequential(nn.ReLU()), TypeError, r"Sequential; write model.parameters\(\)"),
        (iter(()), ValueError, "there are no parameters to train"),
        ([{"params": [Tensor(1.0, requires_grad=True)]}], TypeError, "can train only tensors"),
    ],
)
def test_parameters_come_in_a_list(parameters, kind, message):
    with pytest.raises(kind, match=f"^optimizer: .*{message}"):
        optim.SGD(parameters, lr=0.1)


class Custom(optim.SGD):
    """Subtracts what a function makes of p and g."""

    def __init__(self, parameters, f):
        super().__init__(parameters, lr=1.0)
        self.f = f

    def update(self, i, p, g):
        return self.f(p, g)


def stepped_by(f, start):
    p = Tensor(start, requires_grad=True)
    optimizer = Custom([p], f)
    (p * 2.0).sum().backward()
    optimizer.step()
    return p


@pytest.mark.parametrize("start", [[1.0, 3.0], 1.0, [[1.0, 3.0]]])
@pytest.mark.parametrize(
    "f", [lambda p, g: g, lambda p, g: g[...], lambda p, g: Tensor(g), lambda p, g: 2]
)
def test_an_update_may_be_the_gradient_itself_which_stays_as_it_is(f, start):
    p = stepped_by(f, start)
    np.testing.assert_array_equal(p.data, np.array(start) - 2)
    np.testing.assert_array_equal(p.grad.data, np.full(np.shape(start), 2.0))


def test_an_update_may_be_what_the_optimizer_keeps():
    kept = np.array([0.5, 0.25])
    assert stepped_by(lambda p, g: kept, [1.0, 1.0]).data.tolist() == [0.5, 0.75]
    assert kept.tolist() == [0.5, 0.25]


def spoil(array):
    array *= 0.5
    return array


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda p, g: spoil(g), "read-only"),
        (lambda p, g: spoil(p), "read-only"),
        (lambda p, g: None, "optimizer: what update returned: .*NoneType"),
        (
            lambda p, g: g[:, None],
            r"update returned shape \(2, 1\) for a parameter of shape \(2,\)",
        ),
        (lambda p, g: np.ones(3), "optimizer: what update returned: .*broadcast"),
    ],
)
def test_an_update_that_makes_no_sense_changes_nothing(f, message):
    p = Tensor([1.0, 2.0], requires_grad=True)
    (p * 2.0).sum().backward()
    with pytest.raises((TypeError, ValueError), match=message):
        Custom([p], f).step()
    assert p.data.tolist() == [1, 2]
    assert p.grad.data.tolist() == [2, 2]


# --- States --------------------------------------------------------------------------------------


def made(name, settings, schedule="StepLR", schedule_settings=SCHEDULES[1][1], values=None):
    parameters = [Tensor(value, requires_grad=True) for value in values or starts()]
    optimizer = getattr(optim, name)(parameters, **settings)
    return parameters, optimizer, getattr(optim, schedule)(optimizer, **schedule_settings)


def stepped(parameters, optimizer, schedule):
    for _ in range(10):
        optimizer.zero_grad()
        sum(((1 + (p - 1) ** 2) ** 0.5).sum() for p in parameters).backward()
        optimizer.step()
        schedule.step()
    return [p.numpy() for p in parameters]


@pytest.mark.parametrize(("schedule", "schedule_settings"), SCHEDULES)
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_state_goes_on_where_it_was_with_its_own_settings(
    name, settings, schedule, schedule_settings
):
    one = made(name, settings, schedule, schedule_settings)
    halfway = stepped(*one)
    states = one[1].state_dict(), one[2].state_dict()
    end = stepped(*one)  # changes no state that was taken before
    others = settings | {"lr": 7.0, "weight_decay": 0.9}
    for _ in range(2):  # the first time changes nothing in the states it goes on from
        two = made(name, others, schedule, schedule_settings, halfway)
        for part, state in zip(two[1:], states):
            part.load_state_dict(state)
        for a, b in zip(stepped(*two), end, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_state_takes_the_type_of_the_parameters():
    _, optimizer, _ = made("Adam", {}, values=[np.float32([1, 2])])
    state = optimizer.state_dict() | {"first": [np.array([0.5, 0.25])], "lr": 1}
    optimizer.load_state_dict(state)
    assert optimizer.first[0].dtype == np.float32
    np.testing.assert_array_equal(optimizer.first[0], [0.5, 0.25])


@pytest.mark.parametrize(
    ("name", "settings", "change", "message"),
    [
        ("AdamW", {}, {}, r"AdamW.class is 'Adam', but must be 'AdamW'; nothing was loaded"),
        ("SGD", {}, {}, "SGD.class is 'Adam', but must be 'SGD'"),
        ("Adam", {}, {"first": []}, "Adam.first is a list of 0, but must be a list of 2"),
        ("Adam", {}, {"first": None}, "Adam.first is of type NoneType, but must be a list of 2"),
        ("Adam", {}, {"second": [np.zeros((3, 4)), np.zeros(6)]},
         r"Adam.second.1 is an array of floats of shape \(6,\), but must be .* \(5,\)"),
        ("Adam", {}, {"second": [np.zeros((3, 4)), np.zeros(5, int)]},
         r"Adam.second.1 is an array of ints of shape"),
        ("Adam", {}, {"eps": "small"}, "Adam.eps is 'small', but must be a number"),
        ("Adam", {}, {"eps": True}, "Adam.eps is of type bool, but must be a number"),
        ("Adam", {}, {"betas": [0.9, 0.9]}, "Adam.betas is a list of 2, but must be a tuple of 2"),
        ("Adam", {}, {"more": 1}, "Adam is a dict of .*, more, .*, but must be a dict of betas, "),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_whole(name, settings, change, message):
    one = made("Adam", {})
    stepped(*one)
    state = one[1].state_dict() | change
    _, optimizer, _ = two = made(name, settings)
    stepped(*two)
    before = repr(optimizer.state_dict())
    with pytest.raises(ValueError, match=f"^load_state_dict: {message}"):
        optimizer.load_state_dict(state)
    assert repr(optimizer.state_dict()) == before


def test_the_state_of_another_schedule_is_refused():
    _, _, cosine = made("SGD", {}, *SCHEDULES[0])
    _, _, steps = made("SGD", {}, *SCHEDULES[1])
    with pytest.raises(ValueError, match=r"StepLR\.class is 'CosineAnnealingLR', but must be"):
        steps.load_state_dict(cosine.state_dict())
