"""What all lessons share: how a claim is written down, judged, shown and saved.

A lesson is a script of three functions, and data flows one way through them:

    run(quick, seed, seeds)  →  numbers     does the experiment
    claims(numbers)          →  [Claim, …]  what a source says, what came out, whether that holds
    picture(numbers)         →  a matplotlib Figure, or a Drawing of a graph

`main = lesson(run, claims, picture)` makes a command of them, with the same options for all.  If
there is a numbers["text"], it is printed below the table.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from command import command, output_folder, whole
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tinygrad_reg import files
from tinygrad_reg.drawing import Drawing

Array: TypeAlias = npt.NDArray[Any]
Numbers: TypeAlias = dict[str, Any]  # what JSON can hold, and NumPy's numbers and arrays

# A bar that shows itself only if there is something to wait for.
progress = partial(tqdm, delay=1, leave=False)


# --- Claims --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """One row of a lesson's table.

    text         what is said, as a sentence
    source       who says it: "[CS4342]" or "Srivastava 2014, fig. 9a"
    expected     what must come out if it is true, with the threshold; fixed before the run
    measured     what came out
    holds        whether that is so; None if too little was measured to tell (--quick)
    should_hold  False for a claim that is known not to hold here: it is published as such
    """

    text: str
    source: str
    expected: str
    measured: str
    holds: bool | None
    should_hold: bool = True

    def __post_init__(self) -> None:  # NumPy's False would not be `False`
        object.__setattr__(self, "holds", None if self.holds is None else bool(self.holds))

    @property
    def verdict(self) -> str:
        if self.holds is None:
            return "–"
        known = "" if self.should_hold else " (after all)" if self.holds else " (as known)"
        return ("yes" if self.holds else "no") + known


# Fewer seeds than this do not judge a claim about averages.
ENOUGH_SEEDS = 10


def clearly_above_zero(differences: Sequence[float] | Array) -> bool | None:
    """Whether paired differences are positive on average: by more than 3 standard errors.

    For ten seeds that happens less than once in a hundred times by chance (Student's t, one-sided
    p = 0.0075).  None for fewer seeds.
    """
    d = np.asarray(differences, float)
    if len(d) < ENOUGH_SEEDS:
        return None
    return bool(d.mean() > 3 * d.std(ddof=1) / np.sqrt(len(d)))


def mean_sd(values: Sequence[float] | Array, digits: int = 3) -> str:
    """Mean ± standard deviation over the seeds."""
    v = np.asarray(values, float)
    sd = f" ± {v.std(ddof=1):.{digits}f}" if len(v) > 1 else ""
    return f"{v.mean():.{digits}f}{sd}"


def each_seed(one: Callable[..., Any], seed: int, seeds: int, *args: Any) -> list[Any]:
    """[one(seed, *args), one(seed + 1, *args), …], on all processors, with a progress bar."""
    jobs = -1 if seeds > 3 else 1  # to start processes takes some seconds
    calls = (delayed(one)(s, *args) for s in range(seed, seed + seeds))
    results = Parallel(n_jobs=jobs, return_as="generator")(calls)
    return list(progress(results, total=seeds, desc="seeds", unit="seed"))


# --- The command ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a lesson leaves: in memory, and as result.json and the picture in `out`."""

    numbers: Numbers
    claims: list[Claim]
    picture: Path
    seconds: float


def lesson(
    run: Callable[..., Numbers],
    claims: Callable[[Numbers], list[Claim]],
    picture: Callable[[Numbers], Figure | Drawing],
    **options: dict[str, Any],
) -> Callable[..., Outcome]:
    """The command of a lesson: main(argv) runs it, leaves its picture and prints its table.

    It exits with status 1 if a claim that should hold does not.  `options` are further arguments of
    `run`, each with what argparse wants to know of it; a `run` that takes `out` is told the folder.
    """
    file = Path(inspect.getfile(run))
    title = (sys.modules[run.__module__].__doc__ or "").split("\n")[0]

    @command
    def main(argv: Sequence[str] | None = None) -> Outcome:
        parser = argparse.ArgumentParser(description=title)
        add = parser.add_argument
        add("--quick", action="store_true", help="seconds instead of minutes; judges no averages")
        first, many = whole(0, 4_000_000_000), whole(1, 1000)
        add("--seed", type=first, default=0, metavar="N", help="the first seed, %(default)s")
        add("--seeds", type=many, metavar="N", help="how many, 10; with --quick 2")
        add("--out", default=str(Path("runs", file.stem)), metavar="DIR", help="%(default)s")
        for name, settings in options.items():
            add(f"--{name}", **settings)
        chosen = vars(parser.parse_args(argv))
        if chosen["seeds"] is None:
            chosen["seeds"] = 2 if chosen["quick"] else ENOUGH_SEEDS
        out = output_folder(chosen["out"], "picture.png", "picture.svg", "result.json")
        chosen["out"] = out
        resumes = "out" in inspect.signature(run).parameters
        if not resumes:
            del chosen["out"]
        start = time.perf_counter()
        try:
            with threadpool_limits(1):  # for small matrices, threads would wait for each other
                numbers = run(**chosen)
        except KeyboardInterrupt:
            parser.exit(130, f"Stopped.{' The same command goes on.' * resumes}\n")
        seconds = time.perf_counter() - start
        rows = claims(numbers)
        path = save_picture(picture(numbers), out / "picture")
        save_result(out / "result.json", title, rows, numbers, seconds, chosen)
        print_table(title, rows)
        if "text" in numbers:
            print(numbers["text"])
        print(f"{seconds:.1f} s; see {path}")
        if any(row.holds is False and row.should_hold for row in rows):
            sys.exit(1)
        return Outcome(numbers, rows, path, seconds)

    return main


def print_table(title: str, rows: Iterable[Claim]) -> None:
    table = Table("claim", "source", "expected", "measured", "holds", title=title, show_lines=True)
    for row in rows:
        table.add_row(row.text, row.source, row.expected, row.measured, row.verdict)
    Console(width=max(Console().width, 110), markup=False, highlight=False).print(table)


def save_picture(picture: Figure | Drawing, stem: Path) -> Path:
    """A graph as SVG, a diagram as PNG."""
    if isinstance(picture, Drawing):
        path = stem.with_suffix(".svg")
        picture.save(path)
    else:
        path = stem.with_suffix(".png")
        with files.replacing(path) as temporary:
            picture.savefig(temporary, dpi=110)
    return path


def save_result(
    path: Path,
    title: str,
    rows: Iterable[Claim],
    numbers: Numbers,
    seconds: float,
    chosen: dict[str, Any],
) -> None:
    result = {
        "title": title,
        "claims": [asdict(row) for row in rows],
        "seconds": round(seconds, 1),
        "settings": {name: value for name, value in chosen.items() if name != "out"},
        "numbers": numbers,
    }
    text = json.dumps(result, indent=1, ensure_ascii=False, default=as_json)
    files.write(path, text + "\n")


def as_json(value: Any) -> Any:
    """NumPy's arrays and numbers as Python's."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a lesson's numbers cannot hold {type(value).__name__}")


def diagram(columns: int = 1, width: float = 8, height: float = 4.5) -> tuple[Figure, Any]:
    """A figure and its axes, side by side: one, or an array of several."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for each in np.atleast_1d(axes):
        each.grid(alpha=0.3)
    return figure, axes
