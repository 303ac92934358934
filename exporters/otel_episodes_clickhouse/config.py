"""Where episodes are kept: DSNs and the environment variables of the storage part.

Nothing else in this package reads the environment. Resolving a target imports no database code, so that an agent
process can find its spool without loading the engine.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import platformdirs

from otel_episodes_clickhouse.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DSN_VARIABLE: Final = "OTEL_EPISODES_DSN"
HOME_VARIABLE: Final = "OTEL_EPISODES_HOME"
PASSWORD_VARIABLE: Final = "OTEL_EPISODES_PASSWORD"  # noqa: S105  # the name of one
TOKEN_VARIABLE: Final = "OTEL_EPISODES_TOKEN"  # noqa: S105  # the name of one
SHIP_VARIABLE: Final = "OTEL_EPISODES_SHIP"
ADVICE_VARIABLE: Final = "OTEL_EPISODES_ADVICE"
SPOOL_LIMIT_VARIABLE: Final = "OTEL_EPISODES_SPOOL_LIMIT"
SPOOL_FSYNC_VARIABLE: Final = "OTEL_EPISODES_SPOOL_FSYNC"

_SERVER_SCHEMES: Final = {"clickhouse": False, "http": False, "clickhouses": True, "https": True}
_HTTP_PORT: Final = 8123
_HTTPS_PORT: Final = 8443
_NATIVE_PORTS: Final = {9000: _HTTP_PORT, 9440: _HTTPS_PORT}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_SIZE: Final = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("0", "false", "no", "off"))
# How inserts can be compressed, best first.
COMPRESSIONS: Final = ("lz4", "zstd", "gzip")
_LEAST_PACKED: Final = 6
_EXAMPLES: Final = "chdb:///absolute/path, clickhouse://user:password@host:8123/database or https://host:8443/database"
# Passed on to clickhouse-connect as they are; `ch_<setting>` sets a ClickHouse setting for every statement.
_CLIENT_OPTIONS: Final = frozenset((
    "access_token", "ca_cert", "client_cert", "client_cert_key", "compress", "connect_timeout", "http_proxy",
    "https_proxy", "send_receive_timeout", "server_host_name", "verify",
))  # fmt: skip
# Read here.
_OWN_OPTIONS: Final = frozenset(("exit_timeout", "insert_timeout", "password_file"))
_OPTIONS: Final = _CLIENT_OPTIONS | _OWN_OPTIONS
_SECONDS: Final = ("connect_timeout", "send_receive_timeout", "insert_timeout")
_SECRET_OPTIONS: Final = ("access_token", "http_proxy", "https_proxy")
_INSERT_SECONDS: Final = 30
_EXIT_SECONDS: Final = 2


@dataclass(frozen=True)
class Target:
    """One store: a directory for the embedded engine, or a database on a server.

    ``path`` is None for a server, ``host`` and ``port`` are empty for the embedded engine. ``spool`` is where
    processes append finished spans before they reach the store.
    """

    embedded: bool
    spool: Path
    path: Path | None = None
    host: str = ""
    port: int = 0
    secure: bool = False
    database: str = "default"
    username: str = ""
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def resolve(cls, dsn: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Target:
        """Find the store: the argument, else OTEL_EPISODES_DSN, else ``chdb://`` in the platform's data directory.

        OTEL_EPISODES_HOME replaces that directory; OTEL_EPISODES_PASSWORD is the password of a server's DSN that has
        none. Raises `ConfigurationError` for what is no DSN.
        """
        text = dsn if dsn is not None else environ.get(DSN_VARIABLE, "")
        text = text.strip() or "chdb://"
        if "://" not in text:
            raise ConfigurationError(_no_dsn(text))
        parts = urlsplit(text)
        if parts.scheme == "chdb":
            return _embedded(parts, home(environ))
        if parts.scheme in _SERVER_SCHEMES:
            return _server(parts, environ)
        raise ConfigurationError(f"unknown scheme {parts.scheme!r} in the DSN: use {_EXAMPLES}")

    def describe(self) -> str:
        """Return the DSN without user, password and options, for messages."""
        if self.embedded:
            return f"chdb://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}/{self.database}"

    def __str__(self) -> str:
        return self.describe()

    def client_arguments(self) -> dict[str, Any]:
        """Return the arguments of `clickhouse_connect.get_client`."""
        if self.embedded:
            return {"interface": "chdb", "path": str(self.path)}
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "interface": "https" if self.secure else "http",
            "database": self.database,
        }
        settings = {name[3:]: value for name, value in self.options if name.startswith("ch_")}
        arguments.update((name, value) for name, value in self.options if name in _CLIENT_OPTIONS)
        if "access_token" not in arguments:
            arguments.update(username=self.username or "default", password=self.secret())
        if settings:
            arguments["settings"] = settings
        # Of answers: the only packing that the client undoes piece by piece.
        arguments["compress"] = "gzip" if self.compression != "" else False
        return arguments

    def option(self, name: str, default: str = "") -> str:
        """Return an option of the DSN."""
        return dict(self.options).get(name, default)

    @property
    def verified(self) -> bool:
        """Tell whether the server has to show a certificate that is trusted."""
        return self.option("verify", "true").lower() not in _FALSE

    @property
    def compression(self) -> str | None:
        """Return how inserts are compressed: one of `COMPRESSIONS`, "" for not at all, None for the best there is."""
        said = self.option("compress", "true").lower()
        return None if said in _TRUE else "" if said in _FALSE else said

    @property
    def insert_seconds(self) -> float:
        """How long one insert may take."""
        return float(self.option("insert_timeout", str(_INSERT_SECONDS)))

    @property
    def exit_seconds(self) -> int:
        """How long the end of a process waits for what it has not sent yet, which is in the spool anyway."""
        return int(self.option("exit_timeout") or _EXIT_SECONDS)

    def secret(self) -> str:
        """Return the password, read anew where it is in a file, so that it can be changed there."""
        path = self.option("password_file")
        if self.password or not path:
            return self.password
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigurationError(f"cannot read the password from {path}: {reason}") from None

    def without_secrets(self, message: str) -> str:
        """Return a message with every secret of this target masked."""
        passwords = [self.password or _or_nothing(self.secret)]
        secrets = [*passwords, *(value for name, value in self.options if name in _SECRET_OPTIONS)]
        forms = {form for secret in secrets if secret for form in (secret, *_written(secret), *_packed(secret))}
        forms |= {form for one in passwords if one for form in _packed(f"{self.username or 'default'}:{one}")}
        for form in sorted(forms, key=len, reverse=True):
            message = message.replace(form, "***")
        return message


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it stands in an address, in JSON, in Python and in HTML."""
    import html  # noqa: PLC0415  # only where something went wrong
    import json  # noqa: PLC0415  # likewise

    yield quote(secret, safe="", errors="surrogatepass")
    yield quote(secret, errors="surrogatepass")
    yield from (json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False))
    yield from (repr(secret)[1:-1], html.escape(secret), secret.replace("/", "\\/"))


def _packed(secret: str) -> Iterator[str]:
    """Yield a secret in hexadecimal and in base64, also as part of something longer."""
    raw = secret.encode(errors="surrogatepass")
    forms = [raw.hex(), raw.hex().upper(), b64encode(raw).decode()]
    for before in range(3):
        packed = b64encode(bytes(before) + raw).decode()
        # Behind something else, or before it, the characters at the seams are others.
        forms.append(packed[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6])
    for form in forms:
        # Less is in many texts.
        if len(form) >= _LEAST_PACKED:
            yield from (form, form.replace("+", "-").replace("/", "_"))


def ships(environ: Mapping[str, str] = os.environ) -> bool | None:
    """Return whether OTEL_EPISODES_SHIP says that processes send to a server themselves; None where it says nothing."""
    text = environ.get(SHIP_VARIABLE, "").strip().lower()
    if text and text not in _TRUE | _FALSE:
        raise ConfigurationError(f"{SHIP_VARIABLE}={text!r} is neither true nor false")
    return text in _TRUE if text else None


def recording_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that say where and how episodes are recorded; a password is left to `password_file`."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(
            ("OTEL_EPISODES_", "OTEL_SERVICE_", "OTEL_RESOURCE_", "OTEL_SDK_", "OTEL_INSTRUMENTATION_GENAI_")
        )
        and name not in (PASSWORD_VARIABLE, TOKEN_VARIABLE, HOME_VARIABLE)
    }


def gives_advice(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether agents are told anything: not where OTEL_EPISODES_ADVICE is off."""
    text = environ.get(ADVICE_VARIABLE, "").strip().lower()
    if text and text not in _TRUE | _FALSE:
        raise ConfigurationError(f"{ADVICE_VARIABLE}={text!r}: use on or off")
    return text not in _FALSE


def token(environ: Mapping[str, str] = os.environ) -> str:
    """Return OTEL_EPISODES_TOKEN, what `otel-episodes serve` asks of who is not on this machine; empty for none."""
    return environ.get(TOKEN_VARIABLE, "").strip()


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the data directory: OTEL_EPISODES_HOME, or the platform's."""
    override = environ.get(HOME_VARIABLE, "").strip()
    if override:
        return Path(override).expanduser().absolute()
    return Path(platformdirs.user_data_dir("otel-episodes", appauthor=False))


def _or_nothing(read: Callable[[], str]) -> str:
    try:
        return read()
    except ConfigurationError:
        return ""


@dataclass(frozen=True)
class SpoolSettings:
    """How a spool is written; the fields are those of `spool.SpoolWriter`."""

    limit_bytes: int | None = None
    fsync: bool = False

    @classmethod
    def resolve(cls, *, environ: Mapping[str, str] = os.environ) -> SpoolSettings:
        """Read OTEL_EPISODES_SPOOL_LIMIT (``500M``, ``2G``, 0 for none) and OTEL_EPISODES_SPOOL_FSYNC."""
        limit = environ.get(SPOOL_LIMIT_VARIABLE, "").strip()
        fsync = environ.get(SPOOL_FSYNC_VARIABLE, "").strip().lower() in _TRUE
        return cls(limit_bytes=_bytes(limit) if limit else None, fsync=fsync)


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{SPOOL_LIMIT_VARIABLE} is no size: write bytes, or 500M, or 2G, or 0 for no limit")
    return int(found[1]) * _UNITS[found[2].lower()]


def _no_dsn(text: str) -> str:
    # Never the text itself: it may be a password, or a DSN cut short.
    if text.startswith(("/", "~", ".")):
        return "a path is no DSN: put chdb:// before an absolute path, as in chdb:///home/me/episodes"
    return f"not a DSN: use {_EXAMPLES}"


def _embedded(parts: SplitResult, data: Path) -> Target:
    if parts.netloc:
        raise ConfigurationError(
            "chdb:// takes an absolute path after three slashes, chdb:///home/me/episodes, or nothing for the default "
            "(an in-memory store could not be read by another process)"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("a chdb:// DSN is only a path: remove what follows ? or #")
    # Not unquoted: clickhouse-connect takes the same DSN literally, and both must open the same directory.
    path = Path(os.path.normpath(parts.path)) if parts.path.strip("/") else data / "chdb"
    if "?" in str(path) or any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise ConfigurationError(
            f"{str(path)!r} cannot be opened: the embedded engine takes no ? in a path, and UTF-8 alone; "
            f"set {HOME_VARIABLE} or {DSN_VARIABLE} to another place"
        )
    return Target(embedded=True, path=path, spool=path / "spool")


def _server(parts: SplitResult, environ: Mapping[str, str]) -> Target:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = _SERVER_SCHEMES[parts.scheme] or options.pop("secure", "").lower() in _TRUE
    options.pop("secure", None)
    _check(options)
    if not parts.hostname:
        raise ConfigurationError(f"the DSN names no host: use {_EXAMPLES}")
    host, port = parts.hostname, _port(parts, secure=secure)
    database = unquote(parts.path.strip("/").split("/")[0]) or "default"
    if not _NAME.fullmatch(database):
        raise ConfigurationError("the DSN's database is called by letters, digits, _, - and . only")
    username = unquote(parts.username or "")
    password = unquote(parts.password or "")
    if not password and not {"access_token", "password_file"} & set(options):
        password = environ.get(PASSWORD_VARIABLE, "")
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{host}_{port}_{database}")
    identity = repr((secure, host, port, database, username))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return Target(
        embedded=False,
        spool=home(environ) / "spool" / f"{readable[:80]}-{digest}",
        host=host,
        port=port,
        secure=secure,
        database=database,
        username=username,
        password=password,
        options=tuple(options.items()),
    )


def _check(options: dict[str, str]) -> None:
    """Raise `ConfigurationError` for an option that is not known or cannot be right."""
    unknown = sorted(name for name in options if name not in _OPTIONS and not name.startswith("ch_"))
    if unknown:
        raise ConfigurationError(
            f"unknown option {', '.join(unknown)} in the DSN: known are secure, {', '.join(sorted(_OPTIONS))}, "
            "and ch_<setting> for a ClickHouse setting"
        )
    # What is neither yes nor no must not end up as "trust anyone".
    if options.get("verify", "true").lower() not in _TRUE | _FALSE | {"proxy"}:
        raise ConfigurationError("verify in the DSN is true (default), false or proxy")
    if options.get("compress", "true").lower() not in {*COMPRESSIONS, *_TRUE, *_FALSE}:
        raise ConfigurationError(f"compress in the DSN is {', '.join(COMPRESSIONS)}, true (default) or false")
    for name in _SECONDS:
        if name in options and not re.fullmatch(r"[1-9]\d{0,5}", options[name]):
            raise ConfigurationError(f"{name} in the DSN is a whole number of seconds, 1 or more")
    if not re.fullmatch(r"\d{1,6}", options.get("exit_timeout", "0")):
        raise ConfigurationError("exit_timeout in the DSN is a whole number of seconds, 0 to wait for nothing")


def _port(parts: SplitResult, *, secure: bool) -> int:
    try:
        port = parts.port
    except ValueError:
        # Python's own message quotes the text after the colon, which is a password when the @ was forgotten.
        raise ConfigurationError(f"the DSN's port is no number from 0 to 65535: use {_EXAMPLES}") from None
    if port in _NATIVE_PORTS and parts.scheme.startswith("clickhouse"):
        raise ConfigurationError(
            f"port {port} speaks ClickHouse's native protocol, this speaks HTTP: use port {_NATIVE_PORTS[port]}"
        )
    return port or (_HTTPS_PORT if secure else _HTTP_PORT)
