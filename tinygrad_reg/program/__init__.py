"""A training step as a NumPy program, written down by the engine itself: `compile`.

The story, in the order of the files: arrays write down what is done to them (`recorder.py`); one
call of a function is such a recording, and two must say the same (`state.py`, `recording.py`,
`compare.py`); passes make the program shorter (`passes.py`, `pieces.py`); it is decided what is
computed when and where (`order.py`, `arena.py`, `strips.py`), and written as code (`names.py`,
`forms.py`, `plan.py`) that runs (`block.py`, `run.py`, `compiled.py`).  For people `reading.py`,
`lines.py` and `source.py` write the same.
"""

from .compiled import Compiled, compile  # noqa: A004 - as in PyTorch
from .recorder import RecordingError

__all__ = ["Compiled", "RecordingError", "compile"]
