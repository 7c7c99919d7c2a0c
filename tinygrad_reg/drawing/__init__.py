"""Pictures of graphs.

A drawing goes through four hands: `graph.py` reads tensors into plain data, `view.py` chooses which
boxes are open, `dot.py` writes that down for Graphviz, and `render.py` has it drawn.  `text.py`
tells the same in words, and `page.py` makes a page of it that plays the backward pass.
"""

from .film import Film
from .picture import Drawing, TooLargeError, draw, draw_backward
from .render import NoRendererError

__all__ = ["Drawing", "Film", "NoRendererError", "TooLargeError", "draw", "draw_backward"]
