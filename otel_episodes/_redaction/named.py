"""Secrets that stand after their names, in any of a dozen syntaxes.

A hint of a name is looked for first, which is cheap; what follows it is matched once, with every repetition bounded,
and then judged: the whole name, and whether the value can be one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_episodes._redaction.hints import FOREIGN_NAME_HINTS, NAME_HINTS, short_names
from otel_episodes._redaction.kinds import set_of
from otel_episodes._redaction.names import (
    NONE,
    PASSWORD,
    RANDOM,
    TOKEN,
    is_chosen,
    is_secretive,
    is_uuid,
    is_value,
    strength,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

_QUOTE: Final = r"""(?:\\{0,7}(?:["'`]|u002[27])|&quot;|&\#3[49];)"""
_IS: Final = r"""(?:={1,2}>?|:=|:(?!:)|->|<-|\\u003[dD]|%3[AaDd])"""
# Between a name and its value, by syntax. A group tells which; what follows is the value, quoted or not.
_VALUE: Final = re.compile(
    rf"""(?xi)
    (?P<tail>(?:[\w.]|-(?!>)){{0,48}}+)
    (?:
        (?P<pair>{_QUOTE}?[\ \t]{{0,4}}[,;{{(]?\s{{0,24}}(?:-\ )?{_QUOTE}?
            (?:value|default|content|plaintext|val)\b{_QUOTE}?
            [\ \t]{{0,4}}(?:=>|[:=])[\ \t]{{0,4}})
      | (?P<list>{_QUOTE}[\ \t]{{0,4}}\)?[\ \t]{{0,4}},\s{{0,24}}(?=[bruf]?{_QUOTE}))
      | (?P<element>(?:{_QUOTE}?(?:[\ \t][^<>\n]{{0,64}})?>|</\w{{1,16}}>\s{{0,24}}<\w{{1,16}}>)(?=[^<\s])(?!=))
      | (?P<call>{_QUOTE}?\([\ \t]{{0,4}}(?=[bruf]?{_QUOTE}))
      | (?P<cell>[*`]{{0,2}}[\ \t]{{0,16}}\|[\ \t]{{0,16}}(?=[^|\s]))
      | (?P<typed>[\ \t]{{0,4}}:?[\ \t]{{0,4}}&?'?[A-Za-z_][\w.|\[\]\ ]{{0,32}}[\ \t]{{0,4}}=
            [\ \t]{{0,4}}(?=[bruf]?{_QUOTE}))
      | (?P<sent>:?{_QUOTE}\s{{0,4}}(?:;\s{{0,4}})?send[\ \t]{{1,4}}(?:--[\ \t])?(?={_QUOTE}))
      | (?P<is>\]?{_QUOTE}?\]?[\ \t]{{0,16}}{_IS}\*{{0,2}}[\ \t]{{0,8}}
            (?:[|>][+-]?[\ \t]{{0,4}}\r?\n[\ \t]{{1,16}}
              |\r?\n[\ \t]{{2,16}}(?=[^\s:]{{4,256}}\s*$))?)
      | (?P<blank>[\ \t]{{1,4}}(?:(?:is|was|lautet|ist|es|est|to|as|of|set\ to|hash):?[\ \t]{{1,4}})?)
    )
    (?:[bruf@]?(?P<quote>{_QUOTE})(?P<quoted>(?:(?!(?P=quote))[^\n]){{1,1024}})(?P<closed>(?P=quote))?
      | (?P<bare>[^\s"'`<>\\]{{1,1024}}))
    """
)
_SYNTAXES: Final = ("pair", "list", "element", "call", "cell", "typed", "sent", "is", "blank")
_SCHEME: Final = re.compile(
    r"(?i)(?:bearer|basic|token|apikey|api-key|digest|negotiate|hmac|aws4-hmac-sha256|bot|jwt|oauth)[ \t]{1,4}"
)
_SECOND: Final = re.compile(r"[A-Za-z][\w-]{1,24}[ \t]{1,4}(?:\w{1,16}=)?([^\s,;]{8,512})")
_PARTLY: Final = re.compile(r"\[REDACTED(?::[0-9a-f]{12})?\](?=[\w+/%~])")
# Schemes whose credentials are a list of fields, not one word.
_SCHEMES_WITH_FIELDS: Final = frozenset(("digest", "hmac", "aws4-hmac-sha256", "oauth"))
_END_OF_HEADER: Final = re.compile(r"""[^\r\n"'`\\<]{0,2048}""")
_BARE: Final = re.compile(r"""[^\s"'`<>\\]{0,65536}""")
# An ampersand is a part of it, but for one before the next field of a form or another command.
_END_OF_BARE: Final = re.compile(r"[,;|)}\]]|&(?=[\w.%\[\]-]{1,64}=|&|amp;|\s|\Z)")
_MORE_PROSE: Final = re.compile(r"[ \t]+[A-Za-z]")
_OF_NAMES: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$-"
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]{1,16}) $")
_ESCAPE: Final = re.compile(r"\\[nrtbfv]|%[0-9A-Fa-f]{2}")
_SETTER: Final = re.compile(r"(?:set|with|add|use)[A-Z_]|.*\.(?:set|with)")
# Names of which a value may be any, if a person may have chosen it.
_CHOSEN_NAMES: Final = set_of("pass pw secret secrets credential credentials creds")
_NAMES_BEFORE_BLANK: Final = set_of("token key secret login apikey auth bearer")
_MOST: Final = 1024
_LONGEST_NAME: Final = 64
_LONGEST_COOKIE_NAME: Final = 128
_LEAST_IN_HEADER: Final = 4
_LEAST_IN_PROSE: Final = 6
_LEAST_AFTER_BLANK: Final = 16
_LEAST_WITHOUT_DIGIT: Final = 20


class _Said(NamedTuple):
    """A value after a name."""

    text: str
    hint: int
    name: str
    syntax: str
    sure: int
    start: int
    end: int
    quoted: bool

    @property
    def value(self) -> str:
        return self.text[self.start : self.end]

    def is_value(self) -> bool:
        return is_value(self.value, self.sure, quoted=self.quoted)

    def looks_secret(self) -> bool:
        return is_secretive(self.value) or is_chosen(self.value)


def places_of_names(folded: str) -> list[Span]:
    """Return where the hints of names stand in a text in lower case, in their order."""
    places = [match.span() for match in short_names().finditer(folded)]
    for hint in NAME_HINTS if folded.isascii() else NAME_HINTS + FOREIGN_NAME_HINTS:
        at = folded.find(hint)
        while at >= 0:
            places.append((at, at + len(hint)))
            at = folded.find(hint, at + len(hint))
    return sorted(places)


def named(text: str, folded: str) -> Iterator[Span]:
    """Yield the values that stand after the name of a secret."""
    past = 0
    for start, end in places_of_names(folded):
        match = _VALUE.match(text, end) if start >= past else None
        if match is not None:
            span = _value(text, start, match)
            if span is None:
                past = match.end("tail")
            else:
                yield span
                past = max(span[1], end)


def _value(text: str, hint: int, match: re.Match[str]) -> Span | None:
    syntax = next(group for group in _SYNTAXES if match[group] is not None)
    name = _name(text, hint, match.end("tail"), syntax)
    sure = strength(name)
    if sure == NONE:
        return None
    quoted = match["quote"] is not None
    start, end = match.span("quoted" if quoted else "bare")
    lowered = name.lower()
    if "authoriz" in lowered or "cookie" in lowered:
        find = _cookies if "cookie" in lowered else _credentials
        return find(text, start) if syntax in ("is", "pair", "list", "typed") else None
    partly = _PARTLY.match(text, start, end)
    if partly is not None:
        # What stands before it was a token of a known kind, which was not all of it.
        stop = _END_OF_BARE.search(text, partly.end(), end)
        end = end if stop is None else stop.start()
        return (partly.end(), end) if end - partly.end() >= _LEAST_IN_PROSE else None
    scheme = _SCHEME.match(text, start, end) if quoted else None
    if scheme is not None:
        start = scheme.end()
    if not quoted:
        end = _end_of_bare(text, lowered, start, end, syntax, is_variable=name.isupper())
    if not _fits(_Said(text, hint, name, syntax, sure, start, end, quoted)):
        return None
    return start, end if end - start < _MOST else _end_of_long(text, match["quote"], end)


def _name(text: str, start: int, end: int, syntax: str) -> str:
    """Return the whole name of which a word was found, without what an escape leaves before it."""
    left = _left_of_name(text, start)
    if left:
        escape = _ESCAPE.match(text, left - 1, start)
        left = left if escape is None else escape.end()
    name = text[left:end]
    if syntax in ("is", "blank", "cell", "sent"):
        # API key: X, recovery phrase: X.
        word = _WORD_BEFORE.search(text, max(0, left - 17), left)
        return name if word is None else f"{word[1]}_{name}"
    return name


def _left_of_name(text: str, start: int) -> int:
    window = text[max(0, start - _LONGEST_NAME) : start]
    return start - len(window) + len(window.rstrip(_OF_NAMES))


def _end_of_bare(text: str, name: str, start: int, end: int, syntax: str, *, is_variable: bool) -> int:
    """Return where a value without quotes ends: a variable's of the environment at a blank, others at punctuation."""
    if syntax == "cell":
        stop = text.find("|", start, end)
        return end if stop < 0 else stop
    if name.endswith(("phrase", "mnemonic", "words")) and strength(name) == PASSWORD:
        stop = text.find("\n", start, start + _MOST)
        return min(len(text), start + _MOST) if stop < 0 else stop
    if syntax == "is" and is_variable and "&" not in text[start - len(name) - 2 : start]:
        return end
    stop_at = _END_OF_BARE.search(text, start + 1, end)
    return end if stop_at is None else stop_at.start()


def _end_of_long(text: str, quote: str | None, end: int) -> int:
    """Return where a value ends that is longer than what was looked at."""
    if quote:
        stop = text.find(quote, end)
        return len(text) if stop < 0 else stop
    return _BARE.match(text, end).end()  # type: ignore[union-attr]  # matches anything


def _fits(said: _Said) -> bool:
    """Return True if a value is what its syntax asks: more of it, the less the syntax tells."""
    judge = _JUDGES.get(said.syntax)
    if judge is not None:
        return judge(said)
    last = words(said.name)[-1]
    if last in _CHOSEN_NAMES and is_chosen(said.value):
        return is_value(said.value, PASSWORD, quoted=said.quoted)
    if last in ("pass", "pw") or not said.is_value():
        return False
    is_word = not said.quoted and said.value.isalpha() and said.value.islower()
    if said.syntax == "is" and is_word and said.text[said.start - 1] in " \t":
        return _MORE_PROSE.match(said.text, said.end) is None  # password: must be longer
    return True


def _fits_in_list(said: _Said) -> bool:
    if said.name.startswith("-"):
        return is_value(said.value, said.sure, quoted=False)
    return said.is_value() and said.looks_secret()


def _fits_in_call(said: _Said) -> bool:
    if said.sure < PASSWORD and not _SETTER.match(said.name):
        return is_secretive(said.value)
    return said.is_value() and said.looks_secret()


def _fits_in_element(said: _Said) -> bool:
    is_element = "<" in said.text[max(0, said.hint - _LONGEST_NAME) : said.hint]
    return is_element and is_value(said.value, said.sure, quoted=True)


def _fits_in_cell(said: _Said) -> bool:
    return is_secretive(said.value) if said.sure < PASSWORD else said.is_value() and said.looks_secret()


def _fits_where_sent(said: _Said) -> bool:
    return said.is_value() and said.looks_secret()


def _fits_after_blank(said: _Said) -> bool:
    """Judge what follows a name after a blank: an option's value, a statement's in SQL, a word of prose."""
    value, sure, quoted = said.value, said.sure, said.quoted
    left = _left_of_name(said.text, said.hint)
    if said.text[left : left + 1] == "-":
        return not value.startswith("-") and said.is_value() and (sure == PASSWORD or quoted or said.looks_secret())
    if sure == PASSWORD and quoted:
        return said.is_value() and " " not in value
    if sure == PASSWORD:
        if "pass" not in said.name.lower() and said.name.isascii():
            return False
        around = said.text[max(0, said.hint - 256) : said.hint]
        in_netrc = "login " in around and "machine " in around
        is_name = len(value) >= _LEAST_AFTER_BLANK and value.isidentifier() and strength(value) != NONE
        return said.is_value() and (in_netrc or (is_chosen(value) and len(value) >= _LEAST_IN_PROSE and not is_name))
    if words(said.name)[-1] == "pw":
        return is_chosen(value) and len(value) >= _LEAST_IN_PROSE
    if sure in (TOKEN, RANDOM) and said.name.lower().rpartition("_")[2] in _NAMES_BEFORE_BLANK:
        return len(value) >= _LEAST_AFTER_BLANK and is_secretive(value) and "/" not in value
    return False


_JUDGES: Final = {
    "list": _fits_in_list,
    "call": _fits_in_call,
    "element": _fits_in_element,
    "cell": _fits_in_cell,
    "sent": _fits_where_sent,
    "blank": _fits_after_blank,
}


def _credentials(text: str, start: int) -> Span | None:
    """Return the credentials in a header, without their scheme: a word, or all fields to the end of the line."""
    end = _END_OF_HEADER.match(text, start).end()  # type: ignore[union-attr]  # matches anything
    scheme = _SCHEME.match(text, start, end)
    if scheme is not None:
        start = scheme.end()
    first = re.split(r"[\s,;]", text[start:end], maxsplit=1)[0]
    second = _SECOND.match(text, start, end) if scheme is None else None
    if second is not None and (is_secretive(second[1]) or is_uuid(second[1])):
        return second.span(1)  # a scheme of a service's own
    if end - start < _LEAST_IN_HEADER or not is_value(first, PASSWORD, quoted=False):
        return None
    if not (re.search(r"\d|=", first[:_LONGEST_NAME]) or len(first) >= _LEAST_WITHOUT_DIGIT):
        return None
    if scheme is not None and scheme.group().strip().lower() in _SCHEMES_WITH_FIELDS:
        return start, end
    return start, start + len(first)


def _cookies(text: str, start: int) -> Span | None:
    """Return the values in a header of cookies, from the first on."""
    end = _END_OF_HEADER.match(text, start).end()  # type: ignore[union-attr]  # matches anything
    value = text[start:end]
    name, _, first = value.partition("=")
    partly = _PARTLY.match(first)
    if partly is not None and len(first) - partly.end() >= _LEAST_IN_PROSE and " " not in name:
        return start + len(name) + 1 + partly.end(), end
    first = re.split(r"[;\s]", first, maxsplit=1)[0]
    if not 0 < len(name) <= _LONGEST_COOKIE_NAME or " " in name or not is_value(first, PASSWORD, quoted=False):
        return None
    return start + len(name) + 1, end
