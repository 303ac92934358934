"""Secrets that have a form of their own: in URLs, statements, hashes, logins, and the blocks of private keys.

Every repetition in a pattern here is bounded, and a pattern begins with what is rare: the work grows with the length of
a text and no faster.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_episodes._redaction.kinds import set_of
from otel_episodes._redaction.names import PASSWORD, is_chosen, is_secretive, is_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Span = tuple[int, int]

_SCHEMED: Final = re.compile(
    r"(?i)(?<![\w-])(?:bearer|basic|negotiate|apikey|aws4-hmac-sha256)(?:[ \t]{1,4}|%20|\+)"
    r"(?P<secret>(?=[\w.~+/-]{0,64}[\d=_.])(?=[\w.~+/-]{0,64}[\w~-]{16})[\w.~+/-]{12,2048}={0,2})"
)
_PASSWORD_IN_URL: Final = re.compile(r"""://[^\s/:@"'<>]{0,128}:(?P<secret>(?![${<%*])[^\s/"'<>]{1,256})@""")
# A token in the place of the user.
_USER_IN_URL: Final = re.compile(r"""://(?P<secret>(?=[^\s/:@]{0,64}\d)[^\s/:@"'<>$]{16,256})(?::x-oauth-basic)?@""")
_HOOK: Final = re.compile(
    r"""(?ix)(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/
    |discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{10,24}/|[\w-]{1,64}\.webhook\.office\.com/webhookb2/|outlook\.office(?:365)?\.com/webhook/|hooks\.zapier\.com/hooks/catch/
    |maker\.ifttt\.com/trigger/[\w-]{1,64}/(?:json/)?with/key/|hook\.[a-z0-9]{2,8}\.make\.com/|webhook\.site/
    |open\.(?:feishu|larksuite)\.(?:cn|com)/open-apis/bot/v2/hook/|://[\w.:-]{3,80}/(?:[\w-]{1,40}/){0,3}hooks/(?=[\w/]{0,24}[0-9]))
    (?P<secret>[\w@/.-]{16,512})"""
)
_TELEGRAM: Final = re.compile(r"(?<![\w])(?:bot)?(?P<secret>\d{8,10}:AA[\w-]{32,35})")
_ORACLE: Final = re.compile(
    r"(?i)(?:thin:|sqlplus[ \t]{1,4}(?:-\w{1,4}[ \t]{1,4}){0,4})[\w$#]{1,64}/(?P<secret>[^\s/\"']{3,128})(?=@)"
)
_IDENTIFIED: Final = re.compile(
    r"""(?ix)(?:identified\s{1,4}(?:with\s{1,4}[\w"'`]{1,40}\s{1,4})?(?:by|as)\s{1,4}(?:password\s{1,4}|values\s{1,4})?
    |\bpassword(?:\s{1,4}|\s{0,4}[=(]\s{0,4}\(?))(?P<quote>\\{0,3}["'])(?P<secret>(?:(?!(?P=quote))[^\n]){3,256})(?=(?P=quote))"""
)
_HASH: Final = re.compile(
    r"""(?x)
    \$(?:2[abxy]?|[1-9]|y|gy|apr1|argon2(?:id?|d)|scrypt|pbkdf2[\w-]{0,16}|bcrypt[\w-]{0,16}|P|H|S|md5|sha1)\$
        (?P<secret>[\w./=,+$-]{20,512})
    | \{(?:S?SHA(?:256|384|512)?|S?MD5|CRYPT|PBKDF2[\w-]{0,12}|BCRYPT|ARGON2)\}(?P<secret2>[\w+/=$.{}-]{16,256})
    | \b(?:pbkdf2|scrypt|bcrypt|argon2)[\w:]{0,24}\$(?P<secret3>[\w./=,+$-]{20,512})
    | \bSCRAM-SHA-(?:1|256)\$(?P<secret4>[\w./=,+:$-]{20,512})
    | (?<=:)(?P<secret5>[0-9a-fA-F]{32}:[0-9a-fA-F]{32})(?=:::)
    """
)
_PGPASS: Final = re.compile(
    r""":(?:\d{2,5}|\*):[\w*-]{1,64}:[\w*.-]{1,64}:"""
    r"""(?P<secret>(?=[^\s:"'\\]{0,128}[^\s:"'\\\d])[^\s:"'\\]{4,128})(?=\s|\Z|["'\\])"""
)
_USER_OPTION: Final = re.compile(
    r"""(?:^|(?<=\s)|(?<=["'])|(?<=\\[nrt]))(?:-u|--user)[ =]?["']?[\w.@+-]{1,64}:"""
    r"""(?P<secret>(?!\d{1,16}(?:\s|\Z))[^\s"':/\\][^\s"'\\]{3,256})"""
)
_VAULT: Final = re.compile(r"\$ANSIBLE_VAULT;[\w.;-]{1,64}\s{1,4}(?P<secret>(?:[0-9a-f]{16,128}\s{0,24}){1,2000})")
_SECURE_STRING: Final = re.compile(
    r"""(?i)ConvertTo-SecureString\s{1,4}(?:-String\s{1,4})?(?P<quote>\\{0,3}["'])(?P<secret>[^"'\n\\]{4,256})"""
)
_SALESFORCE: Final = re.compile(r"\b(?P<secret>00D[A-Za-z0-9]{12,15}!A[A-Z]\w{16}[\w.]{40,120})")
_IBAN: Final = re.compile(r"(?i)\biban\b\W{1,4}(?-i:(?P<secret>[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{1,4}){3,8}))(?![A-Z0-9])")
_JWK: Final = re.compile(
    r"""\\{0,3}["'](?:d|p|q|dp|dq|qi|k)\\{0,3}["']\s{0,4}:\s{0,4}\\{0,3}["'](?P<secret>[\w-]{16,1024})"""
)
_LOGIN: Final = re.compile(
    r"""(?x)\(\s{0,4}(?:\w{1,24}\s{0,2}[=:]\s{0,2})?[bruf]?(?P<q>\\{0,3}["'])[^"'\n\\]{1,64}(?P=q)\s{0,4},
    \s{0,4}(?:\w{1,24}\s{0,2}[=:]\s{0,2})?[bruf]?(?P=q)(?P<secret>[^"'\n\\]{4,128})(?=(?P=q)\s{0,4}[,)])"""
)
_OF_LOGIN: Final = re.compile(
    r"(?:log_?in|sign_?in|authenticate|connect|credentials?|basic_?auth|auth|(?:set|create|add)_?user|register)"
    r"\s{0,2}=?\s{0,2}$",
    re.IGNORECASE,
)
_PUTTY: Final = re.compile(r"Private-Lines: \d{1,4}\s{1,4}(?P<secret>(?:[A-Za-z0-9+/=]{16,128}\s{0,4}){1,200})")

_WORDS_IN_URLS: Final = set_of("password passwd pass pwd secret token redacted xxx anoncvs anonymous")


class Form(NamedTuple):
    """A pattern, with hints of which any match contains one (in lower case), and what must be true of a match."""

    pattern: re.Pattern[str]
    hints: tuple[str, ...]
    judge: Callable[[re.Match[str], str], bool] | None = None


def _is_no_word(match: re.Match[str], value: str) -> bool:  # noqa: ARG001
    return not value.startswith(("[REDACTED", "{", "$", "<")) and value.lower() not in _WORDS_IN_URLS


def _is_password(match: re.Match[str], value: str) -> bool:  # noqa: ARG001
    return is_value(value, PASSWORD, quoted=True)


def _looks_secret(match: re.Match[str], value: str) -> bool:
    return _is_password(match, value) and (is_secretive(value) or is_chosen(value))


def _is_login(match: re.Match[str], value: str) -> bool:
    before = _OF_LOGIN.search(match.string, max(0, match.start() - 32), match.start())
    return before is not None and _looks_secret(match, value)


FORMS: Final = (
    Form(_SCHEMED, ("bearer", "basic", "negotiate", "apikey", "aws4-hmac")),
    Form(_HOOK, ("hook", "ifttt")),
    Form(_TELEGRAM, (":aa",)),
    Form(_USER_IN_URL, ("://",), _is_no_word),
    Form(_PASSWORD_IN_URL, ("://",), _is_no_word),
    Form(_ORACLE, ("thin:", "sqlplus")),
    Form(_IDENTIFIED, ("identified", "password"), _is_password),
    Form(_HASH, ("$", "sha", "md5}", "crypt", "pbkdf2", "argon2", ":::")),
    Form(_PGPASS, (":",)),
    Form(_USER_OPTION, ("-u",), _looks_secret),
    Form(_VAULT, ("$ansible_vault",)),
    Form(_IBAN, ("iban",)),
    Form(_SECURE_STRING, ("securestring",), _is_password),
    Form(_SALESFORCE, ("!a",)),
    Form(_JWK, ("kty",)),
    Form(_LOGIN, ("login", "log_in", "sign", "auth", "connect", "cred", "user", "regist"), _is_login),
    Form(_PUTTY, ("private-lines",)),
)


def formed(text: str, folded: str) -> Iterator[Span]:
    """Yield the secrets in URLs, statements, hashes and other things that have a form of their own."""
    for pattern, hints, judge in FORMS:
        if any(hint in folded for hint in hints):
            for match in pattern.finditer(text):
                group = match.lastgroup if match.lastgroup != "quote" else "secret"
                if group is not None and (judge is None or judge(match, match[group])):
                    yield match.span(group)


# --- private keys ---------------------------------------------------------------------------------------------------

_PEM: Final = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_PEM_END: Final = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_PEM_LINE: Final = re.compile(
    r"(?:\\{0,3}[nrt]|[\s\"'+|>,#*\\;:.()-]|\d{1,5}(?=[:|\t ])){0,64}"
    r"(?:[A-Z][\w-]{2,24}: [^\n\\]{0,80}|=?[A-Za-z0-9+/=]{16,8192}|[A-Za-z0-9+/]{1,15}={1,2})"
)
_LONGEST_PEM: Final = 65_536


def private_keys(text: str) -> Iterator[Span]:
    """Yield the blocks of private keys, however they are wrapped, also where the end is missing."""
    at = 0
    end = _PEM_END.search(text)
    while (begin := _PEM.search(text, at)) is not None:
        at = begin.end()
        if end is not None and end.start() < at:
            end = _PEM_END.search(text, at)
        if end is not None and end.start() - at <= _LONGEST_PEM:
            at = end.end()
        else:
            while (line := _PEM_LINE.match(text, at)) is not None:
                at = line.end()
        yield begin.start(), at
