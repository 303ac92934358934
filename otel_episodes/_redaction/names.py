"""What names tell of secrets, and what may be the value of one: shared by what is structured and what is text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from otel_episodes._redaction.drawn import is_random
from otel_episodes._redaction.kinds import set_of

# How sure a name is of its value.
NONE: Final = 0
RANDOM: Final = 1  # a secret if the value looks drawn by lot: key, auth, signature
DIGITS: Final = 2  # a secret if the value is a short number: pin, cvv, one-time codes
TOKEN: Final = 3  # a secret, unless the value is a word, a number or code: token, api_key
PASSWORD: Final = 4  # a secret, unless the value is code or stands for one

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORDS: Final = re.compile(r"[^\W\d_]+")

_PASSWORDS: Final = (
    "password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "contrasena", "contraseña", "motdepasse",
    "wachtwoord", "haslo", "hasło", "heslo", "senha", "salasana", "lösenord", "adgangskode", "пароль", "密码", "密碼",
    "パスワード", "비밀번호",
)  # fmt: skip
# Words that are a password's only as a word of their own, or at the end of one: dbpass, not compass.
_SHORT_PASSWORDS: Final = frozenset(
    ("psk", "pswd", "pwd", "passw", "pword", "pgpassword", "sshpass", "storepass", "keypass")
)
_PASS_AT_END: Final = re.compile(
    r"(?:require|db|user|my|admin|root|smtp|mysql|ssh|ftp|ldap|auth|mail|key|store)(?:pass|pw|pwd)$"
)
_SECRETS: Final = set_of(
    """
    apikey apikeys apitoken apisecret accesskey accesstoken authtoken authkey secretkey secretaccesskey privatekey
    clientsecret clientkeydata encryptionkey signingkey masterkey sharedaccesskey accountkey secret secrets token
    tokens bearer jwt credential credentials creds authorization cookie cookies csrf xsrf csrftoken securitytoken
    sessiontoken refreshtoken idtoken connectionstring dsn mnemonic otpauth licensekey
    sessionkey servicekey deploykey webhooksecret accesscode apipass
    """
)  # fmt: skip
_RANDOMS: Final = set_of(
    """
    auth authentication signature sig sas hmac pat key keys oauth session sessionid sid csp login
    """
)
_CODES: Final = set_of(
    """
    pin otp totp cvv cvc cvv2 cvc2 mfa tan ssn
    """
)
_CODE_BEFORE: Final = set_of(
    """
    verification security backup recovery otp mfa totp auth authentication sms confirmation one time login 2fa tfa
    card
    """
)
# Qualities of a key that make it a secret, and those that make it none.
_SECRET_KEYS: Final = set_of(
    """
    api access secret private account shared signing sign encryption encrypt decryption decrypt master auth service
    client license licence ssh deploy webhook storage admin aes rsa hmac fernet subscription integration ingest
    ingestion write security session server functions instrumentation consumer developer publisher rails jwt totp
    wireguard app bot root
    """
)
_OTHER_KEYS: Final = set_of(
    """
    public pub primary foreign sort cache partition hash object s3 bucket row index idx lookup dedup idempotency
    routing natural surrogate group natural unique composite candidate map dict config setting settings i18n
    translation message shortcut hot arrow registry answer event entity item field column json metadata label
    sorting order range shard
    """
)
# Tokens of programs, parsers and models, and cursors.
_OTHER_TOKENS: Final = set_of(
    """
    eos bos pad unk sep cls mask stop special max min num n nb number input output prompt completion total cached
    cache reasoning thinking first last per avg mean next previous prev page pagination continuation cursor sync
    cancellation current lookahead start end word sub image text audio budget used remaining new char time
    """
)
# After the name of a secret: what only tells about it. Then the value is looked at.
_ABOUT: Final = set_of(
    """
    count counts type types limit limits budget usage length len size method mode scheme provider policy enabled
    required expiry expires expiration expired ttl name names file files path paths url uri arn header field fields
    version status rotation reset format hint label prompt placeholder validator strength rule rules algorithm alg
    id ids index column at in on by date time age manager store backend service class regex pattern kind endpoint
    location dir env var variable source ref reference setup help text error message price cost per rate second
    seconds latency bucket
    """
)
# The digest of a key is none.
_DIGESTS: Final = set_of("sha md checksum digest fingerprint thumbprint")

_PLACEHOLDER: Final = re.compile(
    r"""(?ix)
    \[REDACTED | \.{3} | …+ | \*{3} | x{4} | <[^>]* | \$\{ | \$\( | \$[A-Z_]+\b | \{\{ | %\( | %[A-Z_]+%
    | \{[\w.]*\} | @[A-Z_]+@ | \#\{
    | (?:your|my|the|an?|some|new|old|change|replace|insert|enter|put|set|use|example|sample|dummy|fake|placeholder
      |redacted|hidden|todo|secret|password|passwd|passphrase|token|api|key|prompt|ask|stdin|env|file|vault|ref|see|same|auto
      |default|test)
      (?:[-_ ]?(?:me|it|your|my|the|here|value|password|passwd|secret|token|api|key|with|this|in|production|from|env
      |file|string)){1,8}\b
    | (?:true|false|null|none|nil|undefined|optional|required|missing|invalid|expired|incorrect|wrong|unknown|empty
      |strings?|str|bytes|int|integer|number|bool|boolean
      |object|array|any|type|self|this|not|is|was
      |must|the|input|include|omit|same-origin|never|always|yes|no|on|off|enabled|disabled|hidden|changeme|password|passwords|token|tokens|secret|secrets|key|keys|and|or|in
      |for|to|of|with)
      (?![\w@\#$%^&*!-])
    """
)
_CODE: Final = re.compile(
    r"""(?x)
    ConvertTo-\w | (?:new|old|my)?_?pass(?:word|wd)?\d{0,2}$
    | [A-Za-z_$][\w.$]*[(\[<{]                     # a call, an index, a type's argument
    | (?:os|process|env|settings|config|self|this|request|req|args|secrets|vars|var|data|local|module|cfg|opts|options
       |params|props|ctx|std|app|c|e|event|user|form|body|kwargs|flags|input|state)(?:\.|->|::|\?\.)\w
    | ![A-Za-z] | &[\w\[] | \*\w+\b | @\w+/ | ::
    | -{0,2}[a-z]+(?:-[a-z]+){2,}\b$
    """
)
_PATH: Final = re.compile(
    r"(?:~|\.{1,2})?/[\w./-]*$|[A-Za-z]:\\|\w+://[^@\s]*$|[\w-]+(?:/[\w.-]+)+\.\w+$|[\w-]+\.[a-z]{2,4}$"
)
_PLAIN_NUMBER: Final = re.compile(r"[-+]?[\d.,:_]+(?:e[-+]?\d+)?\s?[a-z%/]{0,3}\.?$")
_NAME_LIKE: Final = re.compile(r"_{0,2}[A-Za-z]+(?:[-_. /][A-Za-z]+)*[.:!?]?$")
_NAME_WITH_NUMBER: Final = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9]*(?:[-_./:][A-Za-z0-9]*)+$")
_CHAIN: Final = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->|::|\?\.)[A-Za-z_]\w*)+[;,]?$")
# What opens something else, or closes what was open before: the quote before it was not the value's.
_OPENS: Final = tuple("{[(<`| \t}]),;:")
_NO_TOKEN: Final = re.compile(r"""[\s\\\[\](){}<>"']""")
_SPECIAL: Final = re.compile(r"[!@#$%^&*?~+=]")
_CODE_NUMBER: Final = re.compile(r"\d{3,4}$|\d{4,10}$|\d{2,4}(?:[ -]\d{2,4}){1,4}$")
_LONG_HEX: Final = re.compile(r"(?:0x)?(?:[0-9a-f]{24,}|[0-9A-F]{24,})$")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
_ISLANDS: Final = re.compile("[A-Za-z][0-9]+|^[0-9]+(?=[A-Za-z])")
_LEAST_CODE: Final = 12
_LEAST_ISLANDS: Final = 2
_LEAST_WORD: Final = 16


def words(name: str) -> list[str]:
    """Return the words of a name, in lower case: of api_key, X-Auth-Token, dbPassword."""
    return [word.lower() for word in _WORDS.findall(_CAMEL.sub("_", name))]


@lru_cache(maxsize=4096)
def strength(name: str) -> int:
    """Return how sure a name is that its value is a secret."""
    parts = words(name)
    if not parts:
        return NONE
    if parts[-1] in _DIGESTS:
        return NONE
    about = len(parts) > 1 and parts[-1] in _ABOUT
    found = max((_of_word(part, parts[:at]) for at, part in enumerate(parts)), default=NONE)
    joined = "".join(parts)
    if any(word in joined for word in _PASSWORDS):
        found = PASSWORD
    elif joined in _SECRETS or any(
        joined.endswith(word) for word in ("apikey", "apitoken", "authtoken", "accesstoken", "secretkey")
    ):
        found = max(found, TOKEN)
    if about and found > RANDOM:
        return RANDOM
    return found


def _of_word(word: str, before: list[str]) -> int:
    last = before[-1] if before else ""
    if word in _SHORT_PASSWORDS or _PASS_AT_END.search(word):
        return PASSWORD
    if word in ("token", "tokens") and (last in _OTHER_TOKENS or (before and before[0] in _OTHER_TOKENS)):
        return NONE
    if word in ("key", "keys"):
        return _of_key(before)
    if word in _SECRETS or word in ("pass", "pw") or (word == "string" and last == "connection"):
        return TOKEN
    if word in _CODES or (word in ("code", "codes") and not _CODE_BEFORE.isdisjoint(before)):
        return DIGITS
    if word in ("phrase", "words") and last in ("seed", "recovery", "backup", "secret", "mnemonic"):
        return PASSWORD
    return RANDOM if word in _RANDOMS or word == "webhook" else NONE


def _of_key(before: list[str]) -> int:
    if not _OTHER_KEYS.isdisjoint(before):
        return NONE
    return RANDOM if _SECRET_KEYS.isdisjoint(before) else TOKEN


def is_value(value: str, sure: int, *, quoted: bool) -> bool:
    """Return True if a text may be the secret that a name announces."""
    if len(value) < (3 if sure == DIGITS else 4) or _PLACEHOLDER.match(value) or value.startswith(_OPENS):
        return False
    if sure == DIGITS:
        return _CODE_NUMBER.match(value) is not None or (not _PLAIN_NUMBER.match(value) and is_secretive(value))
    if sure == RANDOM:
        return is_secretive(value)
    if not quoted and (_CODE.match(value) or value[-1:] in "({[" or (_CHAIN.match(value) and not is_secretive(value))):
        return False
    if (_PATH.match(value) and not is_secretive(value)) or (sure == TOKEN and "://" in value):
        return False
    if sure == TOKEN:
        if _UUID.match(value):
            return True
        if _PLAIN_NUMBER.match(value) or (_NAME_LIKE.match(value) and not is_secretive(value)):
            return False
        return is_secretive(value) or not _NAME_WITH_NUMBER.match(value) or _has_code(value)
    return not (quoted and " " in value and _NAME_LIKE.match(value) and len(value) > _LEAST_WORD)


def _has_code(value: str) -> bool:
    """Return True if a part of a name is no word: twelve characters or more, with digits here and there."""
    parts = re.split("[-_./:]", value)
    return any(len(part) >= _LEAST_CODE and len(_ISLANDS.findall(part)) >= _LEAST_ISLANDS for part in parts)


def is_secretive(value: str) -> bool:
    """Return True for what looks drawn by lot, or chosen to be hard to guess."""
    if _NO_TOKEN.search(value) or _UUID.match(value):
        return False
    if _LONG_HEX.match(value) or is_random(re.sub(r"[^A-Za-z0-9_-]", "-", value)):
        return True
    if "/" in value or len(value) < 8:  # noqa: PLR2004  # shorter is no secret by its looks alone
        return False
    return (
        _SPECIAL.search(value) is not None
        and re.search("[0-9]", value) is not None
        and re.search("[A-Za-z]", value) is not None
    )


def masks(name: str, value: object) -> bool:
    """Return True if a value that stands under a name, in an object or among arguments, is a secret.

    Any text under the name of a password or token is; a number is not under a plural, which counts.
    """
    sure, kind = strength(name), type(value)
    if sure == NONE or value is None or kind is bool:
        return False
    if kind is str:
        return _masks_text(name, value, sure)  # type: ignore[arg-type]
    if kind is int or kind is float:
        is_count = sure == TOKEN and words(name)[-1].endswith("s")
        return sure == PASSWORD or (sure == TOKEN and not is_count) or (sure == DIGITS and len(str(value)) > 2)  # noqa: PLR2004
    if issubclass(kind, (list, tuple, set, frozenset)):
        return sure >= TOKEN and str in map(type, tuple(value))  # type: ignore[arg-type]
    if issubclass(kind, dict):
        return sure >= TOKEN and str in map(type, dict.values(value))  # type: ignore[arg-type]
    return sure >= DIGITS


def _masks_text(name: str, value: str, sure: int) -> bool:
    if sure == RANDOM:
        return ("webhook" in name.lower() and "://" in value) or is_secretive(value)
    if sure == DIGITS:
        return is_value(value, sure, quoted=True)
    return bool(value) and not _WORD_FOR_A_VALUE.fullmatch(value)


_WORD_FOR_A_VALUE: Final = re.compile(
    r"(?i)\[REDACTED.*|bearer|basic|include|omit|same-origin|none|null|true|false|required|optional|enabled|disabled|string"
    r"|<[\w ]*>|\*{3,}"
)


def is_chosen(value: str) -> bool:
    """Return True for what a person may have chosen as a password: letters with digits, or with marks."""
    if not re.search("[A-Za-z]", value) or re.fullmatch(r"[A-Za-z]+[.:!?]?", value):
        return False
    if re.search(r"[()\[\]{}<>/\\]", value):
        return is_secretive(value)
    if re.fullmatch(r"\d+(?:\.\d+)*[A-Za-z%]{1,3}|v?\d+(?:\.\d+)+[\w.-]*", value):
        return False  # a measure, a version
    return re.search(r"[\d!@#$%^&*?~]", value) is not None


def is_uuid(value: str) -> bool:
    """Return True for a UUID."""
    return _UUID.match(value) is not None
