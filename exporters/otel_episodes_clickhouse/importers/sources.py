"""What can be imported: files, directories, archives, standard input; each opened when its turn comes.

Compression is told by what a file begins with, not by its name. Devices are refused; what comes through a pipe is
copied to a file of ours first, before any store is opened.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import sys
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from otel_episodes import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZIP: Final = b"PK\x03\x04"
_SUFFIXES: Final = frozenset((".json", ".jsonl", ".ndjson", ".traj", ".eval", ".gz", ".zst", ".zip"))
_NOT_ENTERED: Final = frozenset((".git", "node_modules", "__pycache__", ".venv"))
# Sub-agents and continuations: what they belong to reads them.
_LATER: Final = re.compile(r"^agent-|\.cont-\d+\.")
_COPY_BYTES: Final = 1024 * 1024
_IN_MEMORY: Final = 16 * 1024 * 1024
_MOST_AT_ONCE: Final = 16 * 1024**3


@dataclass(frozen=True)
class Source:
    """One thing to read: ``name`` is what it is shown as, ``modified`` nanoseconds since 1970.

    ``path`` is where it lies, for what may lie beside it; None for what comes out of an archive or a pipe. ``named``:
    the user named this very file, so what is wrong with it is worth a word.
    """

    name: str
    size: int
    modified: int
    opener: Callable[[], IO[bytes]]
    path: Path | None = None
    named: bool = True

    @property
    def is_directory(self) -> bool:
        """Whether the files of this directory are one run together."""
        return self.path is not None and self.path.is_dir()

    @contextmanager
    def archive(self) -> Iterator[zipfile.ZipFile | None]:
        """Open it as an archive inside the block; None where it is not one."""
        # Not closing: what came through a pipe is read again.
        file = self.opener()
        try:
            if _start(file) != _ZIP:
                yield None
                return
            with zipfile.ZipFile(file) as opened:
                yield opened
        finally:
            file.close()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it inside the block, decompressed.

        Raises:
            UsageError: it is compressed by what cannot be read here.
        """
        file = self.opener()
        try:
            start = _start(file)
            if start[:2] == _GZIP:
                with gzip.GzipFile(fileobj=file, mode="rb") as plain:
                    yield plain  # type: ignore[misc]  # a file in all that is used of it
            elif start == _ZSTD:
                with _zstd(file, self.name) as plain:
                    yield plain
            else:
                yield file
        finally:
            file.close()

    def beside(self, *parts: str) -> Path | None:
        """Return the file at this place, from the directory this one is in; None where there is none."""
        if self.path is None:
            return None
        found = self.path.parent.joinpath(*parts)
        return found if found.is_file() else None


def _start(file: IO[bytes]) -> bytes:
    start = file.read(4)
    file.seek(0)
    return start


def _zstd(file: IO[bytes], name: str) -> IO[bytes]:
    for module, opener in (("compression.zstd", "ZstdFile"), ("backports.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            opened: IO[bytes] = getattr(import_module(module), opener)(file, "rb")
        except ImportError:
            continue
        return opened
    raise UsageError(f"{name} is compressed by zstd: pip install zstandard, or decompress it first")


# --- from what the user names ------------------------------------------------------------------------------------


def checked(paths: Iterable[Path]) -> list[Path]:
    """Return what can be read; raise `UsageError` for what is not there or is a device."""
    paths = list(paths)
    for path in paths:
        if str(path) == "-":
            continue
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(
                f"{path} is not there" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
            ) from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)):
            raise UsageError(f"{path} is a device or a socket: name a file, a directory, or - for standard input")
    return paths


def from_pipe(path: Path) -> Source:
    """Return what came through a pipe, or standard input (``-``), once all of it is there."""
    if str(path) == "-":
        return _copied(sys.stdin.buffer, "standard input")
    with path.open("rb") as pipe:
        return _copied(pipe, str(path))


def _copied(pipe: IO[bytes], name: str) -> Source:
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # it is closed with the source
    size = 0
    while piece := pipe.read(_COPY_BYTES):
        size += len(piece)
        if size > _MOST_AT_ONCE or (size == len(piece) and piece[:1] == b"\0"):
            raise UsageError(f"{name}: not the text of any run, or too much of it: save it to a file")
        copy.write(piece)
    copy.seek(0)

    def again() -> IO[bytes]:
        copy.seek(0)
        return _NotClosed(copy)  # type: ignore[return-value]

    return Source(name, size, _now(), again)


class _NotClosed:
    """A file that is opened more than once, so not closed by who reads it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def close(self) -> None:
        self._file.seek(0)


def _now() -> int:
    import time  # noqa: PLC0415  # of a pipe alone

    return time.time_ns()


def from_file(path: Path, *, named: bool = True) -> Source:
    """Return a file, or a directory that is one run, as a source."""
    found = path.stat()
    return Source(str(path), found.st_size, found.st_mtime_ns, lambda: path.open("rb"), path, named)


@contextmanager
def unpacked(archive: zipfile.ZipFile, refuse: Callable[[str], None]) -> Iterator[Path]:
    """Unpack the files of an archive that may hold runs, so that what lies beside a run is there; gone after the block.

    ``refuse`` takes what cannot be unpacked.

    Raises:
        OSError: there is more in it than is ever read.
    """
    wanted = [
        member for member in archive.infolist()
        if not member.is_dir() and Path(member.filename).suffix.lower() in _SUFFIXES - {".zip"}
    ]  # fmt: skip
    if sum(member.file_size for member in wanted) > _MOST_AT_ONCE:
        raise OSError(f"more than {_MOST_AT_ONCE // 1024**3} GB in it: unpack it first")
    with tempfile.TemporaryDirectory(prefix="otel-episodes-") as directory:
        for member in wanted:
            # Paths that lead out of it are made ones that do not.
            try:
                archive.extract(member, directory)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                refuse(f"{member.filename} cannot be unpacked: {error}")
        yield Path(directory)


def from_archive(source: Source, path: Path, directory: Path) -> Source:
    """Return what was unpacked of an archive as a source, shown as a part of it."""
    found = from_file(path, named=False)
    return replace(found, name=f"{source.name}!{path.relative_to(directory)}", modified=source.modified)


def walk(directory: Path, is_one_run: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the files under a directory that may hold runs, and the directories that are one run together.

    Directories are read in the order of their names; agents' files come after the sessions that started them.
    """
    if is_one_run(directory):
        yield directory
        return
    found = sorted(os.scandir(directory), key=lambda entry: (bool(_LATER.search(entry.name)), entry.name))
    files = [entry for entry in found if entry.is_file(follow_symlinks=True)]
    yield from (Path(entry.path) for entry in files if Path(entry.name).suffix.lower() in _SUFFIXES)
    for entry in found:
        if entry.is_dir(follow_symlinks=False) and entry.name not in _NOT_ENTERED:
            yield from walk(Path(entry.path), is_one_run)
