"""The two ways ClickHouse's HTTP interface compresses: HTTP content encodings, and blocks of its own with checksums."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

DECODERS: dict[str, Any] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    # Whoever streams does not write the size in front, which the one-shot call would need.
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
ENCODERS: dict[str, Any] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
# CityHash 1.0.2 of what follows; then the method, the size with these nine bytes, the size uncompressed.
_CHECKSUM = struct.Struct("<QQ")
_HEADER = struct.Struct("<BII")
_PLAIN, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_BLOCK_BYTES = 1 << 20


class ChecksumError(ValueError):
    """A compressed block that arrived otherwise than it was sent."""


def preferred_encoding(accepted: str) -> str:
    """Return the first encoding of an Accept-Encoding header that is known here, or nothing."""
    names = [name.partition(";")[0].strip() for name in accepted.split(",")]
    return next((name for name in names if name in ENCODERS), "")


def read_blocks(data: bytes) -> bytes:
    """Undo ``decompress=1``: a series of compressed blocks, each checked."""
    parts = []
    while data:
        size, plain_size = _HEADER.unpack_from(data, _CHECKSUM.size)[1:]
        block, rest = data[_CHECKSUM.size : _CHECKSUM.size + size], data[_CHECKSUM.size + size :]
        if data[: _CHECKSUM.size] != _checksum(block):
            raise ChecksumError("Code: 40. DB::Exception: Checksum doesn't match: corrupted. (CHECKSUM_DOESNT_MATCH)")
        parts.append(_read_block(block[0], block[_HEADER.size :], plain_size))
        data = rest
    return b"".join(parts)


def write_blocks(data: bytes) -> bytes:
    """Do ``compress=1``: LZ4, a megabyte a block."""
    parts = []
    for start in range(0, len(data), _BLOCK_BYTES):
        plain = data[start : start + _BLOCK_BYTES]
        packed = lz4.block.compress(plain, store_size=False)
        block = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(plain)) + packed
        parts.append(_checksum(block) + block)
    return b"".join(parts)


def _read_block(method: int, packed: bytes, plain_size: int) -> bytes:
    if method == _LZ4:
        return lz4.block.decompress(packed, uncompressed_size=plain_size)
    if method == _ZSTD:
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=plain_size)
    if method == _PLAIN:
        return packed
    raise ChecksumError(f"Code: 89. DB::Exception: Unknown codec {method:#x}. (UNKNOWN_COMPRESSION_METHOD)")


def _checksum(block: bytes) -> bytes:
    high, low = divmod(CityHash128(block), 1 << 64)
    return _CHECKSUM.pack(high, low)
