"""NumPy's functions on tensors that take several arrays, or are composed of functions in the table.

`np.stack([t, u])` comes here by NEP 18, and so do methods: `t.var()` calls `np.var(t)`.  Each file
has one subject; `functional` has some of the functions, too, for arguments that are no tensors yet.
"""

from .choices import maximum, minimum, where
from .joining import concatenate, stack
from .linalg import inv
from .products import sum_of_squares, vdot
from .reductions import var
from .shapes import broadcast_to, expand_dims, reshape, squeeze, transpose

__all__ = [
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "inv",
    "maximum",
    "minimum",
    "reshape",
    "squeeze",
    "stack",
    "sum_of_squares",
    "transpose",
    "var",
    "vdot",
    "where",
]
