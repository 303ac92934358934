"""The way to a server: TLS, passwords from elsewhere, and no secret in anything that shows."""

from __future__ import annotations

import logging
import socket
import ssl
import traceback
from base64 import b64encode
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import trustme
from faulty_proxy import FaultyProxy
from ship_fixtures import front_end, shipping, spool_spans, target_of, wait_for

from otel_episodes_clickhouse import Store
from otel_episodes_clickhouse.config import Target, ships
from otel_episodes_clickhouse.errors import ConfigurationError, DataError, StoreError, StoreUnavailableError
from otel_episodes_clickhouse.spool.ledger import Ledger
from otel_episodes_clickhouse.store.connections import knock, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASK = "SELECT 42 AS Answer"
ANSWER = [{"Answer": 42}]
SECRET = "s3cret/0f th3-dsn"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with front_end(tmp_path_factory.mktemp("server")) as dsn:
        yield dsn


class Certificates:
    """An authority of our own, a certificate for 127.0.0.1 and one for a client."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.ca_cert = str(directory / "ca.pem")
        self.client_cert = str(directory / "client.pem")
        self.client_cert_key = str(directory / "client.key")
        self.authority.cert_pem.write_to_path(self.ca_cert)
        client = self.authority.issue_cert("agent@example.org")
        client.cert_chain_pems[0].write_to_path(self.client_cert)
        client.private_key_pem.write_to_path(self.client_cert_key)

    def server_side(self, *, clients: bool = False, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_cert)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def ask(dsn: str, home: Path, **options: str) -> list[dict[str, object]]:
    with Store.open(target_of(dsn, home, **options)) as store:
        return store.query(ASK)


def test_an_authority_nobody_knows_is_refused_with_the_fix(
    server: str, certificates: Certificates, tmp_path: Path
) -> None:
    with FaultyProxy(server, tls=certificates.server_side()) as proxy:
        with pytest.raises(
            StoreUnavailableError, match="is not trusted: .*certificate verify failed.*ca_cert="
        ) as caught:
            ask(proxy.dsn, tmp_path)
        assert caught.value.lasting
        assert proxy.seen == []


def test_an_authority_of_ones_own_is_accepted(server: str, certificates: Certificates, tmp_path: Path) -> None:
    with FaultyProxy(server, tls=certificates.server_side()) as proxy:
        assert ask(proxy.dsn, tmp_path, ca_cert=certificates.ca_cert) == ANSWER


def test_a_certificate_for_another_host_is_refused_unless_that_host_is_expected(
    server: str, certificates: Certificates, tmp_path: Path
) -> None:
    with FaultyProxy(server, tls=certificates.server_side(name="db.example.org")) as proxy:
        with pytest.raises(StoreUnavailableError, match="is not trusted: .*127.0.0.1"):
            ask(proxy.dsn, tmp_path, ca_cert=certificates.ca_cert)
        named = {"ca_cert": certificates.ca_cert, "server_host_name": "db.example.org"}
        assert ask(proxy.dsn, tmp_path, **named) == ANSWER


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_only_who_says_so_trusts_anyone(server: str, certificates: Certificates, tmp_path: Path) -> None:
    with FaultyProxy(server, tls=certificates.server_side()) as proxy:
        assert ask(proxy.dsn, tmp_path, verify="false") == ANSWER
    with pytest.raises(ConfigurationError, match="verify in the DSN is true"):
        target_of("https://h", tmp_path, verify="maybe")


def test_a_client_shows_its_certificate(server: str, certificates: Certificates, tmp_path: Path) -> None:
    with FaultyProxy(server, tls=certificates.server_side(clients=True)) as proxy:
        with pytest.raises(StoreUnavailableError):
            ask(proxy.dsn, tmp_path, ca_cert=certificates.ca_cert)
        shown = {"client_cert": certificates.client_cert, "client_cert_key": certificates.client_cert_key}
        assert ask(proxy.dsn, tmp_path, ca_cert=certificates.ca_cert, **shown) == ANSWER


def test_spans_are_shipped_over_tls(server: str, certificates: Certificates, tmp_path: Path) -> None:
    with FaultyProxy(server, tls=certificates.server_side()) as proxy:
        target = target_of(proxy.dsn, tmp_path, ca_cert=certificates.ca_cert)
        spool_spans(target, 3, "tls")
        with shipping(target) as shipper:
            wait_for(lambda: shipper.delivery.exported == 3)


# --- passwords -------------------------------------------------------------------------------------------------------


def test_a_password_comes_from_the_dsn_else_a_file_else_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-file\n")
    environ = {"OTEL_EPISODES_PASSWORD": "from-environment"}

    def password(dsn: str) -> str:
        return str(Target.resolve(dsn, environ=environ).client_arguments()["password"])

    assert password("http://me:from-dsn@h") == "from-dsn"
    assert password(f"http://me@h?password_file={file}") == "from-file"
    assert password("http://me@h") == "from-environment"
    file.write_text("changed")
    assert password(f"http://me@h?password_file={file}") == "changed"


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    target = target_of("http://me@h", tmp_path, password_file="/nowhere")
    with pytest.raises(ConfigurationError, match="cannot read the password from /nowhere: No such file"):
        target.client_arguments()


@pytest.mark.parametrize(("said", "meant"), [("", None), ("true", True), ("0", False), ("OFF", False)])
def test_the_environment_says_who_ships(said: str, meant: bool | None) -> None:
    assert ships({"OTEL_EPISODES_SHIP": said}) is meant


def test_what_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither true nor false"):
        ships({"OTEL_EPISODES_SHIP": "maybe"})


@pytest.mark.parametrize(
    "option",
    ["compress=snappy", "insert_timeout=0", "connect_timeout=soon", "send_receive_timeout=-1", "exit_timeout=soon"],
)
def test_an_option_that_cannot_be_right_is_refused_at_once(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option.split('=', maxsplit=1)[0]} in the DSN is"):
        Target.resolve(f"http://h?{option}")


class Telltale(BaseHTTPRequestHandler):
    """A server whose every error repeats the login it was shown."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = f"no: {self.headers['Authorization']} {SECRET} {SECRET.replace('/', '%2F').replace(' ', '%20')}".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_no_error_log_or_account_repeats_the_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "otel_episodes_clickhouse")
    telltale = ThreadingHTTPServer(("127.0.0.1", 0), Telltale)
    Thread(target=telltale.serve_forever, args=(0.02,), daemon=True).start()
    file = tmp_path / "password"
    file.write_text(SECRET)
    target = target_of(f"http://me@127.0.0.1:{telltale.server_port}/d", tmp_path, password_file=str(file))
    try:
        with pytest.raises(StoreError) as caught:
            Store.open(target)
        shown = "".join(traceback.format_exception(caught.value))
        spool_spans(target, 1, "s")
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.failures >= 2)
    finally:
        telltale.shutdown()
        telltale.server_close()
    assert Ledger(target.spool).read().error.startswith(f"{target} does not take it now: ")
    shown += caplog.text + Ledger(target.spool).path.read_text() + repr(target) + repr(vars(shipper))
    for word in (*SECRET.split(), b64encode(f"me:{SECRET}".encode()).decode()):
        assert word not in shown


# --- what a server says ----------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("3", 3.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("nan", 0.0),
        ("99999", 600.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("soon", None),
    ],
)
def test_when_to_come_back_is_understood_as_number_and_as_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=NOW) == seconds


def test_a_body_that_is_too_large_for_somebody_in_between_is_the_fault_of_its_size(server: str, tmp_path: Path) -> None:
    """So that the drain halves it; the limit is the proxy's, as in front of many a server."""
    with FaultyProxy(server) as proxy:
        proxy.misbehave("too_large", only="nothing of that name")
        with Store.open(target_of(proxy.dsn, tmp_path)) as store, pytest.raises(DataError):
            store.query("SELECT 'nothing of that name'")


def test_a_server_that_answers_anything_is_there(server: str, tmp_path: Path) -> None:
    assert knock(target_of(server, tmp_path))
    with FaultyProxy(server) as proxy:
        proxy.misbehave("unavailable")
        assert knock(target_of(proxy.dsn, tmp_path))


@pytest.mark.parametrize("options", [{}, {"secure": "true"}])
def test_one_that_takes_connections_and_says_nothing_is_told_from_one_that_is_not_there(
    tmp_path: Path, options: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        target = target_of(f"clickhouse://127.0.0.1:{listening.getsockname()[1]}/", tmp_path, **options)
        assert not knock(target)
    with pytest.raises(StoreUnavailableError, match="refused"):
        knock(target)
