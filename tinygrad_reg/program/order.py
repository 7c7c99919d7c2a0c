"""The order of a program's calls: what is computed first, and when the state is written.

    early    up to the last decision and the last result: as long as something can still go wrong
    tail     the rest, in which the state gets its new values, in place

An update, the calls that only a new value of the state is made of, element by element, comes as
soon as its gradient is there and nobody needs the old value any more.  Then the gradient's memory
is free for the next one.  Updates of small arrays come last: several that do the same are done as
one, on arrays that lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .passes import Program, guards_first, is_elementwise, sooner
from .recorder import Call, Draw, Value, guard, is_array

Group = list[Call]  # the calls of an update

SMALL = 1 << 15  # bytes of an array that is worth to be put beside others


class Order:
    """When each call of a program is made.

    Parameters
    ----------
    program
        The calls.
    state
        The inputs that are arrays of the state, by name: they stay where they are.
    written
        The names of those that get new values.
    is_plain
        Tells whether a call can be made in the tail: with memory that is there before.

    Attributes
    ----------
    early, tail
        The calls; in the tail also updates, each a list of calls.
    finals
        The new values of the state, by name.
    flat
        Arrays of the state that lie side by side, by the name of the whole.
    wholes
        The values of these wholes.
    slices
        For the results that are computed side by side: the whole, and where it starts, in bytes.
    """

    def __init__(
        self,
        program: Program,
        state: dict[str, Value],
        written: list[str],
        is_plain: Callable[[Call], bool],
    ) -> None:
        self.state = state
        self.written = written
        self.name_of = {value: name for name, value in state.items()}
        self.finals = {name: program.outputs[name] for name in written}
        self.targets = {
            x: name for name, x in reversed(self.finals.items()) if isinstance(x, Value)
        }
        self.flat: dict[str, list[str]] = {}
        self.wholes: dict[Value, str] = {}
        self.slices: dict[Value, tuple[Value, int]] = {}
        self.is_plain = is_plain

        program = sooner(numbers_first(guards_first(program)))
        late = self.late(program)
        rest = [call for call in program.calls if call.result not in late]
        groups = in_components([call for call in program.calls if call.result in late])
        start = len(rest)
        while start and is_plain(rest[start - 1]):
            start -= 1
        self.early = rest[:start]
        updates: dict[int, list[Group]] = {}
        for group in groups:
            if not is_small(group):
                updates.setdefault(max(start, self.ready(group, rest)), []).append(group)
        if min(updates, default=len(rest)) == len(rest):  # nothing comes sooner by a tail
            self.early, start = rest, len(rest)
        updates.setdefault(len(rest), []).extend(self.joined([*filter(is_small, groups)]))
        self.tail: list[Call | Group] = []
        for i in range(start, len(rest) + 1):
            self.tail += updates.get(i, [])
            self.tail += rest[i : i + 1]

    @property
    def calls(self) -> list[Call]:
        """All calls, in their order."""
        tail = [[one] if isinstance(one, Call) else one for one in self.tail]
        return [*self.early, *(call for calls in tail for call in calls)]

    def late(self, program: Program) -> set[Value]:
        """The results that only new values of the state are made of, element by element."""
        there = {*self.name_of}  # what is in memory that stays where it is
        for call in program.calls:
            if self.is_plain(call) and not (call.is_view and there.isdisjoint(call.inputs)):
                there.add(call.result)
        users = program.users()
        late: set[Value] = set()
        for call in reversed(program.calls):
            value = call.result
            used = users.get(value, [])
            if (
                is_elementwise(call)
                and value in there
                and there.issuperset(filter(is_array, call.inputs))
                and (used or value in self.targets)
                and all(user.result in late for user in used)
            ):
                late.add(value)
        return late

    def ready(self, group: Group, rest: list[Call]) -> int:
        """How many of the other calls come before an update: those that it waits for."""
        inputs = {x for call in group for x in call.inputs}
        new = [call.result for call in group if call.result in self.targets]
        old = {self.state[self.targets[x]] for x in new}
        ready = 0
        for i, call in enumerate(rest):
            if call.result in inputs or old.intersection(call.inputs):
                ready = i + 1
                if call.is_view:
                    old.add(call.result)
        return ready

    # --- Side by side ----------------------------------------------------------------------------

    def joined(self, groups: list[Group]) -> list[Group]:
        """Groups of calls that do the same to small arrays, as one group on longer arrays.

        The arrays of several parameters then lie side by side, and so do their gradients.
        """
        alike: dict[Any, list[Group]] = {}
        for group in groups:
            alike.setdefault(self.kind_of(group), []).append(group)
        result = []
        for kind, members in alike.items():
            result += [self.joined_group(members)] if kind and len(members) > 1 else members
        return result

    def kind_of(self, group: Group) -> Any:
        """What groups that can be joined have in common; None if a group cannot."""
        shape, dtype = group[0].result.shape, group[0].result.dtype
        alike = shape, dtype, np.empty(shape, dtype).strides
        late = {call.result for call in group}
        numbers: dict[Value, int] = {}
        steps: list[Any] = [dtype]
        for call in group:
            steps.append(call.function)
            if call.options:
                return None
            for x in (*call.args, call.result):
                if isinstance(x, np.ndarray) and x.ndim:
                    return None  # a constant array fits the arrays of one group alone
                if not is_array(x):
                    steps.append(x if isinstance(x, Value) else repr(x))
                    continue
                target = self.state.get(self.targets.get(x, ""))
                name = self.name_of.get(x)
                known = name is None or name in self.written
                views = x.call is not None and x.call.is_view
                if (x.shape, x.dtype, x.strides) != alike or not known or views:
                    return None
                if target is not None and target not in numbers:
                    return None
                number = numbers.setdefault(x, len(numbers))
                steps.append((number, name is None, x in late, target and numbers[target]))
        return tuple(steps)

    def joined_group(self, groups: list[Group]) -> Group:
        """One group instead of several of the same kind."""
        sizes = [prod(group[0].result.shape) for group in groups]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        whole: dict[Value, Value] = {}
        late = {call.result for group in groups for call in group}

        def joined(parts: tuple[Any, ...]) -> Any:
            x = parts[0]
            if not is_array(x):
                return x
            if x not in whole:
                value = whole[x] = Value(np.empty(sum(sizes), x.dtype))
                if x in self.name_of:
                    name = self.wholes[value] = f"f{len(self.flat)}"
                    self.flat[name] = [self.name_of[part] for part in parts]
                elif x not in late:
                    for part, start in zip(parts, starts):
                        self.slices[part] = value, start * x.dtype.itemsize
            return whole[x]

        result = []
        for calls in zip(*groups):
            args = tuple(joined(parts) for parts in zip(*(call.args for call in calls)))
            call = calls[0].copy(args, {})
            call.result = joined(tuple(one.result for one in calls))
            call.result.call = call
            result.append(call)
        for call in groups[0]:
            if call.result in self.targets:
                old = whole[self.state[self.targets[call.result]]]
                self.finals[self.wholes[old]] = whole[call.result]
        return result


def numbers_first(program: Program) -> Program:
    """Compute first what comes from numbers alone, as an optimizer's rate in this step."""
    known = {x for x in program.inputs.values() if not is_array(x)}
    first = []
    for call in program.calls:
        ordered = call.function is guard or isinstance(call.function, Draw)
        if not ordered and not is_array(call.result) and known.issuperset(call.inputs):
            known.add(call.result)
            first.append(call)
    rest = [call for call in program.calls if call.result not in known]
    return Program(first + rest, program.inputs, program.outputs)


def is_small(group: Group) -> bool:
    """Tell whether an update is one of small arrays."""
    return group[0].result.nbytes <= SMALL


def in_components(calls: list[Call]) -> list[Group]:
    """Sort calls into groups that have no array in common, and stay in their order."""
    group_of: dict[Any, Group] = {}
    for call in calls:
        arrays = [x for x in (*call.inputs, call.result) if is_array(x)]
        groups = {id(group_of[x]): group_of[x] for x in arrays if x in group_of}
        merged = [one for group in groups.values() for one in group] + [call]
        for one in merged:
            for x in (*one.inputs, one.result):
                if is_array(x):
                    group_of[x] = merged
    position = {call: i for i, call in enumerate(calls)}
    groups = {id(group): sorted(group, key=position.__getitem__) for group in group_of.values()}
    return [groups[key] for key in groups]
