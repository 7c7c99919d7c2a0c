"""tinygrad_reg: reverse-mode automatic differentiation to read, to use and to look at."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import functional, init, nn, optim
from .anomaly import AnomalyError, detect_anomaly
from .blocks import composite, no_grad, scope
from .errors import StaleValueError
from .gradient import grad, hessian, hvp, jacobian, value_and_grad
from .memory import keep_freed_memory, save_memory
from .numerical import gradcheck
from .program import Compiled, RecordingError, compile  # noqa: A004 - as in PyTorch
from .random import seed
from .tensor import Tensor

if TYPE_CHECKING:
    from .drawing import Film, draw, draw_backward

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "Compiled",
    "Film",
    "RecordingError",
    "StaleValueError",
    "Tensor",
    "compile",
    "composite",
    "detect_anomaly",
    "draw",
    "draw_backward",
    "functional",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "init",
    "jacobian",
    "nn",
    "no_grad",
    "optim",
    "save_memory",
    "scope",
    "seed",
    "value_and_grad",
]


keep_freed_memory()


def __getattr__(name: str) -> Any:
    """Load what draws when it is first asked for (PEP 562)."""
    if name not in ("Film", "draw", "draw_backward", "drawing"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    drawing = import_module(".drawing", __name__)
    return drawing if name == "drawing" else getattr(drawing, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
