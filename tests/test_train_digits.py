"""The main job: what train_digits.py leaves, that it can be trusted, and what it refuses."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import tinygrad_reg
from tinygrad_reg import checkpoint

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import mnist_files  # noqa: E402
import train_digits  # noqa: E402
from train_digits import Settings, main  # noqa: E402

FILES = [
    "confusion.png",
    "curves.png",
    "graph.html",
    "graph.svg",
    "metrics.json",
    "model.safetensors",
]
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One run of a few seconds, for all tests that only look at what it left."""
    out = tmp_path_factory.mktemp("quick")
    return main(["--quick", "--out", str(out)]), out


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: without_seconds(v) for k, v in value.items() if k not in ("seconds", "out", "eager")
        }
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def rebuilt(metrics: dict[str, Any], out: Path) -> tuple[Any, Any]:
    """The model from its checkpoint, with other first weights, and the splits of its seed."""
    settings = Settings(**metrics["settings"])
    splits = train_digits.load_splits(settings, settings.seed)
    x = np.zeros_like(splits["train"][0])
    model = train_digits.build_model(settings, x, np.random.default_rng(99))
    checkpoint.load(out / "model.safetensors", model)
    return model, splits


# --- What it leaves ------------------------------------------------------------------------------


def test_leaves_every_file_and_no_other(quick):
    assert sorted(os.listdir(quick[1])) == FILES


@pytest.mark.parametrize(
    ("name", "size"), [("curves.png", (1200, 480)), ("confusion.png", (720, 720))]
)
def test_pictures_are_png(quick, name, size):
    data = (quick[1] / name).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == size
    assert len(data) > 10_000  # not an empty canvas


def test_graph_is_svg_of_the_whole_step(quick):
    path = quick[1] / "graph.svg"
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    text = path.read_text(encoding="utf-8")
    for box in ("Linear", "BatchNorm1d", "Dropout", "cross_entropy", "l1_penalty", "l2_penalty"):
        assert box in text


def test_checkpoint_reproduces_the_test_result(quick):
    metrics, out = quick
    model, splits = rebuilt(metrics, out)
    x, y = splits["test"]
    assert (
        train_digits.measure(train_digits.predict(model, x), y)
        == metrics["runs"][0]["ours"]["test"]
    )


def test_metrics_tell_everything(quick):
    metrics, out = quick
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(metrics)
    )
    assert set(metrics) == {"settings", "test_accuracy", "runs", "versions", "seconds"}
    assert metrics["settings"]["seed"] == 0
    assert set(metrics["versions"]) == {"python", "tinygrad_reg", "numpy", "scikit-learn"}
    (run,) = metrics["runs"]
    assert run["examples"] == {"train": 1077, "validation": 360, "test": 360}
    for who in ("ours", "sklearn"):
        for split in SPLITS:
            assert 0.95 < run[who][split]["accuracy"] <= 1
            assert 0 < run[who][split]["loss"] < 1
        assert run[who]["seconds"] > 0
        assert metrics["test_accuracy"][who] == {"mean": run[who]["test"]["accuracy"], "sd": None}
    assert run["sklearn"]["converged"]
    assert np.sum(run["confusion"]) == 360
    assert np.trace(run["confusion"]) / 360 == run["ours"]["test"]["accuracy"]


def test_curves_have_one_number_for_each_epoch_and_end_at_the_result(quick):
    metrics, _ = quick
    run = metrics["runs"][0]
    names = {f"{split} {key}" for split in ("train", "validation") for key in ("loss", "accuracy")}
    assert set(run["curves"]) == names | {"objective"}
    for name, values in run["curves"].items():
        assert len(values) == metrics["settings"]["epochs"] == train_digits.QUICK_EPOCHS
        if name != "objective":
            split, key = name.split()
            assert values[-1] == run["ours"][split][key]
    assert run["curves"]["objective"][-1] < 0.3 * run["curves"]["objective"][0]


def test_runs_as_a_script(tmp_path):
    command = [sys.executable, EXAMPLES / "train_digits.py", "--quick", "--epochs", "2"]
    done = subprocess.run([*command, "--out", "here"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tinygrad_reg" in done.stdout
    assert "scikit-learn" in done.stdout
    assert "2/2" in done.stderr  # the progress bar
    assert "validation=" in done.stderr
    assert "Warning" not in done.stderr
    assert sorted(os.listdir(tmp_path / "here")) == FILES


# --- Seeds ---------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bits(tmp_path):
    def once(name: str) -> tuple[Any, dict[str, Any]]:
        out = tmp_path / name
        tinygrad_reg.seed(len(name))  # neither this generator
        np.random.seed(len(name))  # nor NumPy's may have a say
        metrics = main(
            ["--quick", "--epochs", "2", "--hidden", "20", "--seed", "5", "--out", str(out)]
        )
        return without_seconds(metrics), load_file(out / "model.safetensors")

    (metrics, state), (metrics_again, state_again) = once("a"), once("again")
    assert metrics == metrics_again
    assert {name: array.tobytes() for name, array in state.items()} == {
        name: array.tobytes() for name, array in state_again.items()
    }


def test_compiled_and_eager_steps_give_the_same_bits(quick, tmp_path):
    metrics, out = quick
    eager = main(["--quick", "--eager", "--out", str(tmp_path)])
    assert without_seconds(eager["runs"]) == without_seconds(metrics["runs"])
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, tmp_path))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_several_seeds(tmp_path, capsys):
    arguments = ["--quick", "--epochs", "2", "--hidden", "20"]
    both = main([*arguments, "--seed", "3", "--seeds", "2", "--out", str(tmp_path / "both")])
    assert "mean ± sd over 2 seeds" in capsys.readouterr().out
    second = main([*arguments, "--seed", "4", "--out", str(tmp_path / "second")])
    assert [run["seed"] for run in both["runs"]] == [3, 4]
    assert without_seconds(both["runs"][1]) == without_seconds(second["runs"][0])
    assert both["runs"][0]["curves"] != both["runs"][1]["curves"]
    a, b = (
        np.array([run[who]["test"]["accuracy"] for run in both["runs"]])
        for who in ("ours", "sklearn")
    )
    for name, values in {"ours": a, "sklearn": b, "difference": a - b}.items():
        mean, sd = values.mean(), abs(values[0] - values[1]) / 2**0.5
        assert both["test_accuracy"][name] == pytest.approx({"mean": mean, "sd": sd})
    model, splits = rebuilt(both, tmp_path / "both")  # the checkpoint is the first seed's
    x, y = splits["test"]
    measured = train_digits.measure(train_digits.predict(model, x), y)
    assert measured == both["runs"][0]["ours"]["test"]


# --- Stopping and going on -----------------------------------------------------------------------

SMALL = ["--quick", "--epochs", "2", "--hidden", "20", "--batch-size", "300"]


def left(out: Path) -> Any:
    """All that a run leaves that must be the same to the last bit."""
    assert sorted(os.listdir(out)) == FILES
    state = load_file(out / "model.safetensors")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    bits = {name: (array.dtype, array.tobytes()) for name, array in state.items()}
    return bits, without_seconds(metrics)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted run with the flags SMALL leaves."""
    out = tmp_path_factory.mktemp("small")
    main([*SMALL, "--out", str(out)])
    return left(out)


# It imports what a run imports, and makes one for each line: so many seconds, arguments.
LAUNCHER = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import train_digits
train_digits.SAVE_EVERY, train_digits.QUICK_EXAMPLES = 0, 300
for line in sys.stdin:
    seconds, *arguments = line.split()
    start = time.perf_counter()
    run = os.fork()
    if not run:
        sys.stdout = open(os.devnull, "w")
        train_digits.main(arguments)
        os._exit(0)
    status = 0, 0
    while status == (0, 0) and time.perf_counter() < start + float(seconds):
        status = os.waitpid(run, os.WNOHANG)
        time.sleep(0.001)
    if status == (0, 0):
        os.kill(run, signal.SIGKILL)
        status = os.waitpid(run, 0)
    print(os.waitstatus_to_exitcode(status[1]), time.perf_counter() - start, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_run_killed_at_twenty_random_moments_ends_as_if_it_had_not_been(tmp_path):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, EXAMPLES],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=tmp_path,
    )  # fmt: skip

    def attempt(seconds: float, out: str) -> tuple[bool, float]:
        """Go on with a run, but kill it after that time.  Whether it was, and how long it took."""
        flags = ["--quick", "--hidden", "20", "--batch-size", "16", "--resume", "--out", out]
        print(seconds, *flags, file=launcher.stdin, flush=True)
        code, took = launcher.stdout.readline().split()
        assert int(code) in (0, -signal.SIGKILL)
        return int(code) != 0, float(took)

    rng = np.random.default_rng(0)
    kills = inside = chain = 0
    with launcher:
        _, life = attempt(np.inf, "whole")
        expected = left(tmp_path / "whole")
        while kills < 20:
            chain += 1
            out = tmp_path / str(chain)
            moments = np.sort(rng.uniform(0, life, 5))
            for seconds in [*np.diff(moments, prepend=0), np.inf]:
                killed, _ = attempt(seconds, out.name)
                if not killed:
                    break
                kills += 1
                if (out / "checkpoint.safetensors").exists():
                    position = checkpoint.load(out / "checkpoint.safetensors")["position"]
                    inside += bool(position and position["batch"])
            assert left(out) == expected
        launcher.stdin.close()
    assert inside  # some epoch, that is, and not only between phases


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take no time, and are none."""

    def picture(*arguments: Any) -> None:
        arguments[-1].write_text("a picture")

    def graph(*arguments: Any) -> None:
        for suffix in (".svg", ".html"):
            arguments[-1].with_suffix(suffix).write_text("a picture")

    monkeypatch.setattr(train_digits, "draw_training_step", graph)
    monkeypatch.setattr(train_digits, "plot_curves", picture)
    monkeypatch.setattr(train_digits, "plot_confusion", picture)


@pytest.mark.usefixtures("unpainted")
def test_a_run_can_be_resumed_from_whatever_is_on_the_disk(tmp_path, monkeypatch):
    rival = {name: {"accuracy": 0.5} for name in SPLITS}
    monkeypatch.setattr(train_digits, "train_rival", lambda *_: rival)
    monkeypatch.setattr(train_digits, "SAVE_EVERY", 0)
    flags = [*SMALL, "--epochs", "3", "--seeds", "2", "--out"]
    out = tmp_path / "out"
    main([*flags, str(out), "--seed", "7"])  # a run whose place the new one takes
    states = []

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        """The function, but what the folder holds before it is noted."""

        def noting(*arguments: Any, **keywords: Any) -> Any:
            states.append({path.name: path.read_bytes() for path in out.iterdir()})
            return change(*arguments, **keywords)

        return noting

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", watched(os.replace))
        patch.setattr(Path, "unlink", watched(Path.unlink))
        main([*flags, str(out)])
    expected = left(out)
    states = states[1:]  # in the first, nothing of the new run is there yet
    assert len(states) > 20
    for i, files in enumerate(states):
        copy = tmp_path / str(i)
        copy.mkdir()
        for name, data in files.items():
            (copy / name).write_bytes(data)
        main([*flags, str(copy), "--resume"])
        assert left(copy) == expected


def interrupt(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def stopped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command prints when Ctrl-C stops it."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.strip().rsplit("\n", 1)[-1]


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("where", "call", "position"),
    [
        ("objective", 1, (0, 1)),
        ("objective", 5, (1, 2)),
        ("objective", 6, (1, 3)),
        ("predict", 1, (1, 1)),  # the batch that follows is the first to be saved
        ("predict", 4, (2, 0)),
        ("train_rival", 1, (2, 0)),
        ("draw_training_step", 1, (2, 0)),
        ("plot_curves", 1, None),
    ],
)
def test_ctrl_c_saves_and_says_how_to_go_on(
    tmp_path, monkeypatch, capsys, small, where, call, position
):
    function = getattr(train_digits, where)
    calls = 0

    def interrupting(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            interrupt()
        return function(*arguments)

    monkeypatch.setattr(train_digits, where, interrupting)
    arguments = [*SMALL, "--eager", "--out", str(tmp_path)]  # a program calls no objective
    line = stopped(arguments, capsys)
    assert line.startswith("Stopped. To go on: ")
    assert shlex.split(line)[-len(arguments) - 1 :] == [*arguments, "--resume"]
    at = checkpoint.load(tmp_path / "checkpoint.safetensors")["position"]
    assert (at and (at["epoch"], at["batch"])) == position
    main([*arguments, "--resume"])
    assert left(tmp_path) == small


@pytest.mark.usefixtures("unpainted")
def test_ctrl_c_does_not_leave_scikit_learn_half_trained(tmp_path, monkeypatch, capsys, small):
    class Rival(train_digits.MLPClassifier):
        def fit(self, x: Any, y: Any) -> Any:
            threading.Timer(0.02, interrupt).start()  # fit ends early, but well, at Ctrl-C
            return super().fit(x, y)

    with monkeypatch.context() as patch:
        patch.setattr(train_digits, "MLPClassifier", Rival)
        arguments = [*SMALL, "--out", str(tmp_path)]
        assert stopped(arguments, capsys).endswith("--resume")
    main([*arguments, "--resume"])
    assert left(tmp_path) == small


def test_the_command_that_ctrl_c_prints_goes_on(tmp_path):
    flags = ["--quick", "--hidden", "20", "--out"]
    command = [sys.executable, EXAMPLES / "train_digits.py", *flags, "a folder"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while process.stderr.read(1) != b"\r":  # the progress bar: training begins
            pass
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().decode().strip().rsplit("\n", 1)[-1]
    assert process.returncode == 130
    assert checkpoint.load(tmp_path / "a folder" / "checkpoint.safetensors")["position"]
    assert last.endswith(" --resume")
    subprocess.run(last.removeprefix("Stopped. To go on: "), cwd=tmp_path, shell=True, check=True)
    main([*flags, str(tmp_path / "whole")])
    assert left(tmp_path / "a folder") == left(tmp_path / "whole")


def test_ctrl_c_before_anything_is_saved_still_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_digits, "load_splits", interrupt)
    assert stopped([*SMALL, "--out", str(tmp_path)], capsys).endswith("--resume")
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("unpainted")
def test_a_run_that_cannot_start_leaves_the_old_one(tmp_path, capsys):
    main([*SMALL, "--out", str(tmp_path)])
    before = left(tmp_path)
    refused(["--mnist", "nowhere", "--out", str(tmp_path)], capsys)
    assert left(tmp_path) == before


@pytest.mark.usefixtures("unpainted")
def test_resume_starts_a_run_where_there_is_none(tmp_path, small):
    main([*SMALL, "--out", str(tmp_path / "new"), "--resume"])
    assert left(tmp_path / "new") == small


def test_resume_reports_a_finished_run_and_trains_nothing(tmp_path, monkeypatch, capsys):
    arguments = [*SMALL, "--out", str(tmp_path)]
    metrics = main(arguments)
    said = capsys.readouterr().out
    before = left(tmp_path)
    monkeypatch.delattr(train_digits, "train")
    assert main([*arguments, "--resume"]) == metrics
    assert capsys.readouterr().out == said
    assert left(tmp_path) == before


def begun(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was stopped after training."""
    with monkeypatch.context() as patch:
        patch.setattr(train_digits, "draw_training_step", interrupt)
        stopped([*SMALL, "--out", str(out)], capsys)


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("state", ["begun", "finished"])
def test_resume_refuses_other_settings_and_lists_them(tmp_path, monkeypatch, capsys, state):
    if state == "begun":
        begun(tmp_path, monkeypatch, capsys)
    else:
        main([*SMALL, "--out", str(tmp_path)])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    flags = ["--epochs", "3", "--hidden", "20", "30", "--batch-size", "300", "--no-batch-norm"]
    line = refused([*flags, "--resume", "--out", str(tmp_path)], capsys)
    assert (
        "is of a run with other settings (hidden [20] there, [20, 30] here; batch_norm True "
        "there, False here; epochs 2 there, 3 here): repeat those, or choose another --out, or "
        "start over without --resume" in line
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("state", ["begun", "finished"])
@pytest.mark.parametrize("change", ["label", "pixel", "test label", "order", "digits"])
def test_resume_refuses_other_data(tmp_path, mnist, monkeypatch, capsys, state, change):
    arguments = [*SMALL, "--mnist", str(mnist), "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        if state == "begun":
            patch.setattr(train_digits, "draw_training_step", interrupt)
            stopped(arguments, capsys)
        else:
            main(arguments)
    for path in list(mnist.iterdir()):
        compress(path)  # the same data in other files
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    read = train_digits.read_mnist

    def changed(folder: Path) -> Any:
        (x, y), (test_x, test_y) = read(folder)
        if change == "label":
            y[7] = (y[7] + 1) % 10
        elif change == "pixel":
            x[7, 7] += 1
        elif change == "test label":
            test_y[7] = (test_y[7] + 1) % 10
        elif change == "order":
            x[:2], y[:2] = x[1::-1].copy(), y[1::-1].copy()
        else:
            test_x, test_y = x, y
        return (x, y), (test_x, test_y)

    with monkeypatch.context() as patch:
        patch.setattr(train_digits, "read_mnist", changed)
        line = refused([*arguments[1:], "--resume"], capsys)
    assert "is of a run on other data: bring those back, or choose another --out" in line
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    main([*arguments, "--resume"])


@pytest.mark.usefixtures("unpainted")
def test_data_that_change_during_a_run_do_not_get_into_it(tmp_path, mnist, monkeypatch):
    arguments = [*SMALL, "--mnist", str(mnist), "--seeds", "2", "--out"]
    main([*arguments, str(tmp_path / "quiet")])
    train = train_digits.train

    def train_and_change(*arguments: Any) -> Any:
        edit(LABELS, lambda d: d[:8] + d[:7:-1])(mnist)
        return train(*arguments)

    monkeypatch.setattr(train_digits, "train", train_and_change)
    main([*arguments, str(tmp_path / "changed")])
    quiet, changed = left(tmp_path / "quiet"), left(tmp_path / "changed")
    assert quiet == changed


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("package", ["numpy", "scikit-learn", "tinygrad_reg"])
def test_resume_refuses_other_versions_of_what_computes(tmp_path, monkeypatch, capsys, package):
    begun(tmp_path, monkeypatch, capsys)
    others = train_digits.versions() | {package: "0.0", "python": "4.0"}
    monkeypatch.setattr(train_digits, "versions", lambda: others)
    line = refused([*SMALL, "--resume", "--out", str(tmp_path)], capsys)
    assert f"is of a run with other versions ({package} " in line
    assert "python" not in line


@pytest.mark.usefixtures("unpainted")
def test_a_new_run_takes_the_place_of_an_old_one(tmp_path, monkeypatch, capsys):
    main([*SMALL, "--out", str(tmp_path)])
    begun(tmp_path, monkeypatch, capsys)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "model.safetensors"]


@pytest.mark.usefixtures("unpainted")
def test_a_run_may_be_resumed_in_another_folder(tmp_path, monkeypatch, capsys, small):
    begun(tmp_path / "here", monkeypatch, capsys)
    os.rename(tmp_path / "here", tmp_path / "there")
    main([*SMALL, "--resume", "--out", str(tmp_path / "there")])
    assert left(tmp_path / "there") == small


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("checkpoint.safetensors", b"\xff" * 100, "checkpoint.safetensors: not a safetensors file"),
        ("metrics.json", b"{", "metrics.json is not what this script writes"),
        ("metrics.json", b"[1]", "metrics.json is not what this script writes"),
        ("metrics.json", b"{}", "metrics.json is not what this script writes"),
        ("metrics.json", b'{"settings": 1}', "metrics.json is not what this script writes"),
        ("metrics.json", b'{"runs": [{"data": 1}]}', "metrics.json is not what this script writes"),
        ("metrics.json", b"\xff\0binary", "metrics.json is not what this script writes"),
        ("metrics.json", b"[" * 99999, "metrics.json is not what this script writes"),
        ("metrics.json", b"9" * 5000, "metrics.json is not what this script writes"),
        ("metrics.json", None, "metrics.json is no ordinary file there; move it away"),
        ("curves.png", None, "curves.png is no ordinary file there; move it away"),
        ("checkpoint.safetensors", None, "checkpoint.safetensors is no ordinary file there"),
        ("checkpoint.safetensors", b"", "checkpoint.safetensors: not a safetensors file"),
        ("checkpoint.safetensors", {}, "checkpoint.safetensors is not what this script writes"),
        (
            "checkpoint.safetensors",
            {"settings": 1, "versions": [], "data": None, "runs": 1, "position": 2, "seconds": "x"},
            "checkpoint.safetensors is not what this script writes",
        ),
    ],
)
def test_resume_refuses_files_that_are_not_its_own(tmp_path, capsys, name, data, message):
    if data is None:
        (tmp_path / name).mkdir()
    elif isinstance(data, dict):
        checkpoint.save(tmp_path / name, **data)
    else:
        (tmp_path / name).write_bytes(data)
    line = refused(["--resume", "--out", str(tmp_path)], capsys)
    assert len(line) < 500
    assert message in line
    assert "or start over without --resume" in line or "or choose another --out" in line


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("part", ["test_accuracy", "seconds", "runs"])
def test_resume_refuses_a_report_with_a_hole(tmp_path, capsys, part):
    main([*SMALL, "--out", str(tmp_path)])
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: []}))
    line = refused([*SMALL[1:], "--resume", "--out", str(tmp_path)], capsys)
    assert "metrics.json is not what this script writes" in line


# --- Disks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [500, 3000, 30_000])
def test_a_full_disk_is_one_line_and_resume_completes_the_run(tmp_path, capsys, small, size):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    flags = ["--epochs", "2", "--hidden", "20", "--batch-size", "300", "--out", str(tmp_path)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        line = refused(flags, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write here (File too large); raise the limit" in line
    assert line.endswith("; then go on with --resume")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".partial")]
    main(["--quick", *flags, "--resume"])
    assert left(tmp_path) == small


@pytest.mark.usefixtures("unpainted")
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_in_the_folder_stay_links(tmp_path, small):
    for name in "checkpoint.safetensors", "model.safetensors", "metrics.json":
        (tmp_path / name).symlink_to(tmp_path / f"real {name}")
    for _ in range(2):
        main([*SMALL, "--out", str(tmp_path)])
        assert (tmp_path / "model.safetensors").is_symlink()
        assert load_file(tmp_path / "real model.safetensors").keys() == small[0].keys()
        assert json.loads((tmp_path / "real metrics.json").read_text())["runs"]
        assert not (tmp_path / "real checkpoint.safetensors").exists()


@pytest.mark.usefixtures("unpainted")
def test_a_network_that_memory_cannot_hold_is_one_line(tmp_path, monkeypatch, capsys):
    def too_large(*_: Any) -> Any:
        raise MemoryError("Unable to allocate 477. GiB")

    monkeypatch.setattr(train_digits, "build_model", too_large)
    line = refused(["--out", str(tmp_path)], capsys)
    assert "not enough memory: Unable to allocate 477. GiB" in line
    assert line.endswith("; choose a smaller --hidden or --batch-size")


# --- That the numbers can be trusted -------------------------------------------------------------


def test_splits_are_disjoint_and_stratified(monkeypatch):
    _, labels = load_digits(return_X_y=True)
    numbered = np.arange(len(labels), dtype=float)[:, None]  # examples that tell who they are
    monkeypatch.setattr(train_digits, "load_digits", lambda return_X_y: (numbered, labels))  # noqa: N803
    splits = train_digits.load_splits(Settings(), seed=7)
    members = [splits[name][0].ravel().astype(int) for name in SPLITS]
    assert sorted(np.concatenate(members)) == list(range(1797))
    for who, name in zip(members, SPLITS):
        np.testing.assert_array_equal(labels[who], splits[name][1])
        share = np.bincount(splits[name][1]) / len(who)
        np.testing.assert_allclose(share, np.bincount(labels) / 1797, atol=0.004)
    other = train_digits.load_splits(Settings(), seed=8)["test"][0].ravel()
    assert set(other) != set(members[2])


def test_training_never_sees_the_test_set(tmp_path):
    settings = Settings(epochs=1, out=str(tmp_path))
    splits = train_digits.load_splits(settings, 0)
    del splits["test"]
    rng = np.random.default_rng(0)
    model = train_digits.build_model(settings, splits["train"][0], rng)
    train_digits.train(model, splits, settings, rng, train_digits.Progress(settings), "")


def test_standardises_with_the_training_set():
    x = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    model = train_digits.build_model(Settings(), x, np.random.default_rng(0))
    z = train_digits.predict(model[0], x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, (x - x.mean(0)) / x.std(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        train_digits.predict(model[0], x[:1] + 9), z[:1] + 9 / x.std(), rtol=1e-5
    )
    blank = train_digits.Standardise(np.zeros((5, 3), np.float32))
    assert (train_digits.predict(blank, np.ones((1, 3), np.float32)) == 1).all()


def test_objective_is_cross_entropy_and_both_penalties():
    settings = Settings(hidden=(7,), dropout=0, l1=0.01, l2=0.3)
    x, y = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32), np.arange(6)
    model = train_digits.build_model(settings, x, np.random.default_rng(1)).eval()
    logits = train_digits.predict(model, x).astype(float)
    weights = [value for name, value in model.state_dict().items() if value.ndim == 2]
    assert [w.shape for w in weights] == [(5, 7), (7, 10)]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(6), y])
    expected += sum(0.01 * np.abs(w).sum() + 0.15 * (w**2).sum() for w in weights)
    assert train_digits.objective(model, x, y, settings).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "size"), [(2, 32), (31, 32), (33, 32), (65, 32), (3, 2), (7, 3)])
def test_no_example_is_left_over(n, size, monkeypatch, tmp_path):
    seen: list[int] = []
    objective = train_digits.objective

    def spy(model, x, y, settings):
        assert model.training  # although the epoch before ended with an evaluation
        seen.extend(x[:, 0].astype(int))
        return objective(model, x, y, settings)

    monkeypatch.setattr(train_digits, "objective", spy)
    x, y = np.arange(3 * n, dtype=np.float32).reshape(n, 3), np.arange(n) % 10
    settings = Settings(epochs=2, batch_size=size, out=str(tmp_path))
    rng = np.random.default_rng(0)
    model = train_digits.build_model(settings, x, rng)
    progress = train_digits.Progress(settings)
    splits = {"train": (x, y), "validation": (x, y)}
    train_digits.train(model, splits, settings, rng, progress, "")
    assert sorted(seen) == np.repeat(x[:, 0], 2).tolist()


def test_says_when_scikit_learn_has_not_converged(tmp_path, monkeypatch, capsys):
    rival = train_digits.MLPClassifier
    impatient = lambda hidden, max_iter, random_state: rival(hidden, max_iter=2)  # noqa: E731
    monkeypatch.setattr(train_digits, "MLPClassifier", impatient)
    metrics = main(["--quick", "--epochs", "1", "--hidden", "20", "--out", str(tmp_path)])
    assert metrics["runs"][0]["sklearn"]["converged"] is False
    assert "hasn't converged" in capsys.readouterr().out


# --- Flags ---------------------------------------------------------------------------------------


def test_without_batch_norm(tmp_path):
    main(["--quick", "--epochs", "1", "--hidden", "20", "--no-batch-norm", "--out", str(tmp_path)])
    state = load_file(tmp_path / "model.safetensors")
    assert not any("running" in name for name in state)
    assert sum(name.endswith("bias") for name in state) == 2
    assert "BatchNorm1d" not in (tmp_path / "graph.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_other_optimizers_learn(tmp_path, optimizer):
    flags = ["--quick", "--epochs", "3", "--dropout", "0", "--l1", "0", "--l2", "0"]
    metrics = main([*flags, "--optimizer", optimizer, "--batch-size", "16", "--out", str(tmp_path)])
    assert metrics["runs"][0]["ours"]["test"]["accuracy"] > 0.93
    assert metrics["settings"]["optimizer"] == optimizer
    assert "penalty" not in (tmp_path / "graph.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden 0", "--hidden: sizes must be 1 or more"),
        ("--hidden 128 -1", "--hidden"),
        ("--hidden 100000000000", "--hidden: sizes must be 1 or more, and below 1,000,000,000"),
        ("--epochs 1000001", "--epochs must be 1 or more, and at most 1,000,000"),
        ("--hidden", "expected at least one argument"),
        ("--dropout 1", "--dropout, the probability of dropping, must be in [0, 1)"),
        ("--dropout -0.1", "--dropout"),
        ("--dropout nan", "--dropout"),
        ("--l1 -0.1", "--l1 must be 0 or more"),
        ("--l2 inf", "--l2 must be 0 or more"),
        ("--lr 0", "--lr must be above 0"),
        ("--lr nan", "--lr must be above 0"),
        ("--batch-size 1", "--batch-size must be 2 or more with batch norm"),
        ("--batch-size 0 --no-batch-norm", "--batch-size must be 1 or more"),
        ("--epochs 0", "--epochs must be 1 or more"),
        ("--seeds 0", "--seeds must be from 1"),
        ("--seed -1", "--seed must be from 0"),
        ("--optimizer lion", "invalid choice: 'lion'"),
        ("--out file/runs", "cannot make this folder"),
        ("--out file", "cannot make this folder"),
        ("--mnist nowhere", "nowhere has no file train-images-idx3-ubyte"),
    ],
)
def test_wrong_use_gets_one_clear_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert message in refused(["--out", "out", *flags.split()], capsys)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what the command line says before it exits with status 2."""
    with pytest.raises(SystemExit) as exit_:
        main(["--quick", *arguments])
    assert exit_.value.code == 2
    return capsys.readouterr().err.strip().rsplit("\n", 1)[-1]


@pytest.mark.parametrize("flags", ["--lr 1e9 --optimizer sgd", "--l1 1e308", "--l2 1e39"])
def test_divergence_is_told(tmp_path, capsys, flags):
    flags = ["--no-batch-norm", *flags.split(), "--out", str(tmp_path)]
    assert "training diverged (loss nan): lower --lr, --l1 or --l2" in refused(flags, capsys)


# --- MNIST files ---------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """The four files, as published and small: 300 and 100 digits of 8×8 pixels."""
    x, y = load_digits(return_X_y=True)
    x, y = x.reshape(-1, 8, 8).astype(np.uint8), y.astype(np.uint8)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, rows in (("train", slice(300)), ("t10k", slice(300, 400))):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(x[rows]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(y[rows]))
    return folder


def compress(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize("change", ["none", "gz", "dot", "gz without suffix"])
def test_reads_mnist(mnist, change):
    for path in list(mnist.iterdir()):
        if change == "gz":
            compress(path)
        elif change == "dot":
            path.rename(mnist / path.name.replace("-idx", ".idx"))
        elif change == "gz without suffix":
            path.write_bytes(gzip.compress(path.read_bytes()))
    x, y = load_digits(return_X_y=True)
    (train_x, train_y), (test_x, test_y) = mnist_files.read_mnist(mnist)
    np.testing.assert_array_equal(np.concatenate([train_x, test_x]), x[:400])
    np.testing.assert_array_equal(np.concatenate([train_y, test_y]), y[:400])
    assert train_x.dtype == np.float32


def test_trains_on_mnist(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(train_digits, "QUICK_EXAMPLES", 200)
    flags = ["--quick", "--hidden", "30", "--mnist", str(mnist), "--out", str(tmp_path / "out")]
    metrics = main(flags)
    assert metrics["runs"][0]["examples"] == {"train": 200, "validation": 50, "test": 100}
    assert metrics["runs"][0]["ours"]["test"]["accuracy"] > 0.7
    assert sorted(os.listdir(tmp_path / "out")) == FILES


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def corrupt_gzip(folder: Path) -> None:
    compress(folder / IMAGES)
    edit(f"{IMAGES}.gz", lambda data: data[:500] + bytes(50) + data[550:])(folder)


def cut_gzip(folder: Path) -> None:
    compress(folder / IMAGES)
    edit(f"{IMAGES}.gz", lambda data: data[:-100])(folder)


IMAGES, LABELS, TEST_IMAGES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / LABELS).unlink(), f"has no file {LABELS}"),
        (
            edit(IMAGES, lambda d: b"\0\0\x0d" + d[3:]),
            f"{IMAGES}: not this kind of IDX file: magic",
        ),
        (edit(LABELS, lambda d: b"P5 8 8 255 " + d), f"{LABELS}: not this kind of IDX file: magic"),
        (edit(IMAGES, lambda d: d[:-1]), "header says 300 × 8 × 8 bytes, but 19199 follow"),
        (edit(IMAGES, lambda d: d + b"\0"), "header says 300 × 8 × 8 bytes, but 19201 follow"),
        (edit(LABELS, lambda d: d[:3]), f"{LABELS}: 3 bytes are too few for an IDX header of 8"),
        (edit(LABELS, lambda d: b""), f"{LABELS}: 0 bytes are too few"),
        (
            edit(LABELS, lambda d: d[:4] + bytes(4) + d[8:]),
            "header says 0 bytes, but 300 follow",
        ),
        (edit(LABELS, lambda d: idx(np.zeros(0, np.uint8))), f"{LABELS}: there is nothing in it"),
        (
            edit(IMAGES, lambda d: d[:4] + b"\xff" * 12 + d[16:]),
            "4294967295 × 4294967295 × 4294967295",
        ),
        (edit(LABELS, lambda d: idx(np.zeros(299, np.uint8))), "300 train images, but 299 labels"),
        (edit(LABELS, lambda d: d[:-1] + b"\x0a"), "train labels must be 0 to 9, but one is 10"),
        (
            edit(TEST_IMAGES, lambda d: idx(np.zeros((100, 4, 4), np.uint8))),
            "images differ in size",
        ),
        (corrupt_gzip, f"{IMAGES}.gz: cannot be read"),
        (cut_gzip, f"{IMAGES}.gz: cannot be read"),
        (
            edit(LABELS, lambda d: d[:-300] + b"\1" + bytes(299)),
            "300 examples are too few to split",
        ),
        (
            edit(LABELS, lambda d: d[:8] + bytes(300)),
            "all training examples are of one digit: there is nothing to tell apart",
        ),
        (
            edit(LABELS, lambda d: d[:8] + d[8:].replace(b"\7", b"\1")),
            "no training example is a 7, but others are",
        ),
        (lambda folder: (folder / LABELS).write_bytes(b"\x1f\x8b") and None, "cannot be read"),
    ],
)
def test_malformed_mnist_gets_one_clear_line(mnist, tmp_path, capsys, damage, message):
    damage(mnist)
    line = refused(["--mnist", str(mnist), "--out", str(tmp_path / "out")], capsys)
    assert ": error: " in line
    assert message in line
