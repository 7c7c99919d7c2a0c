"""A training step as a NumPy program, written down by the engine itself: `compile`."""

from .compiled import Compiled, compile  # noqa: A004 - as in PyTorch
from .recorder import RecordingError

__all__ = ["Compiled", "RecordingError", "compile"]
