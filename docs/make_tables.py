"""Write docs/numpy.md, the tables of NumPy's functions on tensors, from the code.

python docs/make_tables.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_reg  # noqa: F401  fills the tables
from tinygrad_reg import Tensor
from tinygrad_reg.errors import full_name
from tinygrad_reg.primitives import table
from tinygrad_reg.protocols import array_functions, without_derivative

PATH = Path(__file__).with_name("numpy.md")

TEXT = """\
# NumPy on tensors

Made from the code by `python docs/make_tables.py`.

## With gradients

By derivative rules of their own:

{primitives}

Composed of such functions, so that their gradients follow:

{composed}

## Without gradients

These give whole numbers, truths or texts, or their derivative is 0 wherever there is one. They
always compute on the arrays in tensors. Floats come back as tensors, whole numbers and truths as
arrays:

{without}

**All other functions** of NumPy (and ufuncs of SciPy) compute in the same way where nothing that
they are given wants a gradient, or under `no_grad()`. Otherwise they are refused, with the words
for it. They see read-only views: nothing can change a tensor.

## Methods and operators

`+ - * / // % ** @`, `divmod`, `abs`, comparisons, `& | ^ ~ << >>`, indexing, and as methods:

{methods}

`sort`, `partition`, `fill` and `put`, which change NumPy's arrays, are refused: tensors never
change.
"""


def numpys(functions: Iterable[Callable[..., Any]]) -> str:
    """The names of NumPy's functions, in alphabetical order, by module."""
    modules: dict[str, list[str]] = {}
    for function in functions:
        module, _, name = full_name(function).rpartition(".")
        if module.split(".")[0] == "np":
            modules.setdefault(module, []).append(name)
    return "\n\n".join(
        f"**{module}.** `{' '.join(sorted(set(names)))}`"
        for module, names in sorted(modules.items())
    )


def methods() -> str:
    """The methods of tensors that NumPy's arrays have, too."""
    changing = {"sort", "partition", "fill", "put"}
    names = [name for name in dir(np.ndarray) if not name.startswith("_") and hasattr(Tensor, name)]
    return f"`{' '.join(name for name in names if name not in changing)}`"


def text() -> str:
    """The page."""
    return TEXT.format(
        primitives=numpys(table),
        composed=numpys(function for function in array_functions if function not in table),
        without=numpys(without_derivative),
        methods=methods(),
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
