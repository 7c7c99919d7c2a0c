"""Drawings in a notebook that is really executed."""

import pytest

from tinygrad_reg.drawing.view import LARGEST

nbformat = pytest.importorskip("nbformat", reason='pip install -e ".[test]"')
nbclient = pytest.importorskip("nbclient", reason='pip install -e ".[test]"')

CELLS = (
    """
from tinygrad_reg import Tensor, draw
x = Tensor(3.0, requires_grad=True, name="x")
loss = x * x
draw(loss)
""",
    "draw(loss, gradients=True, formulas=True)",
    "print(draw(loss))",
    f"for _ in range({LARGEST + 1}): x = x + 1\ndraw(x, None)",
)


# What the libraries of notebooks warn of is theirs.
@pytest.mark.filterwarnings("default")
def test_a_cell_that_ends_with_a_drawing_shows_it(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    plain, coloured, printed, large = (cell.outputs for cell in notebook.cells)
    for (output,) in (plain, coloured):
        assert output.output_type == "execute_result"
        assert set(output.data) == {"image/svg+xml", "text/plain"}
        assert output.data["image/svg+xml"].startswith("<?xml")
        assert "multiply" in output.data["image/svg+xml"]
        assert "multiply(x, x)" in output.data["text/plain"]
    assert "ḡ" in coloured[0].data["image/svg+xml"]
    assert printed[0].text.rstrip() == plain[0].data["text/plain"].rstrip()
    assert set(large[0].data) == {"text/plain"}
    assert "fold=True" in large[0].data["text/plain"]
