"""A program with types passes the type checkers, without a single `# type: ignore`."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typed_script

ROOT = Path(__file__).parents[1]
SCRIPT = Path(typed_script.__file__)
CHECKERS = {
    "mypy": ["mypy", "--strict"],
    "basedpyright": ["basedpyright", "--level", "error", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("name", CHECKERS)
def test_a_program_with_types_passes(name):
    if find_spec(name) is None:
        pytest.skip(f'{name} is not installed: pip install -e ".[dev]"')
    command = [sys.executable, "-m", *CHECKERS[name], str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_that_program_ignores_nothing_and_runs():
    assert "ignore" not in SCRIPT.read_text(encoding="utf-8")
    losses = typed_script.main()
    assert losses[-1] < losses[0]
