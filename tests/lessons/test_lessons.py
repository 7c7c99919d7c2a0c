"""What is true of every lesson."""

import ast
import json
from pathlib import Path

import pytest
from conftest import EXAMPLES

import tinygrad_reg

LESSONS = sorted(path.stem for path in EXAMPLES.glob("lesson[0-9]*.py"))


@pytest.mark.parametrize("name", LESSONS)
def test_it_runs_quickly_and_leaves_its_table_and_its_picture(name, run_lesson):
    lesson = run_lesson(name)
    rows = lesson.outcome.claims
    assert rows
    assert all(row.text and row.source and row.expected and row.measured for row in rows)
    assert all(row.holds is not False or not row.should_hold for row in rows)
    assert "expected" in lesson.printed
    assert lesson.outcome.picture.stat().st_size > 2000
    saved = json.loads(lesson.outcome.picture.with_name("result.json").read_text("utf-8"))
    assert [row["text"] for row in saved["claims"]] == [row.text for row in rows]


@pytest.mark.parametrize("name", LESSONS)
def test_it_can_be_read_in_a_few_minutes_and_uses_what_everyone_can(name):
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert 60 <= len(source.splitlines()) <= 190
    tree = ast.parse(source)
    assert ast.get_docstring(tree).split("\n")[0].endswith(("?", "."))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "tinygrad_reg":
            public = __import__(node.module, fromlist=["__all__"])
            names = set(getattr(public, "__all__", dir(public))) | set(tinygrad_reg.__all__)
            assert {alias.name for alias in node.names} <= names | {"checkpoint", "random"}
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.startswith("__"), node.attr


def test_each_has_tests_of_its_own():
    assert {f"test_{name}" for name in LESSONS} <= {p.stem for p in Path(__file__).parent.iterdir()}
