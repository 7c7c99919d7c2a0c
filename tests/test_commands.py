"""Commands: whatever becomes of their streams, they save their results and end in one line."""

from __future__ import annotations

import argparse
import ast
import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
sys.path[:0] = [str(EXAMPLES), str(ROOT / "benchmarks")]

import command  # noqa: E402
import depth  # noqa: E402
import gallery  # noqa: E402
import lesson01_neuron  # noqa: E402
import memory  # noqa: E402
import pictures  # noqa: E402
import train_digits  # noqa: E402
import train_step  # noqa: E402

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")

SCRIPT = """
import contextlib, os, sys
sys.path.insert(0, {examples!r})
from command import command
from tqdm import tqdm

@command
def main(argv=None):
    for _ in tqdm(range(300), mininterval=0):
        print("β Σ|W| → ✓" * 50)
        print("λ", file=sys.stderr)
    with open("saved", "w") as file:
        for stream in 1, 2:
            with contextlib.suppress(OSError):  # as libraries of C do
                os.write(stream, b"a warning\\n")

main()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A command that prints much, and saves its result at the end."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(examples=str(EXAMPLES)), encoding="utf-8")
    return path


def shell(line: str, folder: Path, **environment: str) -> tuple[int, str]:
    """The exit status of the command in front of any pipe, and what comes of its errors."""
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder, env=os.environ | environment, capture_output=True,
    )  # fmt: skip
    errors = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    return done.returncode, errors


@posix
@pytest.mark.parametrize(
    ("streams", "status"),
    [
        ("> /dev/full", 1),
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        ("2> /dev/full", 0),
        ("> /dev/full 2> /dev/full", 1),
        ("| head -1", 141),
        ("2>&1 > /dev/null | head -1", 0),
        ("> /dev/null < /dev/null", 0),
        ("1< /dev/null", 1),  # not open for writing
    ],
)
@pytest.mark.parametrize("buffered", ["", "1"])
def test_broken_streams_stop_nothing(script, streams, status, buffered):
    line = f"{sys.executable} {script} {streams}"
    code, errors = shell(line, script.parent, PYTHONUNBUFFERED=buffered)
    assert code == status
    assert (script.parent / "saved").read_text() == ""
    if status == 1 and "2>" not in streams:
        last = errors.strip().splitlines()[-1]
        assert last.startswith("script.py: error: standard output: ")


@posix
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8:strict", "utf-16"])
def test_what_an_encoding_lacks_is_no_error(script, encoding):
    line = f"{sys.executable} {script} > out"
    assert shell(line, script.parent, PYTHONIOENCODING=encoding)[0] == 0
    said = (script.parent / "out").read_bytes().decode(encoding.split(":")[0])
    assert said.count("|W|") == 15_000
    assert ("β" in said) == ("utf" in encoding)


@posix
def test_a_pipe_that_does_not_block_gets_everything(script):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen(
        [sys.executable, script], cwd=script.parent, stdout=writer, stderr=subprocess.DEVNULL
    ) as process:
        os.close(writer)
        time.sleep(0.5)  # by then the pipe is full
        with open(reader, encoding="utf-8") as output:
            assert output.read().count("✓") == 15_000
    assert process.returncode == 0


@posix
def test_a_lesson_saves_before_it_prints(tmp_path):
    line = f"{sys.executable} {EXAMPLES / 'lesson01_neuron.py'} --out l > /dev/full"
    assert shell(line, tmp_path)[0] == 1
    assert sorted(os.listdir(tmp_path / "l")) == ["picture.svg", "result.json"]


@posix
def test_help_is_printed_in_any_encoding(tmp_path):
    line = f"{sys.executable} {EXAMPLES / 'train_digits.py'} --help > out"
    assert shell(line, tmp_path, PYTHONIOENCODING="cp1252") == (0, "")
    assert "of the penalty" in (tmp_path / "out").read_text(encoding="cp1252")
    assert shell(line.replace("out", "/dev/full"), tmp_path)[0] == 1


def test_every_command_is_one():
    for folder in EXAMPLES, ROOT / "benchmarks":
        for path in folder.glob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if "__main__" not in map(str, (getattr(x, "value", "") for x in ast.walk(tree))):
                continue
            defined = [x for x in tree.body if getattr(x, "name", "") == "main"]
            if defined:
                assert [x.id for x in defined[0].decorator_list] == ["command"], path
            else:  # ladder.lesson makes one
                assert "main = lesson(" in path.read_text(encoding="utf-8"), path


# --- Errors --------------------------------------------------------------------------------------

MAINS = {
    "lesson": lesson01_neuron.main,
    "pictures": pictures.main,
    "gallery": gallery.main,
    "train_digits": train_digits.main,
    "train_step": train_step.main,
    "memory": memory.main,
    "depth": depth.main,
}


def refused(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what the command says before it exits."""
    with pytest.raises(SystemExit) as error:
        MAINS[name](arguments)
    assert error.value.code in (1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.strip().rsplit("\n", 1)[-1]


@pytest.mark.parametrize("value", ["nan", "-1", "0", "1e400", "9" * 30, "9" * 5000, "", "\udcff"])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("lesson", "--seeds"),
        ("train_step", "--threads"),
        ("train_step", "--rounds"),
        ("depth", "--sizes"),
        ("depth", "--rounds"),
        ("train_digits", "--hidden"),
        ("train_digits", "--epochs"),
        ("train_digits", "--seeds"),
    ],
)
def test_numbers_out_of_range_are_refused(name, option, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert option in refused(name, [f"{option}={value}"], capsys)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("lesson", ["--seed", "-1"], "--seed: must be a whole number from 0 to 4,000,000,000"),
        ("lesson", ["--out", ""], "--out: the name of the folder is empty"),
        ("lesson", ["--out", "a\0b"], "cannot make this folder: embedded null byte"),
        ("lesson", ["--out", "x" * 300], "cannot make this folder: File name too long"),
        ("lesson", ["--out", "file"], "cannot make this folder: File exists"),
        ("lesson", ["--out", "taken"], "result.json is no ordinary file there; move it away"),
        ("pictures", ["--out", ""], "--out: the name of the folder is empty"),
        ("pictures", ["--only", "neuron", "--out", "taken"], "neuron.svg is no ordinary file"),
        ("pictures", ["--only", "neuron", "--format", ""], "must end in one of .svg"),
        ("gallery", ["--out", ""], "--out: the name of the folder is empty"),
        ("gallery", ["--out", "taken"], "README.md is no ordinary file"),
        ("gallery", ["--out", "file"], "cannot make this folder"),
        ("train_digits", ["--out", ""], "--out: the name of the folder is empty"),
        ("train_digits", ["--out", "taken"], "curves.png is no ordinary file there"),
        ("train_digits", ["--mnist", "x" * 300], "File name too long"),
        ("train_step", ["--json", "nowhere/file"], "nowhere/file: cannot write here (No such"),
        ("train_step", ["--json", ""], "cannot write here (Is a directory)"),
    ],
)
def test_names_that_cannot_be_are_refused(name, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for file in "result.json", "neuron.svg", "README.md", "curves.png":
        Path("taken", file).mkdir(parents=True)
    assert message in refused(name, arguments, capsys)


def test_a_folder_that_is_read_only_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert "not writable" in refused("lesson", ["--out", str(tmp_path)], capsys)


@pytest.mark.parametrize("what", ["json", "picture"])
def test_the_gallery_names_a_result_that_is_not_its_own(tmp_path, what, monkeypatch, capfd):
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr(gallery, "run_lesson", lambda *_: True)
    (results / "lesson02_backprop.json").write_text("[]" if what == "json" else "{}")
    with pytest.raises(SystemExit):
        gallery.main(["--only", "lesson01_neuron", "--out", str(tmp_path)])
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert "lesson02_backprop.json, and a picture beside it, are not what this script wr" in line


def test_memory_is_refused_without_memray(monkeypatch, capsys):
    monkeypatch.setattr(memory, "installed", lambda package: None)
    assert "memray is not installed: pip install" in refused("memory", [], capsys)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device"),
        (OSError(errno.ENOENT, "It is not\nthere", "file"), 1, "error: file: It is not there"),
        (OSError("something"), 1, "error: something"),
        (MemoryError("of 7 TiB"), 1, "error: not enough memory for this: of 7 TiB"),
        (command.UsageError("take another"), 2, "error: take another"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_is_no_mistake_of_the_program_is_one_line(error, status, line, capsys):
    @command.command
    def main(argv: object) -> None:
        raise error

    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == status
    assert capsys.readouterr().err == f"{Path(sys.argv[0]).name}: {line}\n"


def test_a_mistake_of_the_program_is_not_hidden():
    @command.command
    def main(argv: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])


def test_streams_that_are_no_files_are_left_alone(monkeypatch):
    class Notebook:
        def write(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    monkeypatch.setattr(sys, "stdout", Notebook())
    command.command(lambda argv: print("here", end=""))()
    assert said == ["here", ""]


@pytest.mark.parametrize("how", ["line_buffering", "write_through"])
def test_what_was_printed_at_once_still_is(how):
    below = io.BytesIO()
    before = io.TextIOWrapper(below, "utf-8", **{how: True})
    stream, _ = command.forgiving(before, "replace")
    stream.write("a line\n")
    assert below.getvalue() == b"a line\n"


def test_whole_numbers_in_a_range():
    assert [command.whole(1, 3)(text) for text in "123"] == [1, 2, 3]
    for text in "0", "4", "1.0", "x", "9" * 5000:
        with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1 to 3, not '"):
            command.whole(1, 3)(text)
