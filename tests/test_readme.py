"""What README shows is true."""

import re
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
    example, more = (
        "".join(re.findall(r"```python\n(.*?)```", section(title), flags=re.DOTALL))
        for title in ("Use", "Look at it")
    )
    exec(compile(example + more, "README.md", "exec"), names := {})
    promised = re.findall(r"print\(.*# .*?([\w.()]+)$", example, flags=re.MULTILINE)
    printed = capsys.readouterr().out.split()[: len(promised)]
    assert printed[:-1] == promised[:-1]
    assert float(printed[-1]) == pytest.approx(float(promised[-1]), abs=0.02)
    assert len(names["film"].frames) == 10
    assert (tmp_path / "loss.svg").read_bytes().startswith(b"<?xml")
    files = {"loss.svg", "run.safetensors", "health.svg", "loss.html", "both.svg", "training.html"}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_its_table_of_primitives_is_complete():
    names = {
        name for cell in re.findall(r"`([\w ]+)`", section("Primitives")) for name in cell.split()
    }
    entered = {
        function.__name__
        for function, rules in primitives.table.items()
        if isinstance(rules, primitives.EachPosition)
        or any(rule and rule.__module__ == primitives.__name__ for rule in rules)
        or function is np.sign
    }
    assert names == entered


def test_its_reading_list_is_complete_and_begins_with_the_core():
    listed = re.findall(r"tinygrad_reg/(\w+)\.py\)", section("Read it"))
    files = {path.stem for path in (ROOT / "tinygrad_reg").glob("*.py")} - {"__init__"}
    assert set(listed) == files
    assert listed[:4] == ["primitives", "scope", "graph", "tensor"]


def test_its_files_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
