"""tinygrad_reg: reverse-mode automatic differentiation to read, to use and to look at."""

from . import functional, init, nn, optim
from .backprop import StaleValueError
from .gradient import grad, value_and_grad
from .random import seed
from .scope import composite, scope
from .tensor import Tensor, no_grad

__version__ = "0.1.0"

__all__ = [
    "StaleValueError",
    "Tensor",
    "composite",
    "functional",
    "grad",
    "init",
    "nn",
    "no_grad",
    "optim",
    "scope",
    "seed",
    "value_and_grad",
]
