"""Observers: what they are told, in which order, and by whose block."""

import dataclasses

import numpy as np
import pytest

from tinygrad_reg import Tensor, draw_backward
from tinygrad_reg.blocks import observing
from tinygrad_reg.scope import Observer


class Log(Observer):
    """Writes down what it is told."""

    def __init__(self):
        self.lines = []

    def computed(self, node, function, inputs):
        self.lines.append(f"{function.__name__} of {' and '.join(map(called, inputs))}")

    def summed(self, node, g):
        self.lines.append(f"{called(node)}: {number(g)}")

    def pulled(self, node, position, g, part):
        self.lines.append(f"{called(node)} makes of {number(g)} {number(part)} at {position}")

    def passed(self, node):
        self.lines.append(f"{called(node)} is done")


def called(x):
    return str(x) if isinstance(x, int) else x.name or x.function.__name__


def number(x):
    return int(x.item())


FORWARD = ["multiply of x and y", "add of multiply and 2"]
BACKWARD = [
    "add: 1", "add makes of 1 1 at 0", "add is done",
    "multiply: 1", "multiply makes of 1 4 at 0", "multiply makes of 1 3 at 1", "multiply is done",
    "y: 3",
    "x: 4",
]  # fmt: skip


def x_and_y():
    x, y = Tensor(3.0, requires_grad=True, name="x"), Tensor(4.0, requires_grad=True, name="y")
    return x, y


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_observer_is_told_of_four_moments_in_order(create_graph):
    """Of the operations of a recorded backward pass it is told nothing: they are derivatives."""
    x, y = x_and_y()
    log = Log()
    with observing(log):
        (x * y + 2).backward(create_graph=create_graph)
    assert log.lines == FORWARD + BACKWARD


@pytest.mark.parametrize("create_graph", [False, True])
def test_it_hears_of_a_later_sweep_through_what_was_recorded_in_its_block(create_graph):
    x, y = x_and_y()
    log = Log()
    with observing(log):
        result = x * y + 2
    assert log.lines == FORWARD
    result.backward(create_graph=create_graph)
    # Of the leaves, made outside, it is told nothing.
    assert log.lines == FORWARD + [line for line in BACKWARD if line[0] not in "xy"]


def test_it_hears_of_a_sweep_in_its_block_through_what_was_recorded_outside():
    x, y = x_and_y()
    log = Log()
    result = x * y + 2
    with observing(log):
        result.backward()
    assert log.lines == BACKWARD


def test_it_hears_everything_once_however_often_it_watches():
    x, y = x_and_y()
    log = Log()
    watching = observing(log)
    with watching, observing(log):
        result = x * y + 2
    with watching:
        result.backward()
    assert log.lines == FORWARD + BACKWARD


def test_two_observers_are_told_of_each_step_one_after_the_other():
    x, y = x_and_y()
    outer, inner = Log(), Log()
    inner.lines = outer.lines
    with observing(outer), observing(inner):
        (x * y + 2).backward()
    assert outer.lines == [line for line in FORWARD + BACKWARD for _ in range(2)]


def test_observers_are_told_apart_by_identity():
    """Two that are equal are two, and one that has no hash is as good as any."""

    @dataclasses.dataclass
    class Equal(Log):
        lines: list[str] = dataclasses.field(default_factory=list, compare=False)

    x, y = x_and_y()
    observers = [Equal(), Equal()]
    with observing(observers[0]), observing(observers[1]):
        result = x * y + 2
    with observing(observers[0]):
        result.backward()
    assert observers[0].lines == FORWARD + BACKWARD
    assert observers[1].lines == FORWARD + BACKWARD[:-2], "the leaves were made outside its block"


def test_an_error_in_an_observer_ends_the_sweep_and_no_gradient_has_changed():
    class Stop(Observer):
        def passed(self, node):
            raise LookupError("seen enough")

    x, y = x_and_y()
    with observing(Stop()):
        result = x * y + 2
    with pytest.raises(LookupError, match="seen enough"):
        result.backward()
    assert [x.grad, y.grad] == [None, None]


def test_a_picture_of_the_backward_pass_can_be_drawn_of_a_watched_graph():
    x, _ = x_and_y()
    log = Log()
    with observing(log):
        result = np.exp(x) * x
    assert "∂ exp" in str(draw_backward(result, x))
