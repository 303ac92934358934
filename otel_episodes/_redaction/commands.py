"""Secrets in command lines: which option of which program takes one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_episodes._redaction.hints import words_of
from otel_episodes._redaction.names import PASSWORD, TOKEN, is_secretive, is_value, strength

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Program(NamedTuple):
    """Programs that take a secret: after which options, or in which place among the words that are no options."""

    names: str
    options: str = ""
    joined: bool = False  # the option and its value are one word: -pX
    places: tuple[int, ...] = ()  # from 0, among the words after the program that do not begin with -
    after: str = ""  # a word that must stand before


PROGRAMS: Final = (
    Program(
        "mysql mysqldump mysqladmin mysqlimport mysqlsh mariadb mariadb-dump 7z 7za 7zz rar unrar", "-p", joined=True
    ),
    Program(
        "sshpass psexec docker podman nerdctl"
        " helm buildah skopeo az oc twine cqlsh mongo mongosh mongodump mongorestore",
        "-p",
    ),
    Program(
        "snowsql clickhouse vncdotool mosquitto_pub mosquitto_sub zip unzip sqlcmd bcp ipmitool influx wpscan hydra",
        "-P",
    ),
    Program("redis-cli redis-benchmark keydb-cli valkey-cli nats influx vault", "-a"),
    Program("ldapsearch ldapadd ldapmodify ldapdelete ldappasswd ldapwhoami ldapcompare security", "-w"),
    Program("flyctl fly vercel netlify wrangler surge now railway", "-t"),
    Program("nuget dotnet choco", "-k"),
    Program("ssh-keygen", "-N -P"),
    Program("snmpwalk snmpget snmpset snmpbulkwalk", "-A -X"),
    Program("curl http https xh wget", "-u --user"),
    Program("lftp smbclient rpcclient smbmap crackmapexec impacket-smbclient wmiexec", "-u -U"),
    Program("curl", "-b"),
    Program("htpasswd mosquitto_passwd", places=(2,), after="-b"),
    Program("net", places=(2,), after="use"),
    Program("rabbitmqctl", places=(2,), after="add_user"),
    Program("rabbitmqctl", places=(2,), after="change_password"),
    Program("wandb cargo huggingface-cli codecov sentry-cli npm-cli", places=(1,), after="login"),
    Program("wpa_passphrase", places=(1,)),
    Program("keytool jarsigner", "-storepass -keypass -srcstorepass -deststorepass"),
    Program("openssl", "-pass -passin -passout -k"),
    Program("xfreerdp", "/p:", joined=True),
)
_BY_NAME: Final[dict[str, list[Program]]] = {}
for _program in PROGRAMS:
    for _name in _program.names.split():
        _BY_NAME.setdefault(_name, []).append(_program)
_BEFORE: Final = r"(?:(?<![\w.-])|(?<=\\[nrt]))"
_NAMES: Final = frozenset(_BY_NAME)
_REST: Final = re.compile(r"(?:\.exe)?[ \t]([^\n|;]{1,600})")
_ARGUMENT: Final = re.compile(
    r"""(?P<quote>\\{0,3}["'])(?P<quoted>[^"'\n]{0,400}?)(?P=quote)(?=\s|$|["'\\])|(?P<bare>(?:[^\s"'\\]|\\(?![nrt"'])){1,400})"""
)
_PAIR: Final = re.compile(r"(?P<user>[^:%/\s]{1,64})(?P<between>[:%,])(?P<secret>.{3,256})$", re.DOTALL)
_CHPASSWD: Final = re.compile(
    r"""echo\s{1,4}(?:-n\s)?["']?[\w.-]{1,64}:(?P<secret>[^\s"'|]{4,128})["']?\s{0,4}\|\s{0,4}(?:sudo\s)?chpasswd"""
)
_LONGEST_NAME: Final = 40
_NUMBER: Final = re.compile(r"[\d:/.,-]+$")

Span = tuple[int, int]


def in_commands(text: str, folded: str) -> Iterator[Span]:
    """Yield the secrets that command lines in a text carry."""
    for name in _NAMES.intersection(words_of(folded)):
        past = 0
        for match in re.finditer(_BEFORE + re.escape(name) + r"(?![\w-])", text):
            rest = _REST.match(text, match.end()) if match.start() >= past else None
            if rest is not None:
                past = rest.end()
                yield from _in_command(_BY_NAME[name], rest[1], rest.start(1))
    for match in _CHPASSWD.finditer(text):
        yield match.span("secret")


def _in_command(programs: Sequence[Program], rest: str, offset: int) -> Iterator[Span]:
    arguments = [
        (
            offset + match.start("quoted" if match["quote"] else "bare"),
            match["quoted"] if match["quote"] else match["bare"],
        )
        for match in _ARGUMENT.finditer(rest)
    ]
    for program in programs:
        for index, start, length in _secrets_of(program, [word for _, word in arguments]):
            begin = arguments[index][0] + start
            yield begin, begin + length


def _secrets_of(program: Program, words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield the index of a word, and where in it the secret begins and how long it is."""
    if program.places:
        yield from _in_places(program, words)
        return
    for index, word in enumerate(words):
        for option in program.options.split():
            after = words[index + 1] if index + 1 < len(words) else ""
            if program.joined and word.startswith(option) and _is_secret(word[len(option) :]):
                yield index, len(option), len(word) - len(option)
            elif option.startswith("--") and word.startswith(option + "="):
                for _, start, length in _after(option, index, word[len(option) + 1 :]):
                    yield index, start + len(option) + 1, length
            elif not program.joined and word == option and after:
                yield from _after(option, index + 1, after)


def _in_places(program: Program, words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    is_option = program.after.startswith("-")
    letters = program.after[1:]
    said = any(word == program.after or (is_option and word[:1] == "-" and letters in word) for word in words[:3])
    if program.after and not said:
        return
    plain = [index for index, word in enumerate(words) if not word.startswith(("-", "/user"))]
    for place in program.places:
        if place < len(plain) and is_value(words[plain[place]], PASSWORD, quoted=True):
            yield plain[place], 0, len(words[plain[place]])


def _after(option: str, index: int, value: str) -> Iterator[tuple[int, int, int]]:
    if option in ("-u", "-U", "--user"):
        user = value.partition(":")[0]
        if is_secretive(user):
            yield index, 0, len(user)  # a token in the place of the user
        pair = _PAIR.match(value)
        if pair is not None and not _NUMBER.match(value) and is_value(pair["secret"], PASSWORD, quoted=False):
            yield index, pair.start("secret"), len(pair["secret"])
    elif option == "-b":
        if "=" in value:
            yield index, value.index("=") + 1, len(value) - value.index("=") - 1
    elif option.startswith("-pass") and value.startswith(("pass:", "env:", "file:", "fd:", "stdin")):
        if value.startswith("pass:"):
            yield index, 5, len(value) - 5
    elif _is_secret(value) and (option not in ("-t", "-k") or is_secretive(value)):
        yield index, 0, len(value)


def _is_secret(value: str) -> bool:
    return (
        not value.startswith("-")
        and _NUMBER.match(value) is None
        and is_value(value, PASSWORD, quoted=False)
        and not re.match(r"[\w.-]*/|[\d.]+:\d+|tcp:|[a-z]+$", value)
    )


def follows(first: object, before: object, value: object) -> bool:
    """Return True if a value in a list is a secret for what stands before it: ``["mysql", "--password", "X"]``.

    ``first`` is the list's first item, which may be the name of a program.
    """
    if type(before) is not str or type(value) is not str:
        return False
    if before.startswith("-"):
        if value.startswith("-") or "=" in before:
            return False
        sure = strength(before)
        if sure and before.startswith("--" if len(before) > 3 else "-") and is_value(value, sure, quoted=False):  # noqa: PLR2004
            return True
        programs = _BY_NAME.get(first.rpartition("/")[2], ()) if type(first) is str else ()
        return any(
            True
            for program in programs
            if not program.joined and before in program.options.split()
            for _ in _after(before, 0, value)
        )
    sure = strength(before)
    if "authoriz" in before.lower():
        sure, value = PASSWORD, value.rpartition(" ")[2]  # without the scheme
    return (
        sure >= TOKEN
        and len(before) <= _LONGEST_NAME
        and " " not in before
        and is_value(value, sure, quoted=True)
        and _differs(value, before)
    )


def _differs(value: str, before: str) -> bool:
    return is_secretive(value) or (
        re.search(r"[\d!@#$%^&*]", value) is not None and strength(value) == 0 and value != before
    )
