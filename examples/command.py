"""What all commands here do in the same way: how they end, and how they treat their streams.

    @command
    def main(argv=None):
        …

- What the user can mend, a full disk for one, is said in one line, with exit status 1 or 2.
- Output that cannot be written (the disk is full, `| head` has seen enough) stops nothing: the
  command goes on, saves what it has to save, and then ends with an exit status other than 0.
- A closed stream is no error, and what an encoding lacks is printed as "?".
"""

from __future__ import annotations

import argparse
import io
import os
import reprlib
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

T = TypeVar("T")

STOPPED = 130  # exit statuses as shells have them: 128 + SIGINT
NO_READER = 141  # and 128 + SIGPIPE


class UsageError(Exception):
    """The user can mend this: the message says how, and no traceback is shown."""


def command(main: Callable[[Sequence[str] | None], T]) -> Callable[..., T]:
    """The function `main(argv)`, as the command that this module describes.

    Without argv it is called by the command line.  Else by a program: its streams stay its own.
    """

    @wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> T:
        with forgiving_streams() if argv is None else nullcontext(), one_line_errors():
            return main(argv)

    return guarded


# --- Errors --------------------------------------------------------------------------------------


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit with one line after an error that is not a mistake in the program."""
    from tinygrad_reg.drawing import NoRendererError, TooLargeError  # which workers need not load

    try:
        yield
    except (UsageError, NoRendererError, TooLargeError) as error:
        end(2, f"error: {error}")
    except OSError as error:
        end(1, f"error: {in_words(error)}")
    except MemoryError as error:
        end(1, f"error: not enough memory for this: {error}")
    except KeyboardInterrupt:
        end(STOPPED, "stopped")


def end(status: int, text: str) -> NoReturn:
    print(f"{program()}: {' '.join(text.split())}", file=sys.stderr)
    raise SystemExit(status)


def program() -> str:
    return Path(sys.argv[0]).name


def in_words(error: OSError) -> str:
    """The error without its number: "file: what happened"."""
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    return f"{error.filename}: {error.strerror}"


# --- Options -------------------------------------------------------------------------------------


def whole(least: int, most: int) -> Callable[[str], int]:
    """The `type` of an argument for argparse: a whole number in this range."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {least:,} to {most:,}, not {reprlib.repr(text)}"
        )

    return convert


def output_folder(name: str, *files: str) -> Path:
    """The folder for --out, made if need be; UsageError if these files cannot be written there."""
    if not name:
        raise UsageError("--out: the name of the folder is empty; --out . means this one")
    out = Path(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError for a name that no file can have
        reason = getattr(error, "strerror", error)
        raise UsageError(f"--out {out}: cannot make this folder: {reason}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out}: this folder is not writable")
    for file in files:
        if (out / file).exists() and not (out / file).is_file():
            raise UsageError(
                f"--out {out}: {file} is no ordinary file there; move it away, or choose another "
                "--out"
            )
    return out


# --- Streams -------------------------------------------------------------------------------------


class Forgiving(io.RawIOBase):
    """Bytes for another stream; those that it cannot take are lost, and `error` says why."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())

    def write(self, data: Any) -> int:
        if self.error is not None:
            return len(data)
        try:
            written: int | None = self.stream.write(data)
        except OSError as error:
            self.error = error
            return len(data)
        if written is None:  # a pipe that does not block, and is full
            select.select([], [self.stream], [])
        return written or 0


def forgiving(stream: TextIO | None, errors: str) -> tuple[TextIO, Forgiving]:
    """A stream to use in the place of this one (None is a closed one), and the bytes below it."""
    if stream is None:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for as long as the process lives
        below = Forgiving(io.FileIO(nowhere, "wb", closefd=False))
        return io.TextIOWrapper(io.BufferedWriter(below), "utf-8", errors), below
    below = Forgiving(getattr(stream.buffer, "raw", stream.buffer))
    lines = stream.line_buffering or stream.write_through
    text = io.TextIOWrapper(io.BufferedWriter(below), stream.encoding, errors, line_buffering=lines)
    return text, below


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """In a block, print never fails; after it, output that was lost makes the exit status 1."""
    occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    if not all(stream is None or isinstance(stream, io.TextIOWrapper) for stream in before):
        yield  # a notebook or the like, which has its own
        return
    sys.stdout, output = forgiving(sys.stdout, "replace")
    sys.stderr, _ = forgiving(sys.stderr, "backslashreplace")
    status: Any = 0
    try:
        yield
    except SystemExit as error:
        status = error.code
    finally:
        sys.stdout.flush()
        if output.error is not None and not isinstance(output.error, BrokenPipeError):
            print(f"{program()}: error: standard output: {in_words(output.error)}", file=sys.stderr)
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
    if output.error is not None:
        status = status or (NO_READER if isinstance(output.error, BrokenPipeError) else 1)
    if status:
        raise SystemExit(status)


def occupy_closed_descriptors() -> None:
    """Let nothing else have the numbers of standard streams that are closed.

    Otherwise the next files to be opened get them, and whatever a library of C complains of.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
