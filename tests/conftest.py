"""Golden files, kept in tests/golden and compared byte for byte, and fixtures of several files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import catalogue_numpy  # noqa: F401  # enters NumPy's functions in the catalogue
import pytest

from tinygrad_reg.primitives import broadcasting, table

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="write what tests produce to tests/golden instead of comparing; then review the diff",
    )
    parser.addoption(
        "--programs",
        type=int,
        default=200,
        metavar="N",
        help="how many random programs to compare with PyTorch (default: 200)",
    )
    parser.addoption(
        "--steps",
        type=int,
        default=15,
        metavar="N",
        help="how long the trainings are that are compared with and without compile; by hand 200",
    )
    parser.addoption(
        "--examples",
        type=int,
        default=20,
        metavar="N",
        help="how many samples of each function of the catalogue a test draws (default: 20)",
    )


@pytest.fixture(autouse=True)
def told_of_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tests give data of float64 to models of float32; the warning of it has its own tests."""
    monkeypatch.setattr("tinygrad_reg.nn.warned_of_float64", True)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """golden(name, text) asserts that tests/golden/name contains this text."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--rewrite-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        expected = path.read_bytes().decode() if path.exists() else None
        assert text == expected, f"if {name} should change: pytest --rewrite-golden, and review it"

    return check


@pytest.fixture
def open_table() -> Iterator[None]:
    """The table and what belongs to it, for changes that last as long as a test."""
    before = dict(table), set(broadcasting)
    yield
    table.clear()
    broadcasting.clear()
    table.update(before[0])
    broadcasting.update(before[1])
