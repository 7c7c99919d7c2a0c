"""Imports point one way: nothing that a file needs stands further down the list."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_reg

PACKAGE = Path(tinygrad_reg.__file__).parent

CORE = ["primitives", "scope", "graph", "tensor"]  # in reading order
ORDER = [
    # The core, with what it is made of.
    "primitives", "scope", "errors", "checks", "graph", "nested", "data", "attributes",
    "operators", "methods", "protocols", "tensor",
    # What is built on it.
    "generators", "blocks", "half", "settings", "more_primitives", "arrays.shapes",
    "arrays.choices", "arrays.joining", "arrays.reductions", "arrays.products", "arrays.linalg",
    "arrays", "gradient", "random", "functional", "init", "module", "nn",
    "optim", "files", "checkpoint", "numerical", "symbols", "memory", "anomaly",
    # The step as a program.
    "program.recorder", "program.passes", "program.pieces", "program.state", "program.recording",
    "program.compare", "program.block", "program.reading", "program.lines", "program.source",
    "program.arena", "program.names", "program.forms", "program.strips", "program.order",
    "program.plan", "program.run", "program.compiled", "program",
    # Pictures.
    "drawing.numbers", "drawing.health", "drawing.formulas", "drawing.play", "drawing.graph",
    "drawing.boxes", "drawing.read", "drawing.program", "drawing.fold", "drawing.view",
    "drawing.words", "drawing.markup", "drawing.dot", "drawing.render", "drawing.text",
    "drawing.page", "drawing.picture", "drawing.film", "drawing",
]  # fmt: skip


def modules():
    """All files of the package by their dotted names; not the package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    del found["__init__"]
    return found


FILES = modules()


def imported(name):
    """The modules of the package that a file imports: also in functions, and for types alone."""
    here = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.removeprefix("tinygrad_reg.")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = here[: len(here) - node.level + 1]
            elif node.module.split(".")[0] == "tinygrad_reg":
                start = []
            else:
                continue
            start = start + (node.module or "").removeprefix("tinygrad_reg").split(".")
            base = ".".join(filter(None, start))
            for alias in node.names:
                inside = f"{base}.{alias.name}".removeprefix(".")
                yield inside if inside in FILES else base


def test_the_list_is_complete():
    assert sorted(ORDER) == sorted(FILES)


@pytest.mark.parametrize("name", ORDER)
def test_a_file_imports_nothing_from_further_down(name):
    above = ORDER[: ORDER.index(name)]
    assert {x for x in imported(name) if x in FILES or x.startswith("drawing")} <= {*above}
    assert "" not in set(imported(name)), "the package itself stands above all"


def test_the_core_is_read_in_the_order_of_its_imports():
    places = [ORDER.index(name) for name in CORE]
    assert places == sorted(places)


def test_the_core_names_no_observer():
    above_tensor = ORDER[: ORDER.index("tensor") + 1]
    assert not {"anomaly", "memory", "symbols", "drawing"} & set(above_tensor)


def test_what_is_imported_is_found_wherever_it_stands(tmp_path, monkeypatch):
    """The test itself is tested: imports of all kinds are seen."""
    file = tmp_path / "sample.py"
    file.write_text(
        "from . import nn, optim as o\nfrom .drawing.dot import write\nimport tinygrad_reg.scope\n"
        "from tinygrad_reg.init import zeros\nif TYPE_CHECKING:\n    from .tensor import Tensor\n"
        "def f():\n    from .film import Film\n    from .drawing import page\n    import numpy\n"
    )
    monkeypatch.setitem(FILES, "sample", file)
    monkeypatch.setitem(FILES, "film", file)
    assert set(imported("sample")) & {*FILES} == {
        "nn", "optim", "drawing.dot", "scope", "init", "tensor", "film", "drawing.page",
    }  # fmt: skip


def test_importing_the_package_loads_no_pictures():
    program = "import sys, tinygrad_reg; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    names = set(loaded.stdout.split())
    assert {"tinygrad_reg.tensor", "tinygrad_reg.nn"} <= names
    assert not [name for name in names if "graphviz" in name or "drawing" in name]
