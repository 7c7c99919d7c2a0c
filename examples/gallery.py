"""Run the lessons and write down what came out, in examples/README.md.

    python -m examples.gallery                           # all of them, in full
    python -m examples.gallery --only lesson01_neuron    # one; the other rows stay as they are

Each lesson runs in a process of its own.  Its verdicts and its picture are kept in
examples/results, and the page is made from these alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tinygrad_reg.files import write

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # with -m, what stands beside this file is not found

from command import UsageError, command, output_folder  # noqa: E402

Result: TypeAlias = dict[str, Any]

LESSONS = sorted(path.stem for path in HERE.glob("lesson[0-9]*.py"))
MARKS = {True: "✓", False: "✗", None: "–"}

HEAD = """\
# The lectures as experiments

Every claim of these lectures runs. A lesson is a script of some hundred lines, to be read, run and
changed: `pip install -e ".[examples]"`, then

    python examples/lesson01_neuron.py           # the experiment in full, its table and its picture
    python examples/lesson13_batchnorm_speed.py --quick       # in seconds, to see how it works

All take `--quick --seed --seeds --out`, and end with status 1 if a claim that should hold does not.
What is expected was fixed before the run. Claims about averages are judged over at least ten seeds,
arm against arm with the same data, first weights and order of examples; a difference counts if its
mean is more than three standard errors above zero. ✓ holds, ✗ does not hold here, and is published
as such.

| lesson | what came out |
| --- | --- |
"""

TAIL = """
## Sources

- [CS4342]: Jacob Whitehill, CS 4342, class 22: backpropagation, initialisation, L1, L2, dropout
- [DO+BN]: lecture on dropout and batch normalization
- [WS]: PadhAI, One Fourth Labs: How does weight sharing help?
- [ENS]: lecture L10.5.3: dropout as an ensemble
- [INV]: Chapter 1, Dropout: vanilla and inverted dropout
- Srivastava et al. 2014: Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15
- Ioffe & Szegedy 2015 [I&S]: Batch Normalization: Accelerating Deep Network Training …, ICML
- Santurkar et al. 2018: How Does Batch Normalization Help Optimization?, NeurIPS
- He et al. 2015: Delving Deep into Rectifiers, ICCV
- Wan et al. 2013: Regularization of Neural Networks using DropConnect, ICML

## Other examples

[train_digits.py](train_digits.py) is the tutorial: a whole training run, beside scikit-learn's.
[pictures.py](pictures.py) draws what backpropagation looks like.

This page is made by `python -m examples.gallery`.
"""


def run_lesson(name: str, results: Path, quick: bool) -> bool:
    """Run a lesson and keep its result; whether it left one."""
    out = Path("runs", "gallery", name)
    if out.exists():
        shutil.rmtree(out)
    command = [sys.executable, str(HERE / f"{name}.py"), "--out", str(out)]
    subprocess.run(command + ["--quick"] * quick, check=False)
    file = out / "result.json"
    if not file.exists():
        return False
    result = json.loads(file.read_text(encoding="utf-8"))
    del result["numbers"]  # for pictures and tests: too many to keep
    result["machine"] = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (picture,) = out.glob("picture.*")
    kept = {f"{name}.json": (text + "\n").encode(), name + picture.suffix: picture.read_bytes()}
    for file, content in kept.items():
        write(results / file, content)
    for old in results.glob(f"{name}.*"):
        if old.name not in kept:  # a picture of another kind
            old.unlink()
    return True


def page(results: Path, names: Sequence[str] = LESSONS) -> str:
    """What examples/README.md says of the results."""
    rows = []
    for name in names:
        file = results / f"{name}.json"
        if file.exists():
            try:
                rows.append(row(name, results))
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise UsageError(
                    f"{file}, and a picture beside it, are not what this script writes "
                    f"({error!r}): delete it, or run --only {name} again"
                ) from error
    return HEAD + "\n".join(rows) + "\n" + TAIL


def row(name: str, results: Path) -> str:
    result: Result = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    (picture,) = (path.name for path in results.glob(f"{name}.*") if path.suffix != ".json")
    number, title = int(name[6:8]), result["title"]
    verdicts = [
        f"{MARKS[claim['holds']]} {claim['text']} ({claim['source']})<br>"
        f"expected: {claim['expected']}<br>**{claim['measured']}**"
        for claim in result["claims"]
    ]
    image = f'<img src="results/{picture}" width="560" alt="{title}">'
    cells = [
        f"**{number}. [{title}]({name}.py)**<br>{result['seconds']:.0f} s, {result['machine']}"
        f'<br><br><a href="results/{picture}">{image}</a>',
        "<br><br>".join(verdicts),
    ]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run the lessons and write examples/README.md.")
    add = parser.add_argument
    add("--only", nargs="+", metavar="LESSON", default=LESSONS, help=", ".join(LESSONS))
    add("--quick", action="store_true", help="to try it out: judges no averages")
    add("--out", default=str(HERE), metavar="DIR", help="where README.md goes, %(default)s")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.only if name not in LESSONS]:
        parser.error(f"--only: no lesson {', '.join(unknown)}; there are {', '.join(LESSONS)}")
    out = output_folder(options.out, "README.md")
    results = output_folder(str(out / "results"), *(f"{name}.json" for name in options.only))
    left_nothing = [name for name in options.only if not run_lesson(name, results, options.quick)]
    write(out / "README.md", page(results))
    if left_nothing:
        parser.exit(1, f"left no result: {', '.join(left_nothing)}\n")


if __name__ == "__main__":
    main()
