"""`compile`: run a function, write down what it does, and from then on run what was written."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from ..errors import name_of
from ..files import write
from ..nested import tree_paths
from ..scope import here
from ..settings import check_callable
from ..tensor import Tensor
from .block import Block
from .compare import difference
from .plan import Failure
from .recorder import RecordingError, recording
from .recording import Recording
from .run import OTHER, Runnable
from .source import Writer
from .state import Part, State

P = ParamSpec("P")
R = TypeVar("R")

AGAIN = 10, 100, 1000  # calls that are recorded again, and compared
MOST_PROGRAMS = 8  # a note follows
OFTEN = 20  # decisions that fall otherwise, in less than ten times as many calls: a note follows
FLAT = {np.ndarray, Tensor, float, int}  # arguments of which most calls consist


def compile(function: Callable[P, R], *state: Part) -> Compiled[P, R]:
    """A function that does the same, as a NumPy program without the engine.

    What Python does besides, as to print or to append to a list, happens in recorded calls only:
    in the first two, and in the 10th, 100th and 1,000th.

    Parameters
    ----------
    function
        A training step, a function made by `grad` or `value_and_grad`, a module in eval mode: any
        function of arrays, tensors and numbers, also in lists, tuples and dictionaries.
    *state
        Everything that it changes, or that changes between calls: modules, optimizers, schedules,
        tensors, and the generators that it draws from.  The package's own generator is known.

    Returns
    -------
    Compiled
        To be called as the function is.  The results are the same, bit for bit, and so are
        parameters, buffers, `.grad`, what optimizers keep, and generators.

    Raises
    ------
    RecordingError
        If something cannot be written down, or differs between calls without being an argument or
        a part of the state.  The state is as before the call.

    Examples
    --------
    >>> p = Tensor([1.0, 2.0], requires_grad=True, name="p")
    >>> optimizer = optim.SGD([p], lr=0.1)
    >>> def train_step(x):
    ...     optimizer.zero_grad()
    ...     loss = ((p * x) ** 2).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> step = compile(train_step, optimizer)
    >>> for _ in range(3):
    ...     print(step(np.ones(2)).item().__round__(3))
    5.0
    3.2
    2.048
    >>> len(step.programs)
    1
    """
    check_callable("compile: what to compile", function)
    return Compiled(function, state)


class Compiled(Generic[P, R]):
    """What `compile` returns.

    Attributes
    ----------
    programs
        One for each signature (shapes, types, modes, settings), the newest first: each with its
        `.operations`, the number of calls, `.memory`, in bytes, and `.source`.  `draw` shows one.
    """

    def __init__(self, function: Callable[P, R], state: tuple[Part, ...]) -> None:
        self.function = function
        self.state = State(state)
        self.programs: list[Runnable] = []
        self.recordings: list[Recording] = []
        self.owned: dict[tuple[str, ...], Block] = {}
        self.calls = 0
        self.eager = ""  # why it cannot be compiled
        self.lock = threading.RLock()
        self.__name__ = self.__qualname__ = name_of(function)
        self.__doc__ = getattr(function, "__doc__", None)

    def __reduce__(self) -> Any:
        return type(self), (self.function, self.state.parts)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled[P, R]:
        function = deepcopy(self.function, memo)
        same = function is self.function  # as are functions, which go on with what they use
        return type(self)(function, self.state.parts if same else deepcopy(self.state.parts, memo))

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}: {len(self.programs)} programs>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.eager or recording.get() is not None or here().observers:
            return self.function(*args, **kwargs)
        result: Any = OTHER
        with self.lock:
            self.calls += 1
            if self.calls not in AGAIN:
                flat = not kwargs and FLAT.issuperset(map(type, args))
                leaves: Any = args if flat else tree_paths((args, kwargs)).values()
                for runnable in self.programs:
                    result = runnable(leaves)
                    if type(result) is Failure:
                        self.note(result)
                        return self.function(*args, **kwargs)
                    if result is not OTHER:
                        break
            if result is OTHER:
                result = self.record(args, kwargs)
        return cast(R, result)

    @property
    def latest(self) -> Runnable:
        """The program of the last signature."""
        if not self.programs:
            raise RuntimeError(
                f"{self.__name__} has no program yet: "
                + (self.eager or "it is written down in the first two calls")
            )
        return self.programs[0]

    @property
    def source(self) -> str:
        """The program of the last signature, for people to read."""
        return self.latest.source

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program of the last signature to a file, as a module that needs NumPy alone.

        It has one function of the same name.  Arguments and what the function returns stay as they
        are; the state comes in by keyword, and its new values go out in a dictionary behind the
        result.  Arrays that do not change are in the file.
        """
        text = Writer(self.latest.recording, self.function, in_full=True).source
        head = f'"""{self.__name__} as a NumPy program, written by tinygrad_reg."""'
        imports = "import base64\n\nimport numpy as np"
        write(path, f"{head}\n\n{imports}\n\n\n{text}\n".encode(), "program")

    def note(self, failure: Failure) -> None:
        """Count failures, and tell if they are many."""
        failure.times += 1
        if failure.times == OFTEN and self.calls < 10 * OFTEN:
            warnings.warn(
                f"{self.__name__}: {failure.place} fell otherwise than in the recorded calls, in "
                f"{OFTEN} of {self.calls} calls; those run as the function is written, and slower "
                "than without compile: use np.where, make what decides it a setting, or leave it "
                "uncompiled",
                stacklevel=3,
            )

    def record(self, args: Any, kwargs: Any) -> Any:
        """Run the function, and write down what it does."""
        recorded = Recording(self.state, args, kwargs)
        earlier, before = None, len(self.programs)
        try:
            result = recorded.run(self.function)
            if not recorded.tape.problem:
                earlier = self.earlier(recorded)
        except RecordingError:
            recorded.undo()
            raise
        except Exception as error:
            recorded.undo()
            result = self.function(*args, **kwargs)  # with an error of its own, if there is one
            recorded.tape.problem = f"it cannot be recorded ({type(error).__name__}: {error})"
        except BaseException:  # Ctrl-C
            recorded.undo()
            raise
        recorded.forget()
        self.eager = recorded.tape.problem
        if earlier is not None:
            earlier.loosen(recorded)
            try:
                self.make_program(earlier)
            except Exception as error:
                self.eager = f"no program can be made of it ({type(error).__name__}: {error})"
        elif not self.eager:
            self.recordings = [*self.recordings[1 - MOST_PROGRAMS :], recorded]
        if self.eager:
            warnings.warn(f"{self.__name__} is not compiled: {self.eager}", stacklevel=3)
        elif len(self.programs) == MOST_PROGRAMS > before:
            warnings.warn(
                f"{self.__name__} has {MOST_PROGRAMS} programs now, one for each combination "
                "of shapes, types and settings; give it batches of one shape, or leave it "
                "uncompiled",
                stacklevel=3,
            )
        return result

    def earlier(self, recorded: Recording) -> Recording | None:
        """A recording of another call that says the same; an error if one should and does not."""
        for earlier in [*(program.recording for program in self.programs), *self.recordings]:
            if earlier.same_call(recorded):
                found = difference(earlier.program, recorded.program)
                if found is None:
                    return earlier
                same_grads = earlier.grads == recorded.grads
                if found.by == "a constant" or (found.by == "a call" and same_grads):
                    raise RecordingError(f"{self.__name__}: {found.text}")
        return None

    def make_program(self, recorded: Recording) -> None:
        """Make a program of a recording that has been confirmed, unless there is one."""
        for program in self.programs:
            if program.recording is recorded:
                program.write_code()
                program.bind()  # the state goes back to where the program has it
                return
        self.recordings.remove(recorded)
        self.programs.insert(0, Runnable(recorded, self.function, self.owned))
