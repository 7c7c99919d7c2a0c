"""Peak memory of one training step: tinygrad_reg, hand-derived NumPy and three other libraries.

    pip install -e ".[benchmark]" && python benchmarks/memory.py

The step is the one that train_step.py times.  Each contender trains for some steps in processes of
its own, and three peaks are reported, in MiB:

    start     the most that was allocated at one time by building the network and training for ten
              steps, on top of the loaded library: memray counts every malloc and mmap
    later     the same in the steps after these, which memray looks at every millisecond
    process   the most memory that the system gave the process, library and all

A compiled step is recorded in its first calls and in the tenth (and in the 100th and 1,000th),
which take the memory of an eager step, and more.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import time

from train_step import CONTENDERS, SIZES, TIMED, Contender, command, installed, problem

START = 10  # from the second on, momentum and the gradients of the step before are there too
LATER = 40
MIB = 2**20


def train(name: str, size: str, around: Callable[[Callable[[int], None]], float]) -> float:
    """What `around` measures of some training steps, once everything is loaded."""
    if name == "torch":
        importlib.import_module("torch").set_num_threads(1)
    start, x, y = problem("small")
    CONTENDERS[name](start, TIMED).step(x, y)  # lets libraries allocate what they keep for ever
    start, x, y = problem(size)
    gc.collect()
    contenders: list[Contender] = []

    def steps(n: int) -> None:
        if not contenders:
            contenders.append(CONTENDERS[name](start, TIMED))
        for _ in range(n):
            contenders[0].step(x, y)

    return around(steps)


def allocated(steps: Callable[[int], None]) -> float:
    """The peak at the start."""
    memray = importlib.import_module("memray")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "start"
        with memray.Tracker(file):
            steps(START)
        return float(memray.FileReader(file).metadata.peak_memory) / MIB


def allocated_later(steps: Callable[[int], None]) -> float:
    """The peak in the steps after the start."""
    memray = importlib.import_module("memray")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "later"
        with memray.Tracker(file, memory_interval_ms=1):
            steps(START)
            start = time() * 1000
            steps(LATER)
        moments = memray.FileReader(file).get_memory_snapshots()
        return float(max(moment.heap for moment in moments if moment.time > start)) / MIB


def resident(steps: Callable[[int], None]) -> float:
    """The peak of the process."""
    steps(START)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["large"])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args(argv)
    if not installed("memray"):
        parser.error('memray is not installed: pip install -e ".[benchmark]"')
    for variable in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{variable}_NUM_THREADS"] = "1"  # each thread has buffers of its own
    for size in options.sizes:
        layers, n = SIZES[size]
        state = sum(array.nbytes for array in problem(size)[0]) / MIB
        print(f"{size}: {layers}, batch {n}; parameters, gradients, momentum: {3 * state:.1f} MiB")
        print(f"{'':20}{'start':>8}{'later':>8}{'process':>10}")
        for name in options.only:
            contender = CONTENDERS[name]
            if not installed(contender.package):
                print(f"{contender.name:20}  skipped: pip install {contender.package}")
                continue
            peaks = []
            for around in (allocated, allocated_later, resident):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                    peaks.append(fresh.submit(train, name, size, around).result())
            print(f"{contender.name:20}{peaks[0]:8.1f}{peaks[1]:8.1f}{peaks[2]:10.1f}")


if __name__ == "__main__":
    main()
