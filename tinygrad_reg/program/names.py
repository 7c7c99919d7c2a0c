"""What the code of a plan calls values, constants and functions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import name_of
from ..nested import tree_leaves
from .recorder import Value


class Names:
    """Names for all that the code uses, and what they stand for.

    Attributes
    ----------
    known
        What the names of functions and constants stand for.
    texts
        The names of values.
    setup
        Code that makes views, each time the state has moved.
    """

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.texts: dict[Value, str] = {}
        self.setup: list[str] = []
        self.constants: dict[Any, str] = {}
        self.views: dict[str, str] = {}
        self.count = 0

    def new(self, letter: str) -> str:
        """A name that is no other's."""
        self.count += 1
        return f"{letter}{self.count}"

    def text(self, x: Any) -> str:
        """A value or a constant."""
        if isinstance(x, Value):
            return self.texts[x]
        parts = tree_leaves(x) if isinstance(x, (tuple, list)) else []
        if any(isinstance(part, (Value, np.ndarray)) for part in parts):
            inside = ", ".join(map(self.text, x))
            return f"[{inside}]" if isinstance(x, list) else f"({inside},)"
        if isinstance(x, dict):
            return f"{{{', '.join(f'{k!r}: {self.text(y)}' for k, y in x.items())}}}"
        if x is None or type(x) in (bool, int, str):
            return repr(x)
        if isinstance(x, slice):
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        if type(x) in (tuple, float) or isinstance(x, (np.generic, np.dtype)):
            return self.constant(x, (type(x), repr(x)))
        return self.constant(x, id(x))

    def operand(self, x: Any, dtype: Any, shape: tuple[int, ...] = ()) -> str:
        """The same; but for numbers arrays, by default of shape (), which NumPy takes faster."""
        if isinstance(x, np.generic):
            return self.constant(np.asarray(x), ("number", repr(x), x.dtype))
        if type(x) not in (int, float) or dtype is None:
            return self.text(x)
        with np.errstate(all="ignore"):
            return self.constant(np.full(shape, x, dtype), ("number", repr(x), dtype, shape))

    def constant(self, x: Any, key: Any) -> str:
        """The name of a constant, the same for the same key."""
        if key not in self.constants:
            self.constants[key] = self.new("c")
            self.known[self.constants[key]] = x
        return self.constants[key]

    def view(self, text: str) -> str:
        """The name of a view that this code makes of memory that is there."""
        if text not in self.views:
            name = self.views[text] = self.new("v")
            self.setup.append(f"{name} = {text}")
        return self.views[text]

    def function(self, function: Any) -> str:
        """The name of a function."""
        name = re.sub(r"\W+", "_", name_of(function))  # "add.at", "<lambda> (vectorized)"
        while self.known.setdefault(name, function) is not function:
            name += "_"
        return name

    def words(self, args: Any, options: dict[str, Any]) -> list[str]:
        """Arguments as they stand in a call."""
        return [*map(self.text, args), *(f"{k}={self.text(x)}" for k, x in options.items())]
