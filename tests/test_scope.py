"""Scopes and `no_grad`: in threads, tasks and generators, and in whatever order they are left."""

import asyncio
import contextlib
import functools
import gc
import hashlib
import inspect
import itertools
import os
import subprocess
import sys
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest

import tinygrad_reg
from tinygrad_reg import Tensor, composite, memory, nn, no_grad, optim, save_memory, scope
from tinygrad_reg import functional as F
from tinygrad_reg.blocks import observing
from tinygrad_reg.scope import Observer, current, program

X = Tensor([1.0, 2.0], requires_grad=True)


def state():
    """Whether what is computed here is recorded, and in which scopes."""
    y = X * 2
    return y.requires_grad, [s.name for s in y.node.scope.path]


OUTSIDE, QUIET = (True, []), (False, [])


def in_a_context_of_its_own(test):
    """Decorate a test that leaves blocks behind."""
    return functools.wraps(test)(lambda: copy_context().run(test))


# --- Generators ----------------------------------------------------------------------------------


def resting(name="inside"):
    """A generator that rests twice in a block."""
    with no_grad(), scope(name):
        yield state()
        yield state()
    yield state()


def test_a_block_around_a_yield_stays_in_force_for_the_caller_while_the_generator_rests():
    seen = []
    for item in resting():
        seen += [item, state()]
    inside = (False, ["inside"])
    assert seen == [inside] * 4 + [OUTSIDE] * 2
    assert current.get() is program


@pytest.mark.parametrize("order", [(0, 1, 0, 1, 0, 1), (0, 1, 1, 0, 1, 0), (0, 1, 1, 1, 0, 0)])
@pytest.mark.parametrize("finish", [list, lambda generator: generator.close()])
def test_generators_that_have_finished_leave_nothing_behind_in_whatever_order(order, finish):
    items = [resting("a"), resting("b")]
    for i in order[:4]:
        next(items[i], None)
    for i in order[4:]:
        finish(items[i])
    assert current.get() is program
    with scope("after"):
        assert state() == (True, ["after"])


def test_a_dropped_generator_leaves_nothing_behind():
    items = resting()
    next(items)
    del items
    assert current.get() is program


def test_to_leave_a_block_is_to_leave_those_of_generators_that_rest_in_it():
    items = resting()
    with scope("mine"):
        assert next(items) == (False, ["mine", "inside"])
        assert state() == (False, ["mine", "inside"])
    assert state() == OUTSIDE
    assert list(items) == [OUTSIDE, OUTSIDE], "it goes on with what its caller has"
    assert current.get() is program


@pytest.mark.parametrize(
    "calls",
    [
        composite(lambda items: list(items)),
        type("Drain", (nn.Module,), {"forward": lambda self, items: list(items)})(),
    ],
    ids=["composite", "module"],
)
def test_a_call_ends_in_the_nearest_open_block_if_a_generator_left_one_meanwhile(calls):
    items = resting()
    next(items)
    calls(items)
    assert current.get() is program


@in_a_context_of_its_own
def test_a_generator_that_ends_in_another_thread_changes_nothing_there():
    items = resting()
    next(items)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (list(items), state())).result() == ([OUTSIDE] * 2, OUTSIDE)
    assert state() == (False, ["inside"]), "and nothing here, where its block was entered"


@in_a_context_of_its_own
def test_a_block_that_is_left_in_another_thread_leaves_that_thread_where_it_is():
    items = resting()
    next(items)

    def elsewhere():
        with scope("theirs"):
            list(items)
            return state()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(elsewhere).result() == (True, ["theirs"])
    assert state() == (False, ["inside"])


def test_decorated_generators_keep_their_blocks_to_themselves():
    @no_grad()
    def generator(name):
        yield state()
        with scope(name):
            yield state()
            yield state()

    first, second = generator("first"), generator("second")
    assert [next(first), state(), next(second), state()] == [QUIET, OUTSIDE] * 2
    assert next(first) == (False, ["first"])
    assert next(second) == (False, ["second"])
    with scope("mine"):
        assert next(first) == (False, ["first"])
        assert state() == (True, ["mine"])
    assert list(first) == []
    assert next(second) == (False, ["second"])
    second.close()
    assert current.get() is program


def test_decorators_of_generators_may_be_stacked():
    @no_grad()
    @scope("outer")
    @composite
    def generator():
        yield state()

    assert list(generator()) == [(False, ["outer", "generator"])]
    assert inspect.isgeneratorfunction(generator)


def test_decorated_coroutines_may_be_driven_by_hand_in_turn():
    @types.coroutine
    def pause():
        yield

    @no_grad()
    async def quiet(name):
        with scope(name):
            await pause()
            return state()

    first, second = quiet("first"), quiet("second")
    first.send(None)
    second.send(None)
    assert state() == OUTSIDE
    found = []
    for coroutine in first, second:
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        found.append(stop.value.value)
    assert found == [(False, ["first"]), (False, ["second"])]
    assert inspect.iscoroutinefunction(quiet)


def test_a_decorated_asynchronous_generator_gets_what_is_sent_and_thrown():
    @scope("inside")
    async def echo():
        sent = None
        while True:
            try:
                sent = yield sent, state()
            except KeyError:
                sent = "caught"

    async def use():
        items = echo()
        seen = [await items.asend(None), await items.asend(1), await items.athrow(KeyError())]
        await items.aclose()
        return seen, state()

    inside = (True, ["inside"])
    expected = [(None, inside), (1, inside), ("caught", inside)], OUTSIDE
    assert asyncio.run(use()) == expected


def drop_a_generator(function):
    for _ in function():
        break


def close_a_generator(function):
    items = function()
    next(items)
    items.close()


def throw_into_a_generator(function):
    items = function()
    next(items)
    with pytest.raises(LookupError):
        items.throw(LookupError)


def cancel_a_coroutine(function):
    async def main():
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def close_an_asynchronous_generator(function):
    async def main():
        items = function()
        await anext(items)
        await items.aclose()

    asyncio.run(main())


def throw_into_an_asynchronous_generator(function):
    async def main():
        items = function()
        await anext(items)
        with pytest.raises(LookupError):
            await items.athrow(LookupError)

    asyncio.run(main())


@pytest.mark.parametrize(
    "end",
    [
        drop_a_generator,
        close_a_generator,
        throw_into_a_generator,
        cancel_a_coroutine,
        close_an_asynchronous_generator,
        throw_into_an_asynchronous_generator,
    ],
)
def test_what_decorated_bodies_hold_is_freed_when_they_end(end):
    """Without the garbage collector: an error's traceback must close no circle."""

    class Held:
        pass

    def hold():
        held = Held()
        references.append(weakref.ref(held))
        return held

    @no_grad()
    def generator():
        held = hold()
        yield held

    @no_grad()
    async def coroutine():
        held = hold()
        await asyncio.sleep(60)
        return held

    @no_grad()
    async def asynchronous_generator():
        held = hold()
        yield held

    references = []
    functions = {"coroutine": coroutine, "asynchronous": asynchronous_generator}
    gc.disable()
    try:
        end(next((f for kind, f in functions.items() if kind in end.__name__), generator))
        assert [reference() for reference in references] == [None]
    finally:
        gc.enable()


def test_a_context_manager_written_as_a_generator_holds_for_its_block():
    @contextlib.contextmanager
    def evaluation():
        with no_grad(), scope("evaluation"):
            yield

    with evaluation():
        assert state() == (False, ["evaluation"])
    assert state() == OUTSIDE


@pytest.mark.parametrize(
    ("decorate", "inside"),
    [
        (no_grad(), QUIET),
        (scope("inside"), (True, ["inside"])),
        (composite, (True, ["f"])),
    ],
    ids=["no_grad", "scope", "composite"],
)
def test_decorators_reach_the_body_of_every_kind_of_function(decorate, inside):
    @decorate
    def f():
        return state()

    assert f() == inside
    assert f.__name__ == "f"

    @decorate
    def f():
        sent = yield state()
        assert sent == "sent"
        with pytest.raises(KeyError):
            yield state()
        return state()

    items = f()
    seen = [next(items), state(), items.send("sent"), state()]
    with pytest.raises(StopIteration) as stop:
        items.throw(KeyError())
    assert [*seen, stop.value.value] == [inside, OUTSIDE, inside, OUTSIDE, inside]

    @decorate
    async def f():
        await asyncio.sleep(0)
        return state()

    assert asyncio.run(f()) == inside

    @decorate
    async def f():
        yield state()
        yield state()

    async def collect():
        return [each async for item in f() for each in (item, state())]

    assert asyncio.run(collect()) == [inside, OUTSIDE] * 2
    assert state() == OUTSIDE


def test_one_block_may_be_entered_again_within_itself():
    quiet = no_grad()
    with quiet:
        with quiet:
            assert state() == QUIET
        assert state() == QUIET
    assert state() == OUTSIDE


def test_a_block_may_be_entered_in_a_function_and_left_after_it():
    quiet = no_grad()

    def enter():
        quiet.__enter__()

    enter()
    assert state() == QUIET
    quiet.__exit__()
    assert state() == OUTSIDE


def test_one_block_may_be_entered_by_two_threads_at_once():
    quiet, entered, left = no_grad(), threading.Event(), threading.Event()

    def other():
        with quiet:
            entered.set()
            assert left.wait(10)
            return state()

    with ThreadPoolExecutor(1) as pool:
        with quiet:
            result = pool.submit(other)
            assert entered.wait(10)
        assert state() == OUTSIDE
        left.set()
        assert result.result() == QUIET


def test_a_block_is_left_by_an_error_too():
    with pytest.raises(ValueError, match="here"), no_grad(), scope("inside"):
        raise ValueError("here")
    assert state() == OUTSIDE


# --- Tasks and threads ---------------------------------------------------------------------------


def test_tasks_do_not_see_each_others_blocks():
    async def quiet(entered, left):
        with no_grad(), scope("quiet"):
            entered.set()
            await left.wait()
            return state()

    async def main():
        entered, left = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(quiet(entered, left))
        await entered.wait()
        between = state()
        left.set()
        return between, await task

    assert asyncio.run(main()) == (OUTSIDE, (False, ["quiet"]))


def test_a_task_that_outlives_the_block_it_was_made_in_stays_in_it():
    async def states(left):
        first = state()
        await left.wait()
        with scope("later"):
            second = state()
        return first, second, state()

    async def main():
        left = asyncio.Event()
        with no_grad():
            task = asyncio.create_task(states(left))
            await asyncio.sleep(0)
        left.set()
        return await task, state()

    assert asyncio.run(main()) == ((QUIET, (False, ["later"]), QUIET), OUTSIDE)


def test_threads_do_not_see_each_others_blocks():
    entered, left = threading.Event(), threading.Event()

    def quiet():
        with no_grad(), scope("quiet"):
            entered.set()
            assert left.wait(10)
            return state()

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(quiet)
        assert entered.wait(10)
        assert state() == OUTSIDE
        left.set()
        assert result.result() == (False, ["quiet"])


def trained(seed):
    """The bits of a model after some steps, everything random from one generator."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Linear(6, 12, rng=rng), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.DropConnectLinear(12, 3, rng=rng),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    x, y = rng.standard_normal((40, 6)).astype(np.float32), rng.integers(0, 3, 40)
    for _ in range(50):
        loss = F.cross_entropy(model(x), y) + F.l2_penalty(model.weights(), 1e-3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with no_grad():
            assert not model(x).requires_grad
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def test_the_same_seed_gives_the_same_bits_in_two_processes():
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); " + (
        "import test_scope, hashlib; "
        "print(hashlib.sha256(repr(test_scope.trained(7)).encode()).hexdigest())"
    )
    bits = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert bits == [hashlib.sha256(repr(trained(7)).encode()).hexdigest()] * 2


def test_the_global_state_of_numpy_is_neither_read_nor_written():
    tinygrad_reg.seed(3)
    np.random.seed(1)
    before = np.random.get_state()
    bits = trained(7), F.dropout(np.ones(50)).numpy().tobytes(), nn.Linear(3, 3).weight.numpy()
    for mine, now in zip(before, np.random.get_state()):
        np.testing.assert_array_equal(mine, now)
    tinygrad_reg.seed(3)
    np.random.seed(2)
    again = trained(7), F.dropout(np.ones(50)).numpy().tobytes(), nn.Linear(3, 3).weight.numpy()
    assert bits[:2] == again[:2]
    np.testing.assert_array_equal(bits[2], again[2])


def test_four_threads_train_four_models_to_the_same_bits_as_one_after_the_other():
    alone = [trained(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(trained, range(4))) == alone
    assert len({str(bits) for bits in alone}) == 4


@pytest.fixture
def hasty_threads():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.usefixtures("hasty_threads")
def test_gradients_from_four_threads_all_arrive_in_the_leaf_they_share(recorded):
    shared, times = Tensor([0.0, 0.0], requires_grad=True), 100 if recorded else 1000

    def bring(_):
        for _ in range(times):
            (shared * 1.0).sum().backward(create_graph=recorded)
            assert shared.grad is not None  # to look at it takes none away, either

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bring, range(4)))
    np.testing.assert_array_equal(shared.grad.data, [4 * times] * 2)


def test_another_thread_may_empty_the_cache_of_what_rules_read_at_any_moment(monkeypatch):
    class Emptied(dict):
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            self.clear()

    monkeypatch.setattr(memory, "known", Emptied())
    x = Tensor([1.0, 2.0], requires_grad=True)
    with save_memory():
        loss = (x * x).sum()
    loss.backward()
    assert x.grad.data.tolist() == [2, 4]


def test_an_observer_of_a_backward_pass_may_start_another():
    class Nested(Observer):
        def summed(self, node, g):
            if node is X.node:
                (other * 2.0).backward()

    leaf, other = Tensor(1.0, requires_grad=True), Tensor(1.0, requires_grad=True)
    leaf.grad = 1.0
    X.grad = None
    with observing(Nested()):
        (X.sum() * leaf).backward()
        (X.sum() * leaf).backward()
    assert other.grad.item() == 6
    assert leaf.grad.item() == 7
    X.grad = None


# --- Ctrl-C --------------------------------------------------------------------------------------


def interrupted(run):
    """Interrupt run() at each point where the interpreter looks for Ctrl-C.

    These are the beginning of a function, and the end of a call of one that is written in C.  Gives
    the names of those functions of the package where that left another scope than `program`.
    """
    package = os.path.dirname(tinygrad_reg.__file__)
    left_behind = []
    for point in itertools.count(1):
        passed = []

        def interrupt(frame, event, argument, point=point, passed=passed):
            if event in ("call", "c_return") and frame.f_code.co_filename.startswith(package):
                passed.append(frame.f_code.co_name)
                if len(passed) == point:
                    raise KeyboardInterrupt

        sys.setprofile(interrupt)
        try:
            run()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        if len(passed) < point:
            break
        if current.get() is not program:
            left_behind.append(passed[point - 1])
            current.set(program)
    return left_behind


def with_blocks():
    with no_grad(), scope("inside"):
        X * 2
    with scope("after"):
        X * 2


@composite
def compute():
    with_blocks()
    return X * 2


@no_grad()
def generate():
    yield X * 2
    yield X * 2


MODEL = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
OPTIMIZER = optim.SGD(MODEL.parameters())


def train():
    OPTIMIZER.zero_grad()
    MODEL(np.ones((1, 2), np.float32)).sum().backward()
    OPTIMIZER.step()


@pytest.mark.parametrize(
    "run",
    [
        compute,
        no_grad()(with_blocks),
        lambda: nn.ReLU()(X),
        lambda: list(generate()),
        lambda: (X * X).sum().backward(create_graph=True),
        train,
    ],
    ids=["composite", "no_grad", "module", "generator", "create_graph", "train"],
)
def test_ctrl_c_leaves_no_scope_behind(run):
    assert interrupted(run) == []


def test_ctrl_c_leaves_a_block_behind_only_as_its_exit_begins():
    assert set(interrupted(with_blocks)) == {"__exit__"}


# --- Processes -----------------------------------------------------------------------------------


def doubled(x):
    return x * 2


def doubled_twice(x):
    yield x * 2
    yield x * 4


@pytest.mark.parametrize("decorate", [composite, no_grad(), scope("double")])
@pytest.mark.parametrize("function", [doubled, doubled_twice])
def test_decorated_functions_go_to_other_processes(decorate, function):
    """joblib sends functions of a script by their code, with all that it refers to."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="it comes with joblib")
    script = {"__name__": "__main__", "decorate": decorate}
    exec(inspect.getsource(function), script)
    decorated = decorate(script[function.__name__])
    copy = cloudpickle.loads(cloudpickle.dumps(decorated))
    result = copy(3)
    assert (list(result) if inspect.isgeneratorfunction(function) else result) in (6, [6, 12])
