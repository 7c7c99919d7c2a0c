"""What README shows is true."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_reg import primitives

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title):
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def test_its_example_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = "".join(re.findall(r"```python\n(.*?)```", section("Use"), flags=re.DOTALL))
    exec(compile(example, "README.md", "exec"), names := {})
    promised = re.findall(r"print\(.*# .*?([\w.()]+)$", example, flags=re.MULTILINE)
    printed = capsys.readouterr().out.split()
    assert printed[:-1] == promised[:-1]
    assert float(printed[-1]) == pytest.approx(float(promised[-1]), abs=0.02)
    assert names["step"] == 200
    assert (tmp_path / "loss.svg").read_bytes().startswith(b"<?xml")


def test_its_table_of_primitives_is_complete():
    names = {
        name for cell in re.findall(r"`([\w ]+)`", section("Primitives")) for name in cell.split()
    }
    assert names == {function.__name__ for function in primitives.table}


def test_its_reading_list_is_complete_and_in_the_order_of_imports():
    listed = re.findall(r"tinygrad_reg/(\w+)\.py\)", section("Read it"))
    serving = {"anomaly", "errors", "random"}
    files = {path.stem for path in (ROOT / "tinygrad_reg").glob("*.py")} - {"__init__"}
    assert set(listed) == files
    for i, name in enumerate(listed):
        source = (ROOT / "tinygrad_reg" / f"{name}.py").read_text(encoding="utf-8")
        imported = set(re.findall(r"^from \.(\w+) import", source, flags=re.MULTILINE))
        imported |= {
            word.split(" ")[0]
            for line in re.findall(r"^from \. import (.*)$", source, flags=re.MULTILINE)
            for word in line.split(", ")
        }
        assert imported <= {*listed[:i], *serving, "init"}, f"{name}.py imports to the right"


def test_its_files_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_picture_is_of_today(tmp_path, monkeypatch):
    # Graphviz versions place things differently, so compare what is written, not where.
    monkeypatch.syspath_prepend(ROOT / "examples")
    sys.modules.pop("neuron", None)
    neuron = pytest.importorskip("neuron")
    loss = neuron.run(tmp_path / "neuron.svg")

    def texts(path):
        return re.findall(r">([^<>\n]+)</text>", path.read_text(encoding="utf-8"))

    assert texts(tmp_path / "neuron.svg") == texts(ROOT / "examples" / "neuron.svg")
    np.testing.assert_allclose(loss.item(), 0.8275977199026484, rtol=1e-12)
