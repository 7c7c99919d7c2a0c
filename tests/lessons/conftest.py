"""Each lesson runs once, quickly, for all tests that look at what it left."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from ladder import Claim, Outcome  # noqa: E402


class Lesson(NamedTuple):
    module: ModuleType
    outcome: Outcome
    printed: str

    @property
    def numbers(self) -> dict[str, Any]:
        return self.outcome.numbers

    def claim(self, words: str) -> Claim:
        """The one claim whose text contains these words."""
        (found,) = (claim for claim in self.outcome.claims if words in claim.text)
        return found


@pytest.fixture(scope="session")
def run_lesson(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lesson]:
    """run_lesson("lesson01_neuron") is that lesson after its --quick."""

    @cache
    def run(name: str) -> Lesson:
        module = importlib.import_module(name)
        with pytest.MonkeyPatch.context() as patch:
            written: list[str] = []
            patch.setattr(sys.stdout, "write", written.append)
            outcome = module.main(["--quick", "--out", str(tmp_path_factory.mktemp(name))])
        return Lesson(module, outcome, "".join(written))

    return run


@pytest.fixture
def quick(request: pytest.FixtureRequest, run_lesson: Callable[[str], Lesson]) -> Lesson:
    """The lesson that a test file is named after."""
    return run_lesson(request.module.__name__.removeprefix("test_"))
