"""Files that are written whole, or not at all.

Everything in the package that writes a file does it here.  The new content goes into a temporary
file beside the old one, and takes its place when all of it is on the disk.  So a full disk, Ctrl-C
or a kill leaves the old file as it was.

    with replacing("curves.png") as temporary:
        figure.savefig(temporary)
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["explaining", "replacing", "write"]

PARTIAL = ".partial-"  # what the names of temporary files begin with
REMEDIES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space there, or have the quota raised",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or save to another disk",
    errno.EISDIR: "move that folder away, or choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "choose a file and a folder that are yours to write to",
    errno.EPERM: "choose a file and a folder that are yours to write to",
}
REMEDY = "save into a folder that exists and is yours to write to"  # for all other errors


def write(path: str | os.PathLike[str], content: bytes | str, operation: str = "") -> None:
    """Write a file, text in UTF-8; if that fails, the old one stays as it was.

    Parameters
    ----------
    path, operation
        As for `replacing`.
    content
        All of the file.

    Raises
    ------
    OSError
        As `replacing` does.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path, operation) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | os.PathLike[str], operation: str = "") -> Iterator[Path]:
    """A path to write a file to that, once complete and on the disk, takes the place of `path`.

    At any moment, whatever happens, `path` is the old file or the new one.  On an error the
    temporary file is removed; a killed process leaves one, which the next one takes over.

    Parameters
    ----------
    path
        The name of the file.  If it is a symbolic link, what that points to is replaced.
    operation
        What the text of an error begins with.

    Raises
    ------
    OSError
        If the file cannot be written: it names the file, the reason and the remedy.

    Notes
    -----
    The new file has the permissions, the extended attributes and, where that is allowed, the owner
    of the old one.  A file that may not be written to is not replaced, either.  Other hard links to
    the old file keep its content.  Devices and pipes are written to directly, and what is written
    to /dev/stdout follows what was printed.  Several processes may write to the same path at a
    time, and the last one wins (but on Windows, and on disks without locks, they must not).

    Examples
    --------
    >>> with replacing("metrics.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    path = Path(path)
    with explaining(path, operation):
        old = status(path)
        if old and (stream := stream_to(old)):
            with pouring_into(stream, path.suffix) as temporary:
                yield temporary
            return
        if old and not stat.S_ISREG(old.st_mode):
            if stat.S_ISDIR(old.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            yield path
            return
        target = Path(os.path.realpath(path))
        if old and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with temporary_file(target, stat.S_IMODE(old.st_mode) if old else 0o666) as temporary:
            yield temporary
            if old:
                keep_attributes(target, temporary, old)
            sync(temporary, os.O_WRONLY)
            os.replace(temporary, target)
        with suppress(OSError):  # the new file is there; not every system can sync a folder
            sync(target.parent, os.O_RDONLY)


@contextmanager
def explaining(path: str | os.PathLike[str], operation: str = "") -> Iterator[None]:
    """In a block, errors of writing to this file name it and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not concerns(error, Path(path)):
            raise
        reason = f"cannot write here ({error.strerror}); {REMEDIES.get(error.errno, REMEDY)}"
        message = f"{operation}: {reason}" if operation else reason
        raise OSError(error.errno, message, os.fspath(path)) from None


def concerns(error: OSError, path: Path) -> bool:
    """Tell whether an error is about this file, and not another one that a block works with."""
    if error.filename is None:
        return True
    target, named = Path(os.path.realpath(path)), Path(str(error.filename))
    temporary = named.parent == target.parent and named.name.startswith(PARTIAL)
    return temporary or named in (path, target)


def status(target: Path) -> os.stat_result | None:
    """What the system knows of a file; None if there is none."""
    try:
        return os.stat(target)
    except FileNotFoundError:
        return None


def stream_to(old: os.stat_result) -> int | None:
    """Which of our streams, 1 for output or 2 for errors, goes to this file."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(old, os.fstat(stream)):
                return stream
    return None


@contextmanager
def pouring_into(stream: int, suffix: str) -> Iterator[Path]:
    """A path to write a file to that is then sent to a stream, after what was printed before."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, f"file{suffix}")
        yield temporary
        for text in (sys.stdout, sys.stderr):
            if text is not None:
                text.flush()
        with open(stream, "wb", closefd=False) as output:
            output.write(temporary.read_bytes())


def keep_attributes(target: Path, temporary: Path, old: os.stat_result) -> None:
    """Give the new file what the old one had, but not its time."""
    if sys.platform != "win32":
        with suppress(OSError):  # mostly, only root may do this
            os.chown(temporary, old.st_uid, old.st_gid)
    with suppress(OSError):  # some disks have no permissions
        shutil.copystat(target, temporary)
        os.utime(temporary)


def sync(path: Path, flags: int) -> None:
    """Wait until the file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- The temporary file --------------------------------------------------------------------------


@contextmanager
def temporary_file(target: Path, mode: int) -> Iterator[Path]:
    """An empty file beside the target, for the length of a block, which renames it or fails."""
    temporary, descriptor = claim(target, mode)
    try:
        if sys.platform == "win32":  # which renames no open file, and has no locks to keep
            os.close(descriptor)
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        if sys.platform != "win32":
            os.close(descriptor)


def claim(target: Path, mode: int) -> tuple[Path, int]:
    """A temporary file that nobody else writes to, and the descriptor that keeps it locked.

    A file that another process has locked is left to it: there is one of the next name.  A killed
    process has no locks, so that what it left is taken over.
    """
    number = 0
    while True:
        prefix = f"{PARTIAL}{number}-" if number else PARTIAL
        temporary = target.with_name(prefix + target.name[-50:])  # a name has 255 bytes at most
        number += 1
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | NO_LINK, mode)
        except PermissionError:
            if not temporary.exists():  # else it is one of another user
                raise
            continue
        if locked(descriptor, temporary):
            os.ftruncate(descriptor, 0)
            return temporary, descriptor
        os.close(descriptor)


if sys.platform == "win32":
    NO_LINK = 0

    def locked(descriptor: int, temporary: Path) -> bool:
        return True

else:
    NO_LINK = os.O_NOFOLLOW

    def locked(descriptor: int, temporary: Path) -> bool:
        """Tell whether the file could be locked, and is still the one of this name."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this disk has no locks
            return True
        now = status(temporary)
        return now is not None and os.path.samestat(now, os.fstat(descriptor))
