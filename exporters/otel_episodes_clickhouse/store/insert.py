"""The body of an INSERT, compressed as it grows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.config import COMPRESSIONS
from otel_episodes_clickhouse.errors import ConfigurationError, QueryError, StoreUnavailableError
from otel_episodes_clickhouse.spool.row import encoded
from otel_episodes_clickhouse.store.failures import FIXES, READ_ONLY_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.spool.row import Row

# One INSERT is one block, whatever its size and however many days it spans: only then does a repeated insert have
# the same parts, and its token removes all of them. async_insert would drop the token in most versions. What is in one
# insert twice is collapsed by FINAL and by merges; to do that at once as well would cost a tenth of the insert.
INSERT_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,
    "insert_deduplicate": 1,
    "max_insert_block_size": 1_000_000,
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 0,
    "min_insert_block_size_bytes": 0,
    "min_insert_block_size_rows": 1_000_000,
    "optimize_on_insert": 0,
}

LOG_COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "TraceFlags", "SeverityText", "SeverityNumber", "ServiceName", "Body",
    "ResourceSchemaUrl", "ResourceAttributes", "ScopeSchemaUrl", "ScopeName", "ScopeVersion", "ScopeAttributes",
    "LogAttributes", "EventName",
)  # fmt: skip
"""The columns of an insert into ``otel_logs``, in the collector's order."""

# Compressors let go of the interpreter's lock while they work.
_COMPRESSED_BYTES: Final = 128 * 1024
# Where they are: each comes with clickhouse-connect or with Python, depending on their versions.
_MODULES: Final = {"lz4": ("lz4.frame",), "zstd": ("compression.zstd", "backports.zstd"), "gzip": ("zlib",)}
_GZIP_WINDOW: Final = 31


class InsertBody:
    """Rows as an insert carries them: lines of JSONCompactEachRow, compressed where the target is a server.

    Bodies of spans shrink to about a tenth.
    """

    FORMAT: Final = "JSONCompactEachRow"

    def __init__(self, target: Target) -> None:
        self.rows = 0
        self._compressor = None if target.embedded else _compressor(target.compression)
        self._lines: list[bytes] = []
        self._size = 0
        self._pieces = [self._compressor.header] if self._compressor else []

    def add(self, batch: Iterable[Row]) -> Iterator[None]:
        """Append rows piece by piece; yield after each, where others may run."""
        for text, count in encoded(batch):
            self.rows += count
            self._size += len(text)
            self._lines.append(text)
            if self._size >= _COMPRESSED_BYTES:
                self._compress()
            yield

    def finish(self) -> tuple[bytes, str | None]:
        """Return the body and its Content-Encoding."""
        self._compress()
        if self._compressor is None:
            return b"".join(self._pieces), None
        return b"".join([*self._pieces, self._compressor.flush()]), self._compressor.encoding

    def _compress(self) -> None:
        piece = b"".join(self._lines)
        self._lines, self._size = [], 0
        self._pieces.append(piece if self._compressor is None else self._compressor.compress(piece))


def needed_settings(server: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have to be sent because the account's are others.

    Raises `StoreUnavailableError` when the account may not change one of them; without it a repeated insert could be
    stored twice.
    """
    needed = {
        name: value
        for name, value in wanted.items()
        if (found := server.get(name)) is None or str(found.value) != str(value)
    }
    fixed = [name for name in needed if name in server and server[name].readonly]
    if fixed and "readonly" in server and server["readonly"].value == "1":
        raise QueryError(f"this server {FIXES[READ_ONLY_ACCOUNT]}", code=READ_ONLY_ACCOUNT)
    if fixed:
        said = ", ".join(f"{name} = {server[name].value}" for name in fixed)
        change = ", ".join(f"{name} = {needed[name]}" for name in fixed)
        raise StoreUnavailableError(
            f"the account's profile fixes {said}, and inserts that can be repeated need {change}: set it so in the "
            "profile, or let the account change it (ALTER SETTINGS PROFILE ... CHANGEABLE_IN_READONLY)",
            lasting=True,
        )
    return needed


@dataclass(frozen=True)
class _Compressor:
    """One frame of one encoding: ClickHouse reads concatenated frames of some only."""

    encoding: str
    compress: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    header: bytes = b""


def _compressor(wanted: str | None) -> _Compressor | None:
    """Return a compressor; None for ``""``. ``None`` stands for the best that is installed."""
    if wanted == "":
        return None
    for encoding in COMPRESSIONS if wanted is None else (wanted,):
        module = _module(encoding)
        if module is not None:
            return _started(encoding, module)
    raise ConfigurationError(f"compress={wanted} in the DSN needs a package that is missing: pip install {wanted}")


def _module(encoding: str) -> Any:
    for name in _MODULES[encoding]:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _started(encoding: str, module: Any) -> _Compressor:
    if encoding == "gzip":
        stream = zlib.compressobj(level=1, wbits=_GZIP_WINDOW)
        return _Compressor(encoding, stream.compress, stream.flush)
    if encoding == "zstd":
        made = module.ZstdCompressor()
        return _Compressor(encoding, made.compress, made.flush)
    frame = module.LZ4FrameCompressor()
    return _Compressor(encoding, frame.compress, frame.flush, header=frame.begin())
