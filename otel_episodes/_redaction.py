"""Keeping secrets out of what is recorded.

Two rules: a value under a name that speaks of a secret is masked whole; text is searched for what looks like a
credential wherever it stands. Every repetition in a pattern here is bounded or cannot begin twice in the same place, so
that the work grows with the length of a text and no faster, whatever the text.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

MASK = "[REDACTED]"

# A name is a secret's when one of these words stands in it as a word of its own: api_key, X-Auth-Token, dbPassword;
# not tokens (a count), not key (a lookup), not secretary; nor what only tells about the secret: token_type.
_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[^a-z]?key|apikey|access[^a-z]?key"
    r"|private[^a-z]?key|secret[^a-z]?key|authorization|auth|credentials?|cookie|session[^a-z]?id|bearer|jwt|signature"
    r"|dsn|connection[^a-z]?string|otp|cvv|cvc|csrf)"
    r"(?![^a-z](?:count|counts|type|types|limit|limits|budget|usage|length|len|size|method|mode|scheme|provider|policy"
    r"|enabled|required|expir\w*|ttl|name|file|path|url|uri|arn|header|field|version|status|rotation|reset|format)"
    r"(?:$|[^a-z]))"
    r"(?:$|[^a-z])",
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# What a name of a secret looks like inside a text. What stands before it does not matter, so it is no part of it.
# Tokens and keys are also words of programs and parsers: theirs is a value with a digit in it, or in quotes.
_OF_PASSWORDS = (
    r"(?:pass(?:word|wd|phrase|code)|(?<![a-z])(?:pwd|pass(?=\\?[\"']?=)|secret(?:[_-]?(?:access[_-]?)?key)?|client[_-]?secret)"
    r"|(?-i:(?<=[a-z])(?:Secret(?:Key)?)))"
)
_OF_TOKENS = (
    r"(?:(?<![a-z])(?:token|(?:api|access|auth)[_-]?(?:key|token)|account[_-]?key|private[_-]?key|sharedaccesskey)"
    r"|(?-i:(?<=[a-z])(?:Token|ApiKey|AccessKey)))"
)
_NAMES = ("pass", "pwd", "secret", "token", "key")
# What stands between a name and its value: = : := => with blanks, a quote that opens the value, escaped or not.
_IS = r"[ \t]{0,4}(?::=|=>|:(?!:)|=)[ \t]{0,4}\\?[\"']?"
_TELLING = (
    r"(?=\\?[\"']?[ \t]{0,4}(?::=|=>|:(?!:)|=)[ \t]{0,4}(?:\\?[\"'][^\"'\n]{8}|(?=[^\s\"',;]{8})[^\s\"',;]{0,64}\d))"
)
# Words that stand where a value might, in code and in prose.
_NO_VALUE = (
    r"(?!\\?[\"']?(?:\[REDACTED|bearer\b|basic\b|true\b|false\b|null\b|none\b|nil\b|undefined\b|optional\b|required\b"
    r"|missing\b|invalid\b|expired\b|incorrect\b|unknown\b|empty\b|string\b|str\b|bytes\b|int\b|type\b|self\b|this\b|not\b"
    r"|is\b|was\b|must\b|the\b|input\b|\.\.\.|\*{3}|x{4}|[<{$%(\[]"
    r"|[a-z_][\w.]{0,80}[(\[<]|(?:os|process|env|settings|config|self|request|args|secrets|vars)\.|\\?[\"']?\s|\\?[\"']{2}))"
)
_QUOTED_OR_BARE = r"(?:(?<=[\"'])[^\"'\\\n]{4,256}|[^\s\"',;&)}\]\\]{4,256})"

# Each pattern with texts of which any match contains one (in lower case), looked for first: a substring test is far
# cheaper than a regular expression, and most texts hold no secret. A group named keep stays.
_PATTERNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("eyj",), r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}"),
    (
        ("private key",),
        (
            r"""-----BEGIN [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----[^"'<>]*?"""
            r"""(?:-----END [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----|(?=["'<>])|\Z)"""
        ),
    ),
    (("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    (("aiza",), r"\bAIza[\w-]{35}"),
    (("dapi",), r"\bdapi[0-9a-f]{32}(?:-\d)?\b"),
    (("atatt3",), r"\bATATT3[\w=-]{40,}"),
    (("k-",), r"\b[srp]k-(?=[\w-]{0,128}\d)[\w-]{20,}"),
    (
        ("_",),
        (
            r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}"
            r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}|gsk_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}"
            r"|pcsk_\w{4,8}_[A-Za-z0-9]{30,}|dop_v1_[a-f0-9]{40,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"
            r"|lin_api_[A-Za-z0-9]{30,}|ntn_[A-Za-z0-9]{30,}|sbp_[a-f0-9]{40}|glsa_[A-Za-z0-9]{30,}_[a-f0-9]{8}"
            r"|lsv2_(?:pt|sk)_[a-f0-9]{30,}\w*|sntry[su]_[A-Za-z0-9+/=_-]{30,}|figd_[\w-]{35,}|dckr_pat_[\w-]{20,})"
        ),
    ),
    (
        ("-",),
        (
            r"\b(?:gl(?:pat|dt|rt|cbt|ptt|ft)-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{20,}|xai-[A-Za-z0-9]{40,}"
            r"|pplx-[A-Za-z0-9]{40,}|nvapi-[\w-]{40,}|pypi-Ag[\w-]{40,}|NRAK-[A-Z0-9]{27}|GOCSPX-[\w-]{20,}"
            r"|AGE-SECRET-KEY-1[A-Z0-9]{50,}|key-[0-9a-f]{32}|sq0(?:atp|csp|idp)-[\w-]{20,})"
        ),
    ),
    (
        (".",),
        (
            r"\b(?:SG\.[\w-]{16,}\.[\w-]{16,}|ya29\.[\w-]{20,}|hv[sb]\.[\w-]{20,}"
            r"|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{40,})"
        ),
    ),
    ((":aa",), r"\b\d{8,10}:AA[\w-]{33}\b"),
    (("://",), r"(?P<keep>\bhooks\.slack\.com/services/)[\w/]{20,}"),
    (("earer ", "asic "), r"(?i)\b(?P<keep>bearer |basic )(?=[\w.~+/-]{0,64}[\d=_.])[\w.~+/-]{12,}={0,2}"),
    (("://",), r"(?P<keep>://[^\s/:@]{0,256}:)[^\s/\"'<>]{1,256}(?=@)"),
    # A token in the place of the user.
    (("://",), r"(?P<keep>://)(?=[^\s/:@]{0,64}\d)[^\s/:@]{16,256}(?=@)"),
    (("://",), r"(?i)(?P<keep>[?&](?:x-(?:amz|goog)-)?sig(?:nature)?=)[\w%.~+/=-]{16,}"),
    (
        ("authoriz",),
        (
            rf"(?i)(?P<keep>\b(?:proxy-)?authorization\\?[\"']?{_IS}"
            rf"(?:(?:bearer|basic|token|apikey|digest|negotiate|aws4-hmac-sha256)[ \t]{{1,4}})?)"
            rf"{_NO_VALUE}(?=\S{{0,64}}\d|\S{{20}})[^\s\"',;\\]{{4,1024}}"
        ),
    ),
    (("cookie",), rf"(?i)(?P<keep>\b(?:set-)?cookie\\?[\"']?{_IS})[\w.-]{{1,128}}=[^\r\n\"'\\]{{4,4096}}"),
    # As an option of a command: --password hunter2, --token=abc.
    (
        _NAMES,
        (
            rf"(?i)(?P<keep>(?<!\S)--?[a-z-]{{0,32}}(?:{_OF_PASSWORDS}|{_OF_TOKENS})(?:=|[ \t]{{1,4}})[\"']?)(?!-)"
            rf"{_NO_VALUE}{_QUOTED_OR_BARE}"
        ),
    ),
    (_NAMES, rf"(?i)(?P<keep>{_OF_PASSWORDS}\\?[\"']?{_IS}){_NO_VALUE}{_QUOTED_OR_BARE}"),
    (_NAMES, rf"(?i)(?P<keep>{_OF_TOKENS}{_TELLING}\\?[\"']?{_IS}){_NO_VALUE}{_QUOTED_OR_BARE}"),
    # In prose, and in a netrc file: password is hunter2, login bob password hunter2.
    (
        ("pass",),
        (
            r"(?i)(?P<keep>\bpassword(?:[ \t]{1,4}(?:is|was))?[ \t]{1,4}[\"']?)"
            r"(?=[^\s\"']{0,64}[\d!@#$%^&*])[^\s\"',;]{6,256}"
        ),
    ),
    # curl -u user:password, but not docker -u 1000:1000; sshpass -p password, mysql -ppassword.
    (
        ("-u", "--user"),
        r"(?P<keep>(?<!\S)(?:-u|--user)[ =]?[\"']?[\w.@+-]{1,64}:)(?!\d+(?:\s|\Z))[^\s\"':/][^\s\"']{3,256}",
    ),
    ((" -p",), r"(?P<keep>\b(?:sshpass|mysql(?:dump|admin)?)\b[^\n|;&]{0,200}?\s-p ?)(?!-)[^\s\"'=-][^\s\"']{3,256}"),
)
# What the underscored and dashed tokens above have in common, and little else has.
_UNDERSCORED = re.compile(r"_[a-z0-9+/=-]{16}")
_DASHED = re.compile(r"-[a-z0-9_]{16}")
_EMAIL = r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"

# Numbers as issuers give them (ISO/IEC 7812): their first digits and lengths; then the checksum decides.
_CARD = re.compile(r"[2-6](?:[ -]?[0-9]){12,18}")
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_ISSUED = (
    r"3[47]\d{13}|4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
_SHORTEST_CARD = 13
_DIGEST = 12


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
        """Tell whether a value under this name must be masked."""
        return _secret_name(name) or (bool(self.names) and not self.names.isdisjoint(_words(name)))

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
        """Tell, quickly, whether `text` might find something: true at any hint of a pattern."""
        folded = text.lower()
        return (
            # Spelled out: a loop over the hints costs three times this, on every step. One character is found, or not,
            # far sooner than a word: what every match holds besides its word is looked for first. Counting digits takes
            # a twentieth of looking for a number with a regular expression.
            "pass" in folded or "earer " in folded or "asic " in folded or "dapi" in folded
            or (("=" in folded or ":" in folded or "-" in folded) and (
                "key" in folded or "token" in folded or "secret" in folded or "pwd" in folded or "authoriz" in folded
                or "cookie" in folded
            ))
            or (":" in folded and ("://" in folded or ":aa" in folded))
            or ("_" in folded and ("dckr_" in folded or _UNDERSCORED.search(folded) is not None))
            or ("-" in folded and (
                "k-" in folded or "-u" in folded or " -p" in folded or "xox" in folded or "glpat-" in folded
                or "gocspx-" in folded or _DASHED.search(folded) is not None
            ))
            or ("." in folded and (
                "eyj" in folded or "sg." in folded or "ya29." in folded or "hvs." in folded or "hvb." in folded
                or "dp." in folded
            ))
            or ("A" in text and ("AKIA" in text or "ASIA" in text or "AIza" in text or "ATATT3" in text))
            or (
                len(text) >= _SHORTEST_CARD
                and len(folded.encode("utf-8", "ignore").translate(None, _NO_DIGITS)) >= _SHORTEST_CARD
                and _CARD.search(text) is not None
            )
            or bool(self.patterns) or (self.emails and "@" in text)
        )  # fmt: skip

    def text(self, text: str) -> str:
        """Return the text with whatever looks like a credential masked."""
        if self.suspects(text):
            folded = text.lower()
            replace = self._mask
            for hints, pattern in _compiled():
                if any(hint in folded for hint in hints):
                    text = pattern.sub(replace, text)
            text = _CARD.sub(self._mask_card, text)
            if self.emails and "@" in text:
                text = re.sub(_EMAIL, replace, text)
            for pattern in self.patterns:
                text = pattern.sub(replace, text)
        return text

    def _mask(self, match: re.Match[str]) -> str:
        kept = match.groupdict().get("keep") or ""
        secret = match.group()[len(kept) :]
        return match.group() if secret.startswith(MASK[:-1]) else kept + self.masked(secret)

    def _mask_card(self, match: re.Match[str]) -> str:
        return self.masked(_digits(match)) if _is_card(match) else match.group()


@cache
def _compiled() -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    # Not at import: many a process never meets a text that asks for them.
    return tuple((hints, re.compile(pattern)) for hints, pattern in _PATTERNS)


@lru_cache(maxsize=4096)
def _secret_name(name: str) -> bool:
    return _SECRET_NAME.search(_CAMEL.sub("_", name).lower()) is not None


@lru_cache(maxsize=4096)
def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", _CAMEL.sub("_", name).lower())) | {name.lower()}


def _digits(match: re.Match[str]) -> str:
    return match.group().replace(" ", "").replace("-", "")


def _is_card(match: re.Match[str]) -> bool:
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    if before.isalnum() or before == "." or after.isalnum() or not re.fullmatch(_ISSUED, _digits(match)):
        return False  # a piece of a longer number or identifier, or none that an issuer gives
    digits = [int(character) for character in _digits(match)]
    # Luhn's checksum: every second digit from the right doubled, nines cast out.
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
