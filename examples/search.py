"""Try many settings in parallel, here or on a Dask cluster; stop, and go on another day.

    settings = [{"seed": 0, "alpha": alpha} for alpha in (0.1, 0.01, 0.001)]
    results = search(evaluate, settings, Path("runs/alpha.jsonl"))

The results, [evaluate(seed=0, alpha=0.1), …], come in the order of the settings.  Each is appended
to the file as soon as it is there, as a line of JSON.  If the program is stopped, by Ctrl-C or by a
crash, only the settings then at work are lost, and the same call goes on with the others.

A cluster is made by `dask scheduler` on one machine and `dask worker tcp://HOST:8786` on as many as
there are, with the same Python and packages; the code of the settings is sent to them.  They do as
they are told by whoever reaches them: that is for networks that one trusts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from joblib import Parallel, delayed
from ladder import as_json, progress
from threadpoolctl import threadpool_limits

import tinygrad_reg
from tinygrad_reg.files import explaining

Evaluate: TypeAlias = Callable[..., Any]
Setting: TypeAlias = dict[str, Any]  # arguments by name, such as JSON can hold
Results: TypeAlias = Iterator[tuple[str, Any]]  # in any order, each with the key of its setting

FRAME = "search", "ladder", "command"  # modules that decide no result
PATIENCE = 5  # seconds to wait for the answer of a cluster


def search(
    evaluate: Evaluate,
    settings: Sequence[Setting],
    file: Path | None = None,
    jobs: int = -1,
    dask: str | None = None,
) -> list[Any]:
    """[evaluate(**setting) for setting in settings], each by whichever processor is free.

    evaluate   gives what JSON can hold, and depends on nothing but its arguments and the code
    file       knows the results of earlier calls, and learns the others; None forgets them
    jobs       how many processes of this machine: -1 is one for each processor, 1 starts none
    dask       the address of a cluster's scheduler, if its workers are to do it instead
    """
    file = file or Path(os.devnull)
    version = fingerprint(evaluate)
    keys = [key(version, setting) for setting in settings]
    known = read(file)
    todo = {k: setting for k, setting in zip(keys, settings) if k not in known}
    if todo:
        results = on_dask(evaluate, todo, dask) if dask else here(evaluate, todo, jobs)
        total = len(set(keys))
        file.parent.mkdir(parents=True, exist_ok=True)
        append(file, "\n")  # in case that the last line is only half a line
        with closing(results):
            for k, result in progress(results, "settings", total, initial=total - len(todo)):
                line = json.dumps(json.loads(k) | {"result": result}, default=as_json)
                append(file, line + "\n")
                known[k] = json.loads(line)["result"]  # just as it is read from the file
    return [known[k] for k in keys]


def one(evaluate: Evaluate, k: str, setting: Setting) -> tuple[str, Any]:
    """One result, with one thread in products of matrices, so that they sum in the same order."""
    with threadpool_limits(1):
        return k, evaluate(**setting)


# --- Where it is done ----------------------------------------------------------------------------


def here(evaluate: Evaluate, todo: dict[str, Setting], jobs: int) -> Results:
    """On this machine.  In no batches, where a result would wait for others and could be lost."""
    parallel = Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
    yield from parallel(delayed(one)(evaluate, *item) for item in todo.items())


def on_dask(evaluate: Evaluate, todo: dict[str, Setting], dask: str) -> Results:
    """On a cluster.  What a worker had to do when it died, Dask gives to another."""
    reach(dask)
    from distributed import Client, as_completed

    with Client(dask) as client:
        if not client.nthreads():
            print(f"{dask} has no workers yet: dask worker {dask} starts some", file=sys.stderr)
        for future in as_completed(client.map(Portable(evaluate), *zip(*todo.items()), pure=False)):
            yield future.result()


def reach(address: str) -> None:
    """ConnectionError if no scheduler answers there.  (Client waits for others, too, forever.)"""
    try:
        from distributed import rpc

        async def who() -> str:
            async with rpc(address) as server:
                return str((await server.identity())["type"])

        kind = asyncio.run(asyncio.wait_for(who(), PATIENCE))
        reason = f"this is a {kind.lower()}, not a scheduler" if kind != "Scheduler" else ""
    except ModuleNotFoundError:
        reason = 'this needs Dask: pip install "dask[distributed]"'
    except asyncio.TimeoutError:
        reason = f"no answer in {PATIENCE} seconds"
    except Exception as error:  # each kind of address has its own
        reason = str(error)
    if reason:
        raise ConnectionError(f"no cluster at {address!r}: {reason}")


def cluster(address: str) -> str:
    """The address, if a scheduler answers there: the `type` of an argument for argparse."""
    try:
        reach(address)
    except ConnectionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return address


# The argument --dask of a command.
DASK = {
    "metavar": "ADDRESS",
    "type": cluster,
    "help": "of a Dask scheduler, e.g. tcp://HOST:8786: its workers do it, instead of this machine",
}


class Portable:
    """`one` with this evaluate, and their code: workers need nothing but the installed packages."""

    def __init__(self, evaluate: Evaluate) -> None:
        import cloudpickle

        for module in modules(evaluate):
            cloudpickle.register_pickle_by_value(module)
        self.pickled = cloudpickle.dumps(partial(one, evaluate))

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        import cloudpickle

        return cloudpickle.loads, (self.pickled,)

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError("only what it becomes on a worker can be called")


# --- What is known already -----------------------------------------------------------------------


def modules(evaluate: Evaluate) -> list[ModuleType]:
    """This one, evaluate's, and those that they use of the files beside them."""
    found = [sys.modules[__name__], sys.modules[evaluate.__module__]]
    folders = {source(module).parent for module in found}
    for module in found:  # which grows
        for value in vars(module).values():
            used = sys.modules.get(str(getattr(value, "__module__", None)))
            if used and used not in found and source(used).parent in folders:
                found.append(used)
    return found


def package(value: Any) -> str:
    """The package that a module, a function or a class comes from."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return str(name).split(".")[0]


def source(module: ModuleType) -> Path:
    return Path(getattr(module, "__file__", None) or "built in")


def fingerprint(evaluate: Evaluate) -> str:
    """Of this code, the engine's, and the versions of the packages that it uses.

    Other ones may give other results; those of scikit-learn, for one, bring other data.
    """
    used = [module for module in modules(evaluate) if module.__name__ not in FRAME]
    files = [*source(tinygrad_reg).parent.glob("*.py"), *map(source, used)]
    digest = sha256(np.__version__.encode())
    for name in sorted({package(value) for module in used for value in vars(module).values()}):
        digest.update(f"{name} {getattr(sys.modules.get(name), '__version__', None)}".encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def key(version: str, setting: Setting) -> str:
    """All that a result hangs on, as one line of JSON."""
    return json.dumps({"code": version, "setting": setting}, sort_keys=True, default=as_json)


def append(file: Path, text: str) -> None:
    with explaining(file), file.open("ab") as lines:
        lines.write(text.encode())


def read(file: Path) -> dict[str, Any]:
    """The results in the file by their keys."""
    known = {}
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
            known[key(record["code"], record["setting"])] = record["result"]
        except (ValueError, TypeError, KeyError, RecursionError):  # half a line, or none of ours
            continue
    return known
