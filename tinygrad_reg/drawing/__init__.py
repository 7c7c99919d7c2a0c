"""Pictures of graphs.

To be read in this order: `numbers.py` and `health.py`, what is said of arrays and gradients;
`formulas.py`, derivative rules as text; `play.py`, a backward pass written down; `graph.py`, the
plain data of a picture, and `boxes.py` and `read.py`, how tensors become that; `fold.py` and
`view.py`, what is shown of it; `words.py`, `markup.py`, `dot.py` and `render.py`, how that is
written and drawn; `text.py` and `page.py`, the same in words and as a page that plays the backward
pass; `picture.py` and `film.py`, what users call.
"""

from .film import Film
from .picture import Drawing, TooLargeError, draw, draw_backward
from .render import NoRendererError

__all__ = ["Drawing", "Film", "NoRendererError", "TooLargeError", "draw", "draw_backward"]
