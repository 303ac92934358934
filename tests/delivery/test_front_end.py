"""The tests' stand-in for a server: what it says over HTTP is what a ClickHouse server says to its clients."""

from __future__ import annotations

import gzip
import http.client
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError
from collectors import front_end
from front_end.compression import ChecksumError, read_blocks, write_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("front-end")


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    with front_end(place) as started:
        yield started


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    connected = clickhouse_connect.get_client(dsn=f"{url}/default")
    yield connected
    connected.close()


def post(url: str, body: bytes, headers: dict[str, str] | None = None, **arguments: Any) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("POST", f"/?{urlencode(arguments)}", body, headers or {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_clickhouse_connect_inserts_and_reads_every_type(url: str, compress: Any) -> None:
    client = clickhouse_connect.get_client(dsn=f"{url}/default", compress=compress)
    client.command(
        "CREATE OR REPLACE TABLE kinds (n UInt64, f Float64, s LowCardinality(String), m Map(LowCardinality(String), "
        "String), a Array(String), o Nullable(Int32), t Tuple(String, UInt8)) ENGINE = MergeTree ORDER BY n"
    )
    rows = [
        [n, n / 3, "é🦀", {"k": str(n), "": "x"}, ["a", "\x00"], None if n % 2 else n, ("t", 1)] for n in range(1000)
    ]
    client.insert("kinds", rows, column_names=["n", "f", "s", "m", "a", "o", "t"])
    found = client.query("SELECT * FROM kinds ORDER BY n").result_rows
    assert [list(row) for row in found] == rows
    assert client.query("SELECT n FROM kinds WHERE n IN {ns:Array(UInt64)}", {"ns": [*range(900)]}).row_count == 900
    assert client.query("SELECT n FROM kinds WHERE n > 10000").result_rows == []
    client.close()


def test_settings_and_databases_are_those_of_the_request(url: str, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS other")
    assert post(url, b"SELECT currentDatabase()", database="other")[2] == b"other\n"
    assert post(url, b"SELECT currentDatabase()")[2] == b"default\n"
    assert post(url, b"SELECT getSetting('max_threads')", max_threads=3)[2] == b"3\n"
    assert post(url, b"CREATE TABLE t (n UInt8) ENGINE = Null", readonly=1)[0] == 500
    assert client.command("SELECT {n:UInt8} + 1", {"n": 4}) == 5


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, 60),
        ("SELEC 1", 400, 62),
        ("SELECT throwIf(1, 'no')", 500, 395),
        ("INSERT INTO numbers FORMAT RowBinary", 404, 60),
    ],
)
def test_errors_have_a_status_and_a_code(url: str, statement: str, status: int, code: int) -> None:
    answered, headers, body = post(url, b"", query=statement)
    assert (answered, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert body.startswith(f"Code: {code}. DB::Exception".encode())
    packed = post(url, b"", query=statement, compress=1)[2]
    assert read_blocks(packed) == body


def test_a_client_that_names_its_protocol_gets_block_info_and_serialization(url: str) -> None:
    statement = b"SELECT 1 AS check"
    plain = post(url, statement, default_format="Native")[2]
    assert plain == b"\x01\x01\x05check\x05UInt8\x01"
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    assert post(url, statement, default_format="Native", client_protocol_version=54405)[2] == info + plain
    with_byte = plain[:-1] + b"\x00" + plain[-1:]
    assert post(url, statement, default_format="Native", client_protocol_version=54460)[2] == info + with_byte


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("lz4", lz4.frame.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_bodies_come_and_go_in_any_encoding(url: str, encoding: str, encode: Any) -> None:
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    status, answered, body = post(url, encode(b"SELECT 'x'"), headers, enable_http_compression=1)
    assert (status, answered["Content-Encoding"]) == (200, encoding)
    assert body == encode(b"x\n")


def test_compressed_blocks_are_checked(url: str) -> None:
    data = b"SELECT " + b"1 + " * 400_000 + b"1"
    blocks = write_blocks(data)
    assert read_blocks(blocks) == data
    assert len(blocks) < len(data) / 10
    assert math.ceil(len(data) / 2**20) == 2
    damaged = blocks[:40] + bytes([blocks[40] ^ 1]) + blocks[41:]
    with pytest.raises(ChecksumError):
        read_blocks(damaged)
    assert post(url, damaged, decompress=1)[1]["X-ClickHouse-Exception-Code"] == "40"


def test_only_who_has_the_password_is_let_in(url: str, place: Path) -> None:
    (place / "credentials").write_text("agent:s3cret")
    try:
        assert post(url, b"SELECT 1", user="agent", password="s3cret")[0] == 200
        assert post(url, b"SELECT 1", {"X-ClickHouse-User": "agent", "X-ClickHouse-Key": "s3cret"})[0] == 200
        assert clickhouse_connect.get_client(dsn=url.replace("//", "//agent:s3cret@")).command("SELECT 1") == 1
        status, headers, body = post(url, b"SELECT 1", user="agent", password="wrong")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, "516")
        assert b"wrong" not in body
        with pytest.raises(DatabaseError, match="516"):
            clickhouse_connect.get_client(dsn=url)
    finally:
        (place / "credentials").unlink()
