"""tinygrad_reg: reverse-mode automatic differentiation to read, to use and to look at."""

import numpy as np

from . import functional, init, nn, optim
from .anomaly import AnomalyError, detect_anomaly
from .drawing import Film, draw, draw_backward
from .errors import StaleValueError
from .gradient import grad, value_and_grad
from .memory import save_memory
from .numerical import gradcheck
from .random import seed
from .scope import composite, no_grad, scope
from .tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "Film",
    "StaleValueError",
    "Tensor",
    "composite",
    "detect_anomaly",
    "draw",
    "draw_backward",
    "functional",
    "grad",
    "gradcheck",
    "init",
    "nn",
    "no_grad",
    "optim",
    "save_memory",
    "scope",
    "seed",
    "value_and_grad",
]

# A training step frees at its end the memory that the next one takes again.  glibc hands freed
# memory back to the system above twice the largest block it has seen freed, and faulting it in
# again costs up to a fifth of a step.  So let it see one large block; nothing is written there.
np.empty(31 << 20, np.uint8)
