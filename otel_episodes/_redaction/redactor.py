"""The redactor: what is told by name, and what is told by shape."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_episodes._redaction import hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_episodes._redaction.tokens import Finder

MASK: Final = "[REDACTED]"
_DIGEST: Final = 12
_EMAIL: Final = r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
_SHORTEST_CARD: Final = 13

# The quick look: characters of a token, of which all known ones have sixteen in a row; and what stands around values.
_TOKEN_CHARACTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-~"
_BESIDE_VALUES: Final = b"=:>|,'\"(-$%{`\\" + bytes(range(128, 256))


def _class_of(code: int) -> int:
    if code in b"0123456789":
        return ord("0")
    return ord("x" if code in _TOKEN_CHARACTERS else "=" if code in _BESIDE_VALUES else " ")


_CLASSES: Final = bytes(map(_class_of, range(256)))
_RUN: Final = "x" * 16
_LONG_BASE64: Final = 24


class Redactor(NamedTuple):
    """Mask secrets by name and by shape.

    ``names`` are further words that make a name secret (compared in lower case, as a whole word); ``patterns`` are
    further regular expressions whose match is masked (a group named ``keep`` stays). ``emails`` masks e-mail addresses
    too. With a ``hash_key`` a secret becomes ``[REDACTED:<12 hex digits>]``, its HMAC-SHA256 under that key: equal
    secrets can be recognised, and without the key not even a short one can be found by trying.
    """

    names: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    emails: bool = False
    hash_key: bytes | str = ""

    def __repr__(self) -> str:
        # Never the key.
        return f"Redactor(names={self.names!r}, patterns={self.patterns!r}, emails={self.emails!r})"

    def secret_name(self, name: str) -> bool:
        """Return True if any text under this name must be masked."""
        return _always_secret(name) or self._is_named(name)

    def masks(self, name: str, value: object) -> bool:
        """Return True if this value must be masked whole because of its name: ``tokens`` as texts, not as a count."""
        return (_strength(name) != 0 and _is_secret_value(name, value)) or (bool(self.names) and self._is_named(name))

    def follows(self, first: object, before: object, value: object) -> bool:
        """Return True if an item of a list is a secret for the item before it.

        ``["mysql", "--password", "X"]`` and ``("Authorization", "Bearer X")``; ``first`` is the list's first item.
        """
        if type(value) is not str or type(before) is not str or not (before.startswith("-") or _strength(before)):
            return False
        from otel_episodes._redaction import commands  # noqa: PLC0415  # as the rules

        return commands.follows(first, before, value)

    def _is_named(self, name: str) -> bool:
        return bool(self.names) and not self.names.isdisjoint(_words(name))

    def masked(self, secret: object) -> str:
        """Return what stands for a secret."""
        if not self.hash_key or not isinstance(secret, (str, bytes, int)):
            return MASK
        import hashlib  # noqa: PLC0415  # not for those who mask
        import hmac  # noqa: PLC0415  # likewise

        key = self.hash_key if isinstance(self.hash_key, bytes) else self.hash_key.encode()
        value = secret if isinstance(secret, bytes) else str(secret).encode("utf-8", "surrogatepass")
        return f"{MASK[:-1]}:{hmac.new(key, value, hashlib.sha256).hexdigest()[:_DIGEST]}]"

    def suspects(self, text: str) -> bool:
        """Return True, quickly, if `text` might find something: at any hint of a pattern."""
        folded = text.lower()
        encoded = folded.encode() if folded.isascii() else folded.encode("utf-8", "replace")
        # As text again: to look for bytes in bytes costs ten times as much.
        classes = encoded.translate(_CLASSES).decode("latin-1")
        digits = classes.count("0")
        return (
            _RUN in (classes.replace("0", "x") if digits else classes)
            or "pass" in folded
            or ("-" in folded and (" -" in folded or "-u" in folded or "private key" in folded))
            or ("=" in classes and _has_hint(folded))
            or (len(text) >= _LONG_BASE64 and ("/" in folded or "+" in folded) and hints.has_base64(folded))
            or digits >= _SHORTEST_CARD
            or bool(self.patterns)
            or (self.emails and "@" in text)
        )

    @staticmethod
    def load() -> None:
        """Import every rule now, some milliseconds: a process that runs out of file descriptors cannot later on."""
        from otel_episodes._redaction import alone, cards, commands, forms, named, tables  # noqa: F401, PLC0415

        _finder()

    def text(self, text: str) -> str:
        """Return the text with whatever looks like a credential masked."""
        if not self.suspects(text):
            return text
        # Each rule is imported with the first text that asks for it: many a process never meets one.
        folded = _lowered(text)
        for rule in (_formed, _tokens, _named, _in_commands, _alone):
            text = masked(text, rule(text, folded), self.masked)
            folded = folded if len(folded) == len(text) else _lowered(text)
        text = masked(text, _cards(text), lambda number: self.masked(number.replace(" ", "").replace("-", "")))
        if self.emails and "@" in text:
            text = re.sub(_EMAIL, self._mask, text)
        for pattern in self.patterns:
            text = pattern.sub(self._mask, text)
        return text

    def _mask(self, match: re.Match[str]) -> str:
        kept = match.groupdict().get("keep") or ""
        secret = match.group()[len(kept) :]
        return match.group() if secret.startswith(MASK[:-1]) else kept + self.masked(secret)


def masked(text: str, spans: Iterator[tuple[int, int]], mask: Callable[[str], str]) -> str:
    """Return the text with the given stretches masked; of those that overlap, all they cover."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    pieces, at = [], 0
    for start, end in merged:
        secret = text[start:end]
        if secret.startswith(MASK[:-1]) or start < at:
            continue
        pieces += [text[at:start], mask(secret)]
        # Part of it may be a mask already, to its bracket.
        at = end + (MASK[:-1] in secret and text[end : end + 1] == "]")
    return "".join([*pieces, text[at:]]) if pieces else text


def _formed(text: str, folded: str) -> Iterator[tuple[int, int]]:
    if "private key" in folded or hints.has_form(folded):
        from otel_episodes._redaction import forms  # noqa: PLC0415  # with the first text that asks for it

        yield from forms.private_keys(text)
        yield from forms.formed(text, folded)


def _tokens(text: str, folded: str) -> Iterator[tuple[int, int]]:
    if _has_run(folded) or hints.has_base64(folded):
        yield from _finder().find(text)


def _has_run(folded: str) -> bool:
    return _RUN in folded.encode("utf-8", "replace").translate(_CLASSES).decode("latin-1").replace("0", "x")


@cache
def _finder() -> Finder:
    from otel_episodes._redaction.tokens import Finder  # noqa: PLC0415  # likewise

    return Finder()


def _named(text: str, folded: str) -> Iterator[tuple[int, int]]:
    if hints.has_name(folded):
        from otel_episodes._redaction import named, tables  # noqa: PLC0415  # likewise

        yield from named.named(text, folded)
        if "\n" in folded or "\\n" in folded:
            yield from tables.in_tables(text, folded)
        if "values" in folded:
            yield from tables.in_inserts(text)


def _in_commands(text: str, folded: str) -> Iterator[tuple[int, int]]:
    if hints.has_command(folded):
        from otel_episodes._redaction import commands  # noqa: PLC0415  # likewise

        yield from commands.in_commands(text, folded)


def _alone(text: str, folded: str) -> Iterator[tuple[int, int]]:
    if _has_run(folded):
        from otel_episodes._redaction import alone  # noqa: PLC0415  # likewise

        yield from alone.find(text)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    if len(text) >= _SHORTEST_CARD:
        from otel_episodes._redaction import cards  # noqa: PLC0415  # likewise

        yield from cards.cards(text)


def _lowered(text: str) -> str:
    """Return the text in lower case, each character where it was: a few become two by `str.lower`."""
    folded = text.lower()
    if len(folded) != len(text):
        folded = "".join(character.lower() if len(character.lower()) == 1 else character for character in text)
    return folded


def _has_hint(folded: str) -> bool:
    return hints.has_name(folded) or hints.has_form(folded) or hints.has_command(folded)


@lru_cache(maxsize=4096)
def _strength(name: str) -> int:
    if not _may_be_secret(name.lower()):
        return 0
    from otel_episodes._redaction.names import strength  # noqa: PLC0415  # as the rules

    return strength(name)


def _may_be_secret(folded: str) -> bool:
    return hints.has_name(folded) or any(hint in folded for hint in ("adgang", "motdepasse", "mot"))


@lru_cache(maxsize=4096)
def _always_secret(name: str) -> bool:
    from otel_episodes._redaction.names import DIGITS, words  # noqa: PLC0415  # as the rules

    return _strength(name) >= DIGITS and words(name)[-1] != "tokens"


@lru_cache(maxsize=4096)
def _words(name: str) -> frozenset[str]:
    from otel_episodes._redaction.names import words  # noqa: PLC0415  # as the rules

    return frozenset(words(name)) | frozenset(re.findall(r"[a-z0-9]+", name.lower())) | {name.lower()}


def _is_secret_value(name: str, value: Any) -> bool:  # any value
    from otel_episodes._redaction import names  # noqa: PLC0415  # as the rules

    return names.masks(name, value)
