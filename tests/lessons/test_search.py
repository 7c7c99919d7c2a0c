"""Searching: the same results wherever, whatever is killed, and however often it is stopped."""

import importlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import lesson05_search as lesson
import pytest
from distributed import Client, LocalCluster
from search import Portable, fingerprint, read, search
from threadpoolctl import threadpool_info, threadpool_limits

REAL = [  # what the lesson does, but short
    setting for arm in lesson.ARMS for setting in lesson.candidates(arm, seed=3, epochs=1, n=4)
]


def third(n, log=os.devnull, trouble=None):
    """n / 3; the log has who was asked; and in trouble one is once."""
    with open(log, "a", encoding="utf-8") as lines:
        lines.write(f"{n}\n")
    if trouble and not Path(trouble).exists():
        Path(trouble).touch()
        if Path(trouble).name.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt if Path(trouble).name == "ctrl-c" else ValueError("some mistake")
    return {"⅓": n / 3}


def threads():
    """How many the products of matrices have."""
    return max(library["num_threads"] for library in threadpool_info())


def saved(n, file):
    """How many results are in the file by then, for whoever reads it."""
    return len(read(Path(file)))


def asked(log):
    return [int(line) for line in Path(log).read_text().split()]


@pytest.fixture(scope="module")
def address():
    """That of a cluster of two processes on this machine."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # any port: None would be port 8787, which may be taken
        scheduler_kwargs={"dashboard": False},
    ) as two:
        yield two.scheduler_address


# --- The same everywhere -------------------------------------------------------------------------


def test_serial_parallel_and_dask_give_the_same_bits_in_the_same_order(address, tmp_path):
    serial = search(lesson.evaluate, REAL, jobs=1)
    assert serial == [lesson.evaluate(**setting).tolist() for setting in REAL]
    assert len({minus_loss for _, minus_loss in serial}) == len(REAL)
    assert search(lesson.evaluate, REAL, jobs=2) == serial
    assert search(lesson.evaluate, REAL, dask=address) == serial
    assert search(lesson.evaluate, REAL[::-1], tmp_path / "file", dask=address) == serial[::-1]


def test_products_of_matrices_have_one_thread():
    with threadpool_limits(2):
        assert threads() == 2
        assert search(threads, [{}], jobs=1) == [1]
        assert threads() == 2


def test_the_lesson_has_the_same_numbers_on_dask(address):
    assert lesson.run(quick=True, seeds=1, dask=address) == lesson.run(quick=True, seeds=1)


def test_a_worker_needs_none_of_the_files_here(tmp_path):
    result = "pickle.load(sys.stdin.buffer)('key', {'n': 1})"
    done = subprocess.run(
        [sys.executable, "-c", f"import pickle, sys; print({result})"],
        input=pickle.dumps(Portable(third)),
        capture_output=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.stdout.decode().strip() == str(("key", third(1))), done.stderr.decode()


def test_a_setting_that_comes_twice_is_done_once(tmp_path):
    log = str(tmp_path / "log")
    settings = [{"n": n, "log": log} for n in (1, 2, 1)]
    assert search(third, settings, jobs=1) == [third(1), third(2), third(1)]
    assert asked(log) == [1, 2]


@pytest.mark.parametrize("package", ["sklearn", "numpy", "tinygrad_reg"])
def test_other_packages_may_give_other_results(package, monkeypatch):
    before = fingerprint(lesson.evaluate)
    assert fingerprint(lesson.evaluate) == before
    monkeypatch.setattr(importlib.import_module(package), "__version__", "0.0")
    assert fingerprint(lesson.evaluate) != before


# --- Stopped, killed, and going on ---------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX has this signal")
def test_killed_workers_lose_no_setting(address, tmp_path):
    log, file = str(tmp_path / "log"), tmp_path / "file"
    settings = [{"n": n, "log": log} for n in range(12)]
    for n in 3, 8:
        settings[n]["trouble"] = str(tmp_path / f"kill {n}")
    assert search(third, settings, file, dask=address) == [third(n) for n in range(12)]
    assert asked(log).count(3) >= 2  # a worker died of it, and another one did it
    assert asked(log).count(8) >= 2
    saved = [json.loads(line)["setting"]["n"] for line in file.read_bytes().splitlines() if line]
    assert sorted(saved) == list(range(12))


@pytest.mark.parametrize("trouble", ["ctrl-c", "mistake"])
def test_interrupted_and_resumed_is_as_uninterrupted_and_nothing_is_done_twice(trouble, tmp_path):
    log, file = str(tmp_path / "log"), tmp_path / "file"
    settings = [{"n": n, "log": log} for n in range(6)]
    settings[4]["trouble"] = str(tmp_path / trouble)
    with pytest.raises(KeyboardInterrupt if trouble == "ctrl-c" else ValueError):
        search(third, settings, file, jobs=1)
    assert asked(log) == [0, 1, 2, 3, 4]
    assert search(third, settings, file, jobs=1) == [third(n) for n in range(6)]
    assert asked(log) == [0, 1, 2, 3, 4, 4, 5]
    before = file.read_bytes()
    assert search(third, settings, file, jobs=1) == [third(n) for n in range(6)]
    assert asked(log) == [0, 1, 2, 3, 4, 4, 5]
    assert file.read_bytes() == before


def test_a_full_disk_is_named_and_nothing_is_done_twice(tmp_path):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    log, file = str(tmp_path / "log"), tmp_path / "file"
    settings = [{"n": n, "log": log} for n in range(6)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write here \(File too large\)") as error:
            search(third, settings, file, jobs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(file)
    done = len(asked(log))
    assert 1 < done < 6
    assert search(third, settings, file, jobs=1) == [third(n) for n in range(6)]
    assert len(asked(log)) == 7  # one was lost, half written


def test_a_result_is_saved_before_the_next_is_begun(tmp_path):
    settings = [{"n": n, "file": str(tmp_path / "file")} for n in range(4)]
    assert search(saved, settings, tmp_path / "file", jobs=1) == [0, 1, 2, 3]


def test_dask_does_what_is_left_and_a_mistake_there_ends_it(address, tmp_path):
    log, file = str(tmp_path / "log"), tmp_path / "file"
    settings = [{"n": n, "log": log} for n in range(5)]
    search(third, settings[:3], file, jobs=1)
    settings[4]["trouble"] = str(tmp_path / "mistake")
    with pytest.raises(ValueError, match="some mistake"):
        search(third, settings, file, dask=address)
    assert search(third, settings, file, dask=address) == [third(n) for n in range(5)]
    assert sorted(asked(log))[:4] == [0, 1, 2, 3]  # 3 once or twice, those before only once


def test_a_file_cut_anywhere_is_good_for_its_whole_lines(tmp_path):
    log, file, cut = (tmp_path / name for name in ("log", "file", "cut"))
    settings = [{"n": n, "log": str(log)} for n in range(3)]
    results = search(third, settings, file, jobs=1)
    whole = file.read_bytes()
    ends = [i for i in range(len(whole)) if whole[i : i + 1] == b"\n"]
    for size in {*range(0, len(whole), 23), *(end + i for end in ends for i in (-1, 0, 1))} - {-1}:
        cut.write_bytes(whole[:size])
        log.write_text("")
        assert search(third, settings, cut, jobs=1) == results
        assert asked(log) == [0, 1, 2][whole[:size].count(b"}}") :]  # which ends a line
        assert len(read(cut)) == 3


@pytest.mark.parametrize(
    "line", [b"\0\0\0", b"\xff", b"[1]", b"3", b"{}", b'{"code": "0"}', b"\r\r"]
)
def test_a_line_that_is_no_result_is_passed_over(line, tmp_path):
    file = tmp_path / "folder" / "file"
    search(third, [{"n": 1}], file, jobs=1)
    file.write_bytes(line + file.read_bytes() + line)
    assert search(third, [{"n": 1}, {"n": 2}], file, jobs=1) == [third(1), third(2)]
    assert len(read(file)) == 2


# --- What is not mixed ---------------------------------------------------------------------------


def test_results_of_other_settings_are_not_taken(tmp_path):
    file = tmp_path / "file"
    first = {"seed": 0, "epochs": 1, "alpha": [0.1, 0.2], "beta": [0.0, 0.0], "part": "validation"}
    others = {"seed": 1}, {"epochs": 2}, {"alpha": [0.2, 0.1]}, {"beta": [0.0, 1e-3]}
    settings = [first | other for other in ({}, *others, {"part": "test"})]
    found = [search(lesson.evaluate, [setting], file, jobs=1)[0] for setting in settings]
    assert found == [lesson.evaluate(**setting).tolist() for setting in settings]
    assert len({tuple(result) for result in found}) == len(settings)
    assert len(read(file)) == len(settings)


def test_results_of_other_code_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file, program, helper = (tmp_path / name for name in ("file", "program.py", "helper.py"))
    found = []
    for factor, power in (1, 2), (10, 2), (10, 3), (1, 2):
        program.write_text(f"from helper import f\ndef evaluate(n): return {factor} * f(n)\n")
        helper.write_text(f"def f(n): return n ** {power}\n")
        importlib.invalidate_caches()
        for name in "program", "helper":
            monkeypatch.delitem(sys.modules, name, raising=False)
        evaluate = importlib.import_module("program").evaluate
        found += search(evaluate, [{"n": 2}], file, jobs=1)
    assert found == [4, 40, 80, 4]
    assert len(read(file)) == 3


# --- No cluster ----------------------------------------------------------------------------------


def message(address, capsys):
    """What the lesson says on stderr, of a cluster that it cannot use."""
    with pytest.raises(SystemExit) as end:
        lesson.main(["--quick", "--dask", address, "--out", os.devnull])
    assert end.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "error: argument --dask: no cluster at" in line
    with pytest.raises(ConnectionError, match="no cluster"):
        search(third, [{"n": 1}], dask=address)
    return line


def test_addresses_where_no_scheduler_answers(capsys, monkeypatch, address):
    monkeypatch.setattr("search.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = f"127.0.0.1:{silent.getsockname()[1]}"
        assert f"{there!r}: no answer in 0.3 seconds" in message(there, capsys)
    assert "no answer" in message(there, capsys)  # now nobody is there
    assert "scheme" in message("post://127.0.0.1:1", capsys)
    assert "port" in message("127.0.0.1", capsys)


def test_a_worker_is_no_scheduler(capsys, address):
    with Client(address) as client:
        worker = next(iter(client.nthreads()))
    assert "this is a worker, not a scheduler" in message(worker, capsys)


def test_without_dask_it_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert 'pip install "dask[distributed]"' in message("127.0.0.1:8786", capsys)
