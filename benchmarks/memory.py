"""Peak memory of one training step: tinygrad_reg, hand-derived NumPy and three other libraries.

    pip install -e ".[benchmark]" && python benchmarks/memory.py

The step is the one that train_step.py times.  Each contender trains for a few steps in processes of
its own, and two peaks are reported, in MiB:

    step      the most that was allocated at one time by building and training the network, on top
              of the loaded library: memray counts every malloc and mmap
    process   the most memory that the system gave the process, library and all
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

from train_step import CONTENDERS, SIZES, TIMED, command, installed, problem

STEPS = 4  # from the second on, momentum and the gradients of the step before are there too
MIB = 2**20


def train(name: str, size: str, around: Callable[[Callable[[], None]], float]) -> float:
    """What `around` measures of some training steps, once everything is loaded."""
    if name == "torch":
        importlib.import_module("torch").set_num_threads(1)
    start, x, y = problem("small")
    CONTENDERS[name](start, TIMED).step(x, y)  # lets libraries allocate what they keep for ever
    start, x, y = problem(size)
    gc.collect()

    def steps() -> None:
        contender = CONTENDERS[name](start, TIMED)
        for _ in range(STEPS):
            contender.step(x, y)

    return around(steps)


def allocated(steps: Callable[[], None]) -> float:
    memray = importlib.import_module("memray")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "allocations"
        with memray.Tracker(file):
            steps()
        return float(memray.FileReader(file).metadata.peak_memory) / MIB


def resident(steps: Callable[[], None]) -> float:
    steps()
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
        print(f"{'':20}{'step':>8}{'process':>10}")
        for name in options.only:
            contender = CONTENDERS[name]
            if not installed(contender.package):
                print(f"{contender.name:20}  skipped: pip install {contender.package}")
                continue
            peaks = []
            for around in (allocated, resident):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                    peaks.append(fresh.submit(train, name, size, around).result())
            print(f"{contender.name:20}{peaks[0]:8.1f}{peaks[1]:10.1f}")


if __name__ == "__main__":
    main()
