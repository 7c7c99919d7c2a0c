"""`compile`: programs give what the engine gives, bit for bit, and leave what it leaves."""

import warnings

import numpy as np
import pytest
from catalogue import catalogue, sample

import tinygrad_reg as tg
from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F
from tinygrad_reg.nested import tree_paths
from tinygrad_reg.program.recorder import same_bits

# --- Every function ------------------------------------------------------------------------------


def same(a, b):
    """Whether two arrays are the same to the last bit, NaN and the sign of zero included."""
    return same_bits(np.asarray(a), np.asarray(b))


def value_and_gradients(entry):
    """A function of arrays: the value of an entry, and its gradients, from a fixed one."""

    def f(*arrays):
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        result = entry.f(*leaves)
        if result.requires_grad:
            (result * np.cos(np.arange(float(result.size)).reshape(result.shape))).sum().backward()
        grads = [leaf.grad for leaf in leaves]
        return [result.detach(), *(g for g in grads if g is not None)]

    return f


@pytest.mark.parametrize("name", sorted(catalogue))
def test_programs_give_what_the_engine_gives(name):
    for entry in sample(name, 3):
        f = value_and_gradients(entry)
        step = tg.compile(f)
        rng = np.random.default_rng(0)
        for call in range(4):
            arrays = [np.array(x) for x in entry.inputs]
            for x in arrays:
                x *= 1 + 0.01 * (call % 2) * rng.random()  # others nearby: the same decisions
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected, found = f(*arrays), step(*arrays)
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                assert same(a._array, b._array), (name, call)
        assert len(step.programs) == 1, step.eager


# --- Random programs -----------------------------------------------------------------------------


def as_function(program):
    """A random program as a function of the numbers in its leaves: values and gradients."""
    programs = pytest.importorskip("programs")
    leaves = [k for k, line in program.items() if isinstance(line, programs.Leaf)]
    names = {"np": np, "Tensor": Tensor, "F": F, "gram": programs.gram}
    names |= {"primitives": tg.primitives, "more_primitives": tg.more_primitives}

    def f(*arrays):
        known = dict(names)
        for k, x in zip(leaves, arrays):
            known[f"x{k}"] = Tensor(x, requires_grad=program[k].requires_grad)
        for k, line in program.items():
            if k not in leaves:
                known[f"x{k}"] = eval(line.ours(), known)
        values = [known[f"x{k}"] for k in programs.unused(program)]
        loss = sum((v * v).sum() for v in values)
        if loss.requires_grad:
            loss.backward()
        grads = [known[f"x{k}"].grad for k in leaves]
        return [*(v.detach() for v in values), *(g for g in grads if g is not None)]

    return f, [np.array(program[k].numbers) for k in leaves]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(75))
def test_random_programs_give_what_the_engine_gives(seed, dtype):
    draw_program = pytest.importorskip("programs").draw_program
    f, arrays = as_function(draw_program(seed))
    step = tg.compile(f)
    for call in range(4):
        for x in arrays:
            x *= 1 + 1e-4 * call
        given = [x.astype(dtype) for x in arrays]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, found = f(*given), step(*given)
        for a, b in zip(found, expected, strict=True):
            assert same(a._array, b._array), call
    assert len(step.programs) == 1, step.eager


# --- Trainings -----------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def network(seed, p=0.5):
    tg.seed(seed)
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p, rng=np.random.default_rng(1)),
        nn.DropConnectLinear(8, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3),
    )  # fmt: skip


class Training:
    """A network and everything that its step changes."""

    def __init__(self, make_optimizer, zero="first", penalty=0.01):
        self.model = network(0)
        self.optimizer = make_optimizer(self.model.parameters())
        self.zero, self.penalty = zero, penalty
        self.schedule = optim.CosineAnnealingLR(self.optimizer, T_max=30)

    def step(self, x, y):
        if self.zero == "first":
            self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        if self.penalty:
            loss = loss + F.l2_penalty(self.model.weights(), self.penalty)
            loss = loss + F.l1_penalty(self.model.weights(), [0.001, 0.002, 0.003])
        loss.backward()
        self.optimizer.step()
        if self.zero == "last":
            self.model.zero_grad()
        return loss

    def state(self):
        model = self.model.state_dict()
        optimizer = self.optimizer.state_dict()
        grads = {k: p.grad for k, p in self.model.named_parameters()}
        generators = [self.model[3].rng.bit_generator.state, tg.random.generator().bit_generator.state]
        return model, optimizer, grads, generators, self.schedule.state_dict()


def assert_same(a, b):
    """The same state, bit for bit."""
    a, b = tree_paths(a), tree_paths(b)
    assert [*a] == [*b]
    for path, x, y in zip(a, a.values(), b.values()):
        assert type(x) is type(y), path
        if isinstance(x, Tensor):
            x, y = x._array, y._array
        assert same(x, y) if isinstance(x, (np.ndarray, np.generic)) else x == y, path


def trained_in_lockstep(eager, compiled, batches, around=lambda training, i: None):
    """Train twins, and compare all that changes after each step."""
    step = tg.compile(compiled.step, compiled.model, compiled.optimizer, compiled.schedule)
    default = {}
    for i, (x, y) in enumerate(batches):
        results = []
        for training, run in ((eager, eager.step), (compiled, step)):
            if training in default:  # each has a default generator of its own
                tg.random.generator().bit_generator.state = default[training]
            else:
                tg.seed(7)
            around(training, i)
            loss = run(x, y)
            results.append((loss.item(), training.state()))
            default[training] = tg.random.generator().bit_generator.state
        assert_same(*results)
    return step


def batches(n, size=20):
    return [(X[i % 3 * 20 :][:size], Y[i % 3 * 20 :][:size]) for i in range(n)]


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "Adam with decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("zero", ["first", "last", "never"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trainings_leave_the_same_state(name, zero):
    make = OPTIMIZERS[name]
    eager, compiled = Training(make, zero), Training(make, zero)
    step = trained_in_lockstep(eager, compiled, batches(25))
    assert not step.eager
    assert len(step.programs) == 1
