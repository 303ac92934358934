"""Native blocks as a server writes them for a client that names its protocol version.

The embedded engine always writes version 0: no block info, no serialization byte. A server writes both for
``client_protocol_version``; drivers depend on it.
"""

from __future__ import annotations

from types import SimpleNamespace

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.buffer import ResponseBuffer
from clickhouse_connect.driver.query import QueryContext

# Field 1: no overflow rows; field 2: bucket -1; end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_WITH_CUSTOM_SERIALIZATION = 54454


def for_protocol(blocks: bytes, version: int) -> bytes:
    """Return version 0 blocks as ``version`` has them."""
    if version == 0:
        return blocks
    # All of it is one chunk, so the place in the buffer is the place in the blocks.
    source = ResponseBuffer(SimpleNamespace(gen=iter([blocks])))
    parts = []
    while source.buf_loc < len(blocks):
        parts.append(_BLOCK_INFO + _block(source, blocks, default_serialization=version >= _WITH_CUSTOM_SERIALIZATION))
    return b"".join(parts)


def _block(source: ResponseBuffer, blocks: bytes, *, default_serialization: bool) -> bytes:
    context = QueryContext()
    begin = source.buf_loc
    columns, rows = source.read_leb128(), source.read_leb128()
    parts = [blocks[begin : source.buf_loc]]
    for _ in range(columns):
        begin = source.buf_loc
        name, kind = source.read_leb128_str(), source.read_leb128_str()
        parts.append(blocks[begin : source.buf_loc])
        if default_serialization:
            parts.append(b"\x00")
        begin = source.buf_loc
        if rows:
            context.start_column(name)
            get_from_name(kind).read_column(source, rows, context)
        parts.append(blocks[begin : source.buf_loc])
    return b"".join(parts)
