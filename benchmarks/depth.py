"""Deep and wide graphs: the time of backward, and of freeing, is linear in the operations.

    python benchmarks/depth.py

For graphs of growing size, microseconds per operation to record, to differentiate and to free it,
and the sum of these over that of the size before: 1 is linear, and a little more is what caches
cost.  Python's garbage collector is off: there are no cycles for it to find, but its search takes
up to as long again as recording a million operations.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

from tinygrad_reg import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from command import command, whole


def chain(x: Tensor, n: int) -> Tensor:
    """One operation after the other."""
    y = x
    for _ in range(n):
        y = y + 1.0
    return y


def fan(x: Tensor, n: int) -> Tensor:
    """Half of the operations use the same tensor, the others add them up."""
    y = x
    for _ in range(n // 2):
        y = y + x * 2.0
    return y


def diamonds(x: Tensor, n: int) -> Tensor:
    """Every other operation doubles the number of paths: there are 2 to the power of n / 2."""
    y = x
    for _ in range(n // 2):
        y = (y + y) * 0.5
    return y


def seconds(build: Callable[[Tensor, int], Tensor], n: int) -> list[float]:
    """To record n operations, to differentiate and to free them."""
    x = Tensor(1.0, requires_grad=True)
    times = [perf_counter()]
    y = build(x, n)
    times.append(perf_counter())
    y.backward()
    times.append(perf_counter())
    del y
    times.append(perf_counter())
    return [b - a for a, b in pairwise(times)]


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add, sizes = parser.add_argument, [10_000, 100_000, 1_000_000]
    add("--sizes", nargs="+", type=whole(2, 100_000_000), default=sizes, metavar="N")
    add("--rounds", type=whole(1, 10_000), default=3, metavar="N")
    options = parser.parse_args(argv)
    gc.disable()
    print(f"{'µs per operation':24}{'record':>8}{'backward':>10}{'free':>8}{'ratio':>8}")
    for build in (chain, fan, diamonds):
        rounds = [[seconds(build, n) for n in options.sizes] for _ in range(options.rounds)]
        before = None
        for n, times in zip(options.sizes, zip(*rounds)):
            each = [median(column) / n * 1e6 for column in zip(*times)]
            ratio = f"{sum(each) / before:8.2f}" if before else ""
            print(f"{build.__name__:10}{n:14,}{each[0]:8.2f}{each[1]:10.2f}{each[2]:8.2f}{ratio}")
            before = sum(each)


if __name__ == "__main__":
    main()
