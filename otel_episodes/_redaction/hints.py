"""What the quick look looks for: nothing is imported and no pattern compiled for a text that has none of it.

Each hint is in lower case, and whatever a rule masks has one of its hints; tests make texts from the rules to show it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# Words and pieces of words that the names of secrets have in them.
NAME_HINTS: Final = (
    "pass", "key", "token", "secret", "auth", "sess", "code", "login", "cred", "cookie", "pw", "bearer", "jwt", "srf",
    "dsn", "nnection", "signature", "hook", "phrase", "words", "mnemonic", "psk", "swd", "pword", "kennwort",
    "contrase", "wachtwoord", "heslo", "haslo", "senha", "salasana", "kode",
)  # fmt: skip
FOREIGN_NAME_HINTS: Final = ("пароль", "密", "パスワード", "비밀번호", "hasło", "lösenord")
_SHORT_NAMES: Final = r"(?:pin|otp|totp|cv[vc]|mfa|tan|ssn|pat|sid|sig|sas|hmac)(?![a-z])"
_FORM_HINTS: Final = (
    "://", ":aa", "basic", "bearer", "negotiate", "apikey", "aws4-hmac", "hook", "ifttt", "thin:", "sqlplus",
    "identified", "password", "$", "sha", "md5}", "crypt", "pbkdf2", "argon2", ":::", "-u", "iban", "kty",
    "private-lines", "securestring", "!a",
)  # fmt: skip
_LOGIN_HINTS: Final = ("login", "log_in", "sign", "auth", "connect", "cred", "user", "regist")
# Tokens in base64 may have a character in them that is not one of a word, and so no long run of those.
BASE64_HINTS: Final = (
    "1//0", "absk", "aqemhm", "aqeyhm", "bedrock-api-key-", "cflt", "essu_", "fm1a_", "fm1r_", "fm2_", "glc_",
    "hbp_", "hbu_", "k001", "k002", "k003", "k004", "k005", "ls0tls1crudjti", "ops_eyj", "pdus+", "sntrya_",
    "sntryi_", "sntrys_", "sntryu_", "whsec_",
)  # fmt: skip
# Programs that take a secret as an option or a word, as `commands` has them, without those that take it to log in.
PROGRAMS: Final = frozenset((
    "7z", "7za", "7zz", "az", "bcp", "buildah", "choco", "clickhouse", "cqlsh", "crackmapexec", "curl", "docker",
        "dotnet",
    "fly", "flyctl", "helm", "htpasswd", "http", "https", "hydra", "impacket-smbclient", "influx", "ipmitool",
    "jarsigner", "keydb-cli", "keytool", "ldapadd", "ldapcompare", "ldapdelete", "ldapmodify", "ldappasswd",
    "ldapsearch", "ldapwhoami", "lftp", "mariadb", "mariadb-dump", "mongo", "mongodump", "mongorestore", "mongosh",
    "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub", "mysql", "mysqladmin", "mysqldump", "mysqlimport", "mysqlsh",
    "nats", "nerdctl", "net", "netlify", "now", "nuget", "oc", "openssl", "podman",
    "psexec", "rabbitmqctl", "railway", "rar",
    "redis-benchmark", "redis-cli", "rpcclient", "security", "skopeo", "smbclient", "smbmap", "snmpbulkwalk", "snmpget",
    "snmpset", "snmpwalk", "snowsql", "sqlcmd", "ssh-keygen", "sshpass", "surge", "twine", "unrar", "unzip",
    "valkey-cli", "vault", "vercel", "vncdotool", "wget", "wmiexec", "wpa_passphrase", "wpscan", "wrangler",
    "xfreerdp", "xh", "zip",
))  # fmt: skip
_WORDS_OF_COMMANDS: Final = (" use ", "add_user", "change_password", "wpa_passphrase ")
_LEAST_COLONS: Final = 4


def has_name(folded: str) -> bool:
    """Return True if a text in lower case may have the name of a secret in it."""
    return (
        any(hint in folded for hint in NAME_HINTS)
        or short_names().search(folded) is not None
        or (not folded.isascii() and any(hint in folded for hint in FOREIGN_NAME_HINTS))
    )


def has_form(folded: str) -> bool:
    """Return True if a text in lower case may have a secret in it that has a form of its own."""
    return (
        any(hint in folded for hint in _FORM_HINTS)
        or ("(" in folded and any(hint in folded for hint in _LOGIN_HINTS))
        or folded.count(":") >= _LEAST_COLONS  # host:port:database:user:password
    )


def has_command(folded: str) -> bool:
    """Return True if a text in lower case may have a command in it that takes a secret."""
    if "login " in folded or "chpasswd" in folded:
        return True
    if " -" not in folded and " /p:" not in folded and not any(hint in folded for hint in _WORDS_OF_COMMANDS):
        return False
    return not PROGRAMS.isdisjoint(words_of(folded))


def words_of(folded: str) -> list[str]:
    """Return the words of a text that may be programs, without what escapes leave before them."""
    for escape in ("\\n", "\\r", "\\t"):
        folded = folded.replace(escape, " ")
    return re.findall("[a-z0-9_-]+", folded)


def has_base64(folded: str) -> bool:
    """Return True if a text in lower case may have a token in it that has no long run of a word's characters."""
    return any(hint in folded for hint in BASE64_HINTS) or "q~" in folded or "perm" in folded


@cache
def short_names() -> re.Pattern[str]:
    """Return the pattern of names that are too short to be looked for as pieces of words."""
    return re.compile(_SHORT_NAMES)
