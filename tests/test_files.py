"""Files: written whole or not at all, whatever they are called and wherever they are."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tinygrad_reg import Film, Tensor, checkpoint, draw, files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import ladder  # noqa: E402
import plots  # noqa: E402

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX has this")
not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.txt"


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """In a block, this process cannot write files of more bytes: like a disk that gets full.

    (Enough for the DOT text of a small graph, which pygraphviz writes to a file of its own.)
    """
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- Whole or not at all -------------------------------------------------------------------------


def loss(operations: int = 3) -> Tensor:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(operations):
        x = -x
    return x.sum()


def save_film(path: Path) -> None:
    film = Film()
    film.record(loss())
    film.save(path)


def curves(path: Path) -> None:
    keys = "objective", "train loss", "validation loss", "train accuracy", "validation accuracy"
    plots.plot_curves([{"curves": {key: [1.0, 0.5] for key in keys}}], path)


SAVERS: dict[str, Callable[[Path], Any]] = {
    "text.txt": lambda path: files.write(path, "ü" * 4000),
    "bytes.bin": lambda path: files.write(path, bytes(8000)),
    "run.safetensors": lambda path: checkpoint.save(path, text="x" * 8000),
    "graph.dot": lambda path: draw(loss(40)).save(path),
    "graph.svg": lambda path: draw(loss()).save(path),
    "graph.png": lambda path: draw(loss()).save(path),
    "graph.html": lambda path: draw(loss()).save(path),
    "film.html": save_film,
    "curves.png": curves,
    "confusion.png": lambda path: plots.plot_confusion([{"confusion": [[3, 1], [0, 4]]}], path),
    "picture.png": lambda path: ladder.save_picture(ladder.diagram()[0], path.with_suffix("")),
    "result.json": lambda path: ladder.save_result(path, "title", [], {"x": [0] * 9999}, 0, {}),
}


@pytest.mark.parametrize("name", SAVERS)
def test_a_write_that_fails_halfway_leaves_the_old_file_and_no_other(tmp_path, name):
    path = tmp_path / name
    path.write_text("the old one")
    message = r"cannot write here \(File too large\); raise the limit on the size of files"
    with at_most(6000), pytest.raises(OSError, match=message) as error:
        SAVERS[name](path)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(path)
    assert path.read_text() == "the old one"
    assert os.listdir(tmp_path) == [name]
    SAVERS[name](path)
    assert path.stat().st_size > 6000
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_a_full_disk_is_an_error_that_names_the_file_and_the_remedy(tmp_path, name):
    path = tmp_path / name
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.; free some space") as error:
        SAVERS[name](path)
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(path)
    assert os.listdir(tmp_path) == [name]


def test_all_that_is_written_is_written_there():
    writing = re.compile(r"\.write_(text|bytes)\(|savefig\(|\bopen\(|shutil\.(copy|move)")
    for folder in "tinygrad_reg", "examples", "benchmarks":
        for file in (ROOT / folder).rglob("*.py"):
            for line in file.read_text(encoding="utf-8").splitlines():
                if writing.search(line) and file.name != "files.py":
                    expected = "explaining" if file.name == "search.py" else "temporary"
                    assert expected in line or "os.open(os.devnull" in line, f"{file}: {line}"


def test_an_error_of_something_else_in_the_block_stays_what_it_is(path):
    other = path.with_name("other")
    with pytest.raises(FileNotFoundError) as error, files.replacing(path):
        other.read_text()
    assert error.value.filename == str(other)
    with pytest.raises(OSError, match=r"^no number$"), files.replacing(path):
        raise OSError("no number")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as temporary:
        temporary.write_text(str(1 // 0))
    assert os.listdir(path.parent) == []


# --- What there is at the path -------------------------------------------------------------------


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path, exists, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    target, link, again = folder / "target", tmp_path / "link", tmp_path / "again"
    link.symlink_to(Path("folder", "target"))  # relative to the link
    again.symlink_to(link)
    if exists:
        target.write_text("old")
    files.write(again, "new")
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert link.is_symlink()
    assert again.is_symlink()
    assert os.listdir(folder) == ["target"]
    checkpoint.save(link, step=1)
    assert checkpoint.load(target) == {"step": 1}
    assert link.is_symlink()


@posix
def test_permissions_stay_and_new_files_have_those_of_the_day(path):
    mask = os.umask(0o027)
    try:
        files.write(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in 0o600, 0o664, 0o777, 0o4755:
            path.chmod(mode)
            files.write(path, "again")
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(mask)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can test it")
def test_the_owner_stays(path):
    files.write(path, "old")
    path.chmod(0o666)
    os.chown(path, 1234, 4321)
    files.write(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_extended_attributes_stay_and_the_time_is_now(path):
    path.write_text("old")
    os.utime(path, (0, 0))
    try:
        os.setxattr(path, "user.from", b"here")
    except (OSError, AttributeError):
        pytest.skip("this system has no extended attributes")
    files.write(path, "new")
    assert os.getxattr(path, "user.from") == b"here"
    assert path.stat().st_mtime > 1e9


@posix
def test_other_hard_links_keep_the_old_content(path):
    path.write_text("old")
    other = path.with_name("other")
    other.hardlink_to(path)
    files.write(path, "new")
    assert (path.read_text(), other.read_text()) == ("new", "old")


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "ü" * 125 + ".txt", "x" * 255, "." * 200])
def test_names_may_be_as_long_as_the_system_allows(tmp_path, name):
    for content in "old", "new":
        files.write(tmp_path / name, content)
    assert (tmp_path / name).read_text() == "new"
    assert os.listdir(tmp_path) == [name]
    with files.replacing(tmp_path / ("x" * 200 + ".png")) as temporary:
        assert temporary.suffix == ".png"  # by which matplotlib knows the format


@posix
@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("folder", IsADirectoryError, "move that folder away, or choose another name"),
        (".", IsADirectoryError, "move that folder away"),
        ("nowhere/file", FileNotFoundError, "save into a folder that exists"),
        ("plain/file", NotADirectoryError, "save into a folder that exists"),
        ("x" * 256, OSError, "choose a shorter name"),
        ("loop", OSError, "save into a folder that exists"),
    ],
)
def test_what_cannot_be_is_an_error_with_the_remedy(tmp_path, name, kind, remedy):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(kind, match=rf"checkpoint: cannot write here \(.*\); {remedy}") as error:
        checkpoint.save(tmp_path / name, step=1)
    assert error.value.filename == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_to_is_not_replaced(path, monkeypatch, what):
    path.write_text("old")
    if what == "file":  # root could write to it
        monkeypatch.setattr(os, "access", lambda p, mode: mode != os.W_OK)
    else:
        refused = PermissionError(errno.EACCES, "Permission denied", str(path) + "x")
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(refused))
        refused.filename = str(path.with_name(".partial-file.txt"))
    with pytest.raises(PermissionError, match="a file and a folder that are yours to write to"):
        files.write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"


@not_root
def test_a_file_that_is_read_only_stays(path):
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        files.write(path, "new")
    assert path.read_text() == "old"


@posix
def test_devices_and_pipes_are_written_to(tmp_path):
    files.write("/dev/null", "gone")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    files.write(pipe, "through the pipe")
    reader.join()
    assert read == ["through the pipe"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
@pytest.mark.parametrize("mode", ["wb", "ab", "pipe"])
def test_standard_output_may_be_the_file(tmp_path, mode):
    program = """
from tinygrad_reg import files
print("before")
files.write("/dev/stdout", "the file\\n")
print("after")
"""
    command = [sys.executable, "-c", program.replace("\\\\", "\\")]
    if mode == "pipe":
        said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        with (tmp_path / "file").open(mode) as file:
            subprocess.run(command, stdout=file, check=True)
        said = (tmp_path / "file").read_bytes()
        assert os.listdir(tmp_path) == ["file"]
    assert said.split(b"\n") == [b"before", b"the file", b"after", b""]


def test_the_name_counts_where_the_block_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with files.replacing("file") as temporary:
        temporary.write_text("new")
        monkeypatch.chdir("elsewhere")
    assert (tmp_path / "file").read_text() == "new"


# --- Several at a time ---------------------------------------------------------------------------


@posix
def test_two_may_write_at_a_time_and_the_last_one_wins(path):
    with files.replacing(path) as first:
        first.write_text("first")
        with files.replacing(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == [path.name]


@posix
def test_many_threads_leave_one_whole_file(path):
    contents = [str(i) * 50_000 for i in range(4)]
    mixed, errors = [], []

    def work(content: str) -> None:
        try:
            for _ in range(25):
                files.write(path, content)
                if path.read_text() not in contents:
                    mixed.append(content)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not mixed
    assert os.listdir(path.parent) == [path.name]


@posix
def test_what_a_killed_process_left_is_taken_over(path):
    program = f"""
import os, signal
from tinygrad_reg import files
with files.replacing({str(path)!r}) as temporary:
    temporary.write_text("half of a very long file")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=False)
    assert len(os.listdir(path.parent)) == 1
    files.write(path, "new")
    assert os.listdir(path.parent) == [path.name]
    assert path.read_text() == "new"


@posix
def test_nothing_is_kept_of_what_a_killed_process_left(path):
    path.with_name(".partial-file.txt").write_text("half of a file")
    with files.replacing(path) as temporary, temporary.open("ab") as file:
        file.write(b"new")
    assert path.read_text() == "new"


@posix
def test_a_file_that_another_process_has_just_put_in_place_is_not_touched(path, monkeypatch):
    lock = files.fcntl.flock

    def late(descriptor: int, how: int) -> None:
        temporary = path.with_name(".partial-file.txt")
        if not path.exists():  # between our opening it and our locking it
            temporary.write_text("of the other process")
            temporary.rename(path)
        lock(descriptor, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    with files.replacing(path) as temporary:
        assert path.read_text() == "of the other process"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == [path.name]


@posix
def test_a_disk_without_locks_is_no_error(path, monkeypatch):
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    files.write(path, "new")
    assert path.read_text() == "new"


@posix
def test_nobody_is_led_astray_by_a_link_in_the_way(path):
    victim = path.with_name("victim")
    victim.write_text("not yours")
    path.with_name(".partial-file.txt").symlink_to(victim)
    with pytest.raises(OSError, match="cannot write here"):
        files.write(path, "new")
    assert victim.read_text() == "not yours"
