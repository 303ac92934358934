"""The way to a server: urllib3's connections, with what clickhouse-connect keeps to itself.

clickhouse-connect's exceptions leave out the answer's headers, it repeats some requests by itself and logs every
failure in the application's log. Behind `Connections` none of that happens: a request is sent once, its failure is one
of our errors, and a server that said when to come back is heard.
"""

from __future__ import annotations

import socket
import ssl
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.errors import ConfigurationError, StoreUnavailableError
from otel_episodes_clickhouse.store import answers, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse, PoolManager

    from otel_episodes_clickhouse.config import Target

# However long a server asks for, it is looked at again after this.
LONGEST_RETRY_AFTER_SECONDS: Final = 600.0
_FILES: Final = ("ca_cert", "client_cert", "client_cert_key")
_BUNDLED_CAS: Final = "certifi"
_KNOCK_SECONDS: Final = 0.5
_KNOCK_BYTES: Final = 4096
_REDIRECT: Final = 300
_EXCEPTION: Final = "X-ClickHouse-Exception-Code"


class Connections:
    """A pool for one target, in the place of clickhouse-connect's own (``pool_mgr``).

    To an embedded target it goes through the socket of the process that has it open.
    """

    def __init__(self, target: Target, *, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._watch = answers.Watch()
        self._pool = _pool(target) if target.path is None else served.pool(target.path)
        answers.watched(self._pool, self._watch)
        # Of the last answer: 0 and None before the first.
        self.status = 0
        self.retry_after: float | None = None
        # When the request that has no answer yet was sent (time.monotonic); 0 when there is none.
        self.asking_since = 0.0
        self._deadline: float | None = None

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Give every request inside the block that long, from the first byte sent to the last of its answer."""
        # An insert whose connection has to be opened first has its own time again after that.
        before, self._deadline = self._deadline, seconds
        try:
            yield
        finally:
            self._deadline = before

    def request(self, method: str, url: str, **arguments: Any) -> BaseHTTPResponse:
        """Send a request once; raise `StoreUnavailableError` when no answer comes, or one without an end."""
        from urllib3 import Timeout  # noqa: PLC0415  # comes with clickhouse-connect
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # likewise

        if self._deadline is not None:
            # urllib3 sends under the time limit of connecting.
            arguments["timeout"] = Timeout(total=self._deadline, connect=self._deadline, read=self._deadline)
        streams = not arguments.get("preload_content", True)
        self.status, self.retry_after = 0, None
        self.asking_since = time.monotonic()
        try:
            with self._watch.within(self._deadline or self._seconds):
                options = {**arguments, "retries": False, "preload_content": False}
                return self._answer(self._pool.request(method, url, **options), streams=streams)
        except (HTTPError, OSError) as error:
            # Ours, so that the client neither repeats the request nor logs it.
            raise self._unavailable(error) from error
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"{self._target} does not answer: {error}") from error
        finally:
            self.asking_since = 0.0

    def _answer(self, response: BaseHTTPResponse, *, streams: bool) -> BaseHTTPResponse:
        self.status = response.status
        self.retry_after = retry_after_seconds(response.headers.get("Retry-After"))
        refused = response.status >= _REDIRECT or _EXCEPTION in response.headers
        with ExitStack() as failed:
            failed.callback(response.close)
            answers.check_encoding(response)
            if streams and not refused:
                failed.pop_all()
                until = time.monotonic() + (self._deadline or self._seconds)
                # Pieces are read by the client, as it needs them.
                setattr(response, "stream", partial(answers.read_pieces, self._watch, response.stream, until))  # noqa: B010
                return response
            limit = (
                answers.ERROR_BYTES if refused else answers.INSERT_BYTES if self._deadline else answers.COMMAND_BYTES
            )
            whole = answers.read_whole(response, limit, cut=refused)
            failed.pop_all()
        self._watch.let_go()
        return whole

    def clear(self) -> None:
        """Close the connections that are idle."""
        self._watch.let_go()
        self._pool.clear()

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        from urllib3 import exceptions  # noqa: PLC0415  # see request

        if isinstance(error, exceptions.SSLError) or _caused_by(error, "SSLCertVerificationError"):
            return StoreUnavailableError(
                f"{self._target} is not trusted: {_reason(error)}. Name its certificate authority in the DSN, "
                "ca_cert=/path/to/ca.pem",
                lasting=True,
            )
        reason = "no whole answer in time" if self._watch.late else _reason(error)
        return StoreUnavailableError(f"{self._target} does not answer: {reason}")


def knock(target: Target) -> bool:
    """Tell whether a server says anything within half a second, without loading what would speak to it.

    Raises `StoreUnavailableError` when nobody listens, `ConfigurationError` for a file that the DSN names and that
    cannot be read. What it answers does not matter here, and what is behind a proxy is left to the client.
    """
    target.secret()
    _files(target)
    if urllib.request.getproxies() or target.option("http_proxy") or target.option("https_proxy"):
        return True
    try:
        with socket.create_connection((target.host, target.port), timeout=_KNOCK_SECONDS) as connection:
            return _answers(connection, target)
    except TimeoutError:
        # The client has time limits of its own: a server may be waking up.
        return False
    except OSError as error:
        raise StoreUnavailableError(f"{target} does not answer: {error.strerror or error}") from error


def _answers(connection: socket.socket, target: Target) -> bool:
    heard = b""
    try:
        if target.secure:
            # Only until it has shown a certificate: nothing is sent, so it does not matter yet whose that is.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.wrap_socket(connection, server_hostname=target.host).close()
        else:
            connection.sendall(f"GET /ping HTTP/1.0\r\nHost: {target.host}\r\n\r\n".encode())
            # To its end, or the server would see the connection break; a page and half a second at most.
            until = time.monotonic() + _KNOCK_SECONDS
            while len(heard) < _KNOCK_BYTES and (more := connection.recv(_KNOCK_BYTES)):
                heard += more
                connection.settimeout(max(0.001, until - time.monotonic()))
    except TimeoutError:
        return bool(heard)
    except OSError:
        # It does not like that: also an answer.
        pass
    return True


def retry_after_seconds(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds a Retry-After header asks for, given as a number or as a date; None for neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    # NaN compares false to everything.
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else 0.0


def _pool(target: Target) -> PoolManager:
    from clickhouse_connect.driver import httputil  # noqa: PLC0415  # 0.3 s: only once there is something to say

    options = dict(target.options)
    scheme = "https" if target.secure else "http"
    arguments: dict[str, Any] = {}
    proxy = options.get(f"{scheme}_proxy") or httputil.check_env_proxy(scheme, target.host, target.port)
    if proxy:
        arguments[f"{scheme}_proxy"] = proxy
    if target.secure:
        arguments["verify"] = target.verified
        arguments.update(_files(target))
        name = options.get("server_host_name")
        if name:
            arguments["server_hostname"] = name
            if target.verified:
                arguments["assert_hostname"] = name
    pool: PoolManager = httputil.get_pool_manager(**arguments)
    return pool


def _files(target: Target) -> dict[str, str]:
    return {name: _file(name, path) for name, path in target.options if name in _FILES}


def _file(name: str, path: str) -> str:
    if name == "ca_cert" and path == _BUNDLED_CAS:
        return path
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path} ({error.strerror}): name another file by {name} in the DSN"
        ) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, then what it says it came from."""
    while error is not None:
        yield error
        inner = next((item for item in error.args if isinstance(item, BaseException)), None)
        error = error.__cause__ or inner


def _caused_by(error: BaseException, name: str) -> bool:
    return any(type(cause).__name__ == name for cause in _chain(error))


def _reason(error: BaseException) -> str:
    """Say why in few words: the operating system's, where it knows."""
    from urllib3 import exceptions  # noqa: PLC0415  # see Connections.request

    causes = list(_chain(error))
    for cause in reversed(causes):
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError) and (cause.strerror or str(cause)):
            return cause.strerror or str(cause)
    if isinstance(error, exceptions.ConnectTimeoutError):
        return "nobody took the connection in time"
    if isinstance(error, exceptions.TimeoutError):
        return "no answer in time"
    return str(causes[-1]) or type(error).__name__
