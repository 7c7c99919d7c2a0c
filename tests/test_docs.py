"""The examples in docstrings run, and give what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import tinygrad_reg
from tinygrad_reg import blocks, functional, scope

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(tinygrad_reg.__path__, "tinygrad_reg.")
    if name != "tinygrad_reg.checkpoint"  # needs safetensors; its example writes files
]
# What a reader would have imported.
NAMES = {
    "np": np,
    "F": functional,
    "tg": tinygrad_reg,
    **{name: getattr(tinygrad_reg, name) for name in tinygrad_reg.__all__},
    "Observer": importlib.import_module("tinygrad_reg.scope").Observer,
    "observing": blocks.observing,
    "generator": importlib.import_module("tinygrad_reg.random").generator,
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=options)
    said = []
    for test in finder.find(module, extraglobs=NAMES | vars(module)):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_the_core_and_what_users_call_have_examples():
    assert scope is blocks.scope
    finder = doctest.DocTestFinder()
    for name in (
        "graph",
        "scope",
        "tensor",
        "blocks",
        "gradient",
        "functional",
        "memory",
        "anomaly",
    ):
        module = importlib.import_module(f"tinygrad_reg.{name}")
        assert sum(len(test.examples) for test in finder.find(module)), name
