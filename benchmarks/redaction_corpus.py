"""Texts with made-up secrets in them, and texts that only look as if.

The secrets are made at run time from a seed: nothing here looks like a leaked key to a scanner, and nobody's is one.
"""

from __future__ import annotations

import base64
import random
import re
import string
from typing import TYPE_CHECKING

from otel_episodes._redaction import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
BECH32 = "023456789acdefghjklmnpqrstuvwxyz"


class Maker:
    """Makes secrets from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choices(alphabet, k=length))

    def jwt(self) -> str:
        parts = ['{"alg":"RS256","typ":"JWT"}', f'{{"sub":"{self.of(string.digits, 8)}","iat":1700000000}}']
        head, body = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
        return f"{head}.{body}.{self.of(URLSAFE, 86)}"

    def private_key(self) -> str:
        kind = self.random.choice(("RSA ", "EC ", "OPENSSH ", ""))
        lines = "\n".join(self.of(ALNUM + "+/", 64) for _ in range(6))
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"

    def lines(self, count: int) -> str:
        text = self.of(ALNUM + "+/", 64 * count - 4)
        return "\n".join(text[max(0, at - 4) : at + 60] for at in range(0, len(text), 64))

    def drawing(self, strokes: int) -> str:
        return "".join(self.random.choice("hvHVlmcsqta") + self.of("123456789", 1) for _ in range(strokes))

    def card(self) -> str:
        start, length = self.random.choice((("4", 16), ("51", 16), ("34", 15), ("6011", 16), ("2221", 16)))
        body = start + self.of(string.digits, length - len(start) - 1)
        digits = [int(digit) for digit in body]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[::-2]]
        number = body + str(-(sum(doubled) + sum(digits[-2::-2])) % 10)
        between = self.random.choice(("", " ", "-"))
        return between.join(number[at : at + 4] for at in range(0, len(number), 4))

    def word(self) -> str:
        words = ("hunter", "correcthorse", "Winter", "letmein", "swordfish", "S3cure", "qwerty")
        return self.random.choice(words) + self.random.choice(("2", "2026", "!", "#42", "-x9", "$a", ""))

    def basic(self) -> str:
        return base64.b64encode(f"bob:{self.of(ALNUM, 14)}".encode()).decode()


TOKENS: dict[str, Callable[[Maker], str]] = {
    "JWT": Maker.jwt,
    "private key": Maker.private_key,
    "AWS access key": lambda m: "AKIA" + m.of(UPPER, 16),
    "AWS temporary key": lambda m: "ASIA" + m.of(UPPER, 16),
    "Google API key": lambda m: "AIza" + m.of(URLSAFE, 35),
    "Google OAuth token": lambda m: "ya29." + m.of(URLSAFE, 60),
    "Google OAuth secret": lambda m: "GOCSPX-" + m.of(URLSAFE, 28),
    "OpenAI": lambda m: "sk-" + m.of(ALNUM, 48),
    "OpenAI project": lambda m: "sk-proj-" + m.of(URLSAFE, 100) + "A1",
    "Anthropic": lambda m: "sk-ant-api03-" + m.of(URLSAFE, 93) + "A1",
    "OpenRouter": lambda m: "sk-or-v1-" + m.of(HEX, 64),
    "Groq": lambda m: "gsk_" + m.of(ALNUM, 52),
    "xAI": lambda m: "xai-" + m.of(ALNUM, 80),
    "Perplexity": lambda m: "pplx-" + m.of(ALNUM, 48),
    "NVIDIA": lambda m: "nvapi-" + m.of(URLSAFE, 64),
    "Hugging Face": lambda m: "hf_" + m.of(string.ascii_letters, 34),
    "Replicate": lambda m: "r8_" + m.of(ALNUM, 37),
    "Pinecone": lambda m: "pcsk_" + m.of(ALNUM, 6) + "_" + m.of(ALNUM, 63),
    "LangSmith": lambda m: "lsv2_pt_" + m.of(HEX, 32) + "_" + m.of(HEX, 10),
    "GitHub": lambda m: "gh" + m.random.choice("pousr") + "_" + m.of(ALNUM, 36),
    "GitHub fine-grained": lambda m: "github_pat_" + m.of(ALNUM, 22) + "_" + m.of(ALNUM, 59),
    "GitLab": lambda m: "glpat-" + m.of(ALNUM, 20),
    "Slack": lambda m: f"xoxb-{m.of(string.digits, 12)}-{m.of(string.digits, 12)}-{m.of(ALNUM, 24)}",
    "Stripe": lambda m: m.random.choice(("sk", "rk")) + "_live_" + m.of(ALNUM, 24),
    "Stripe webhook": lambda m: "whsec_" + m.of(ALNUM, 32),
    "SendGrid": lambda m: f"SG.{m.of(URLSAFE, 22)}.{m.of(URLSAFE, 43)}",
    "npm": lambda m: "npm_" + m.of(ALNUM, 36),
    "Python packages": lambda m: "pypi-AgEI" + m.of(URLSAFE, 120),
    "DigitalOcean": lambda m: "dop_v1_" + m.of(HEX, 64),
    "Shopify": lambda m: "shpat_" + m.of(HEX, 32),
    "Linear": lambda m: "lin_api_" + m.of(ALNUM, 40),
    "Databricks": lambda m: "dapi" + m.of(HEX, 32),
    "Atlassian": lambda m: "ATATT3x" + m.of(URLSAFE, 180) + "=" + m.of(HEX.upper(), 8),
    "Vault": lambda m: "hvs." + m.of(URLSAFE, 90),
    "Telegram": lambda m: f"{m.random.randrange(10**9, 10**10)}:AA{m.of(URLSAFE, 33)}",
    "Grafana": lambda m: f"glsa_{m.of(ALNUM, 32)}_{m.of(HEX, 8)}",
    "New Relic": lambda m: "NRAK-" + m.of(UPPER, 27),
    "Docker": lambda m: "dckr_pat_" + m.of(URLSAFE, 26) + "a",
    "payment card": Maker.card,
}
AROUND = (
    "{}",
    "using {} for this run",
    "export KEY_ONE='{}'",
    '{{"value": "{}", "n": 1}}',
    "error: 401 for {}: not allowed",
)
# The secret stands for itself in these only by what is written around it.
PLACED: dict[str, tuple[str, Callable[[Maker], str]]] = {
    "password in JSON": ('{{"user": "bob", "password": "{}"}}', Maker.word),
    "password in JSON in JSON": (r'{{"body": "{{\"password\": \"{}\"}}"}}', Maker.word),
    "password assigned": ("db_password={} timeout=30", Maker.word),
    "password in YAML": ("database:\n  user: bob\n  password: {}\n", Maker.word),
    "password in code": ('dbPassword = "{}"', Maker.word),
    "password with blanks": ('password: "{} {}"', Maker.word),
    "password option": ("mysql --user root --password {} -e 'select 1'", Maker.word),
    "user option": ("curl -u bob:{} https://host/api", Maker.word),
    "token option": ("deploy --token={} --force", lambda m: m.of(ALNUM, 20)),
    "token option apart": ("gh auth login --with-token {}", lambda m: m.of(ALNUM, 20)),
    "api key header": ("X-API-Key: {}", lambda m: m.of(ALNUM, 32)),
    "api key in a query": ("GET https://host/v1?api_key={}&page=2", lambda m: m.of(HEX, 32)),
    "bearer": ("Authorization: Bearer {}", lambda m: m.of(ALNUM, 40) + "1"),
    "bearer in code": ("headers={{'Authorization': 'Bearer {}'}}", lambda m: m.of(URLSAFE, 40) + "1"),
    "basic": ("-H 'Authorization: Basic {}'", Maker.basic),
    "authorization of another scheme": ("authorization: ApiKey {}", lambda m: m.of(ALNUM, 24)),
    "cookie": ("Cookie: sessionid={}; theme=dark", lambda m: m.of(ALNUM, 32)),
    "set-cookie": ("< Set-Cookie: sid={}; HttpOnly", lambda m: m.of(ALNUM, 32)),
    "connection string": ("postgres://app:{}@db.internal:5432/app", Maker.word),
    "connection string without a user": ("redis://:{}@cache:6379/0", Maker.word),
    "connection string of ADO": ("Server=db;Database=app;User Id=sa;Password={};Encrypt=true", Maker.word),
    "mongodb": ("mongodb+srv://app:{}@cluster0.mongodb.net/test", lambda m: m.of(ALNUM, 16)),
    "Azure storage": ("AccountName=x;AccountKey={};EndpointSuffix=core", lambda m: m.of(ALNUM + "+/", 86) + "=="),
    "signed URL": ("https://x.blob.core/f?sv=2024&sig={}&se=1", lambda m: m.of(ALNUM, 43) + "%3D"),
    "AWS signature": ("https://b.s3/f?X-Amz-Date=1&X-Amz-Signature={}", lambda m: m.of(HEX, 64)),
    "AWS secret": ("aws_secret_access_key = {}", lambda m: m.of(ALNUM + "/+", 40)),
    "client secret": ("client_secret={}&grant_type=client_credentials", lambda m: m.of(ALNUM, 30)),
    "access token": ('{{"access_token":"{}","expires_in":3600}}', lambda m: m.of(ALNUM, 40)),
    "Slack webhook": (
        "https://hooks.slack.com/services/{}",
        lambda m: f"T{m.of(UPPER, 8)}/B{m.of(UPPER, 8)}/{m.of(ALNUM, 24)}",
    ),
    "environment": ("SECRET_KEY={}\nDEBUG=1", lambda m: m.of(ALNUM + "!@#%^*-_", 50)),
    "passphrase": ("passphrase: {}", Maker.word),
    "go": ('Token := "{}"', lambda m: m.of(ALNUM, 24)),
    "ruby": ("api_key => '{}'", lambda m: m.of(ALNUM, 24)),
}


# How a token of a service is met: beside its name, or with nothing that tells of it.
NAMED = (
    "export {name}_API_KEY={token}",
    '{{"{name}_token": "{token}", "n": 1}}',
    "{name}_secret: {token}",
    "deploy --{name}-token {token}",
    "X-{name}-Api-Key: {token}",
)
ALONE = ("using {token} for this run", "error: 401 for {token}: not allowed", "client = Client('{token}')")


def by_family(seed: int = 1) -> Iterator[tuple[str, str, str, str]]:
    """Yield family, how it is met (named or alone), text and secret, for every kind of the table of kinds."""
    make = Maker(seed)
    for kind in kinds.KINDS:
        alphabet = "".join(c for c in string.printable if re.fullmatch(f"[{kind.follows}]", c, re.ASCII))
        name = re.sub("[^a-z]", "", kind.service.lower().split(",")[0])[:6]
        for prefix in kind.prefixes.split():
            body = make.of(alphabet, kind.least + make.random.randrange(8))
            token = prefix + (body.lower() if kind.follows == kinds.HEX else body)
            for met, texts in (("named", NAMED), ("alone", ALONE)):
                text = make.random.choice(texts)
                yield kind.family, met, text.format(name=name, token=token), token
    for kind_of_place, (text, token) in PLACED.items():
        secret = token(make)
        yield "passwords and contexts", "named" if kind_of_place else "", text.format(secret, secret), secret


ALIKE: dict[str, dict[str, Callable[[Maker], str]]] = {
    "hashes": {
        "commit": lambda m: f"commit {m.of(HEX, 40)}",
        "digest of an image": lambda m: f"nginx@sha256:{m.of(HEX, 64)}",
        "md5": lambda m: f"{m.of(HEX, 32)}  data_{m.of(string.digits, 4)}.tar",
        "lock file": lambda m: f'"integrity": "sha512-{m.of(ALNUM + "+/", 86)}==",',
        "wheel's record": lambda m: f"pkg/module_{m.of(string.digits, 2)}.py,sha256={m.of(URLSAFE, 43)},1201",
        "go.sum": lambda m: f"github.com/acme/x v1.2.{m.of(string.digits, 1)} h1:{m.of(ALNUM + '+/', 43)}=",
        "etag": lambda m: f'etag: "{m.of(HEX, 32)}-{m.of(string.digits, 1)}"',
        "built file": lambda m: f"assets/index-{m.of(ALNUM, 8)}.js assets/vendor.{m.of(HEX, 20)}.css",
    },
    "identifiers": {
        "uuid": lambda m: f"id {m.of(HEX, 8)}-{m.of(HEX, 4)}-4{m.of(HEX, 3)}-a{m.of(HEX, 3)}-{m.of(HEX, 12)}",
        "traceparent": lambda m: f"00-{m.of(HEX, 32)}-{m.of(HEX, 16)}-01",
        "tool call": lambda m: f"toolu_01{m.of(ALNUM, 22)} call_{m.of(ALNUM, 24)}",
        "message": lambda m: f"msg_01{m.of(ALNUM, 22)} chatcmpl-{m.of(ALNUM, 29)} resp_{m.of(HEX, 48)}",
        "session": lambda m: f"session_{m.of(ALNUM, 24)} thread_{m.of(ALNUM, 24)} run_{m.of(ALNUM, 24)}",
        "payment": lambda m: f"pi_{m.of(ALNUM, 24)} cus_{m.of(ALNUM, 14)} evt_{m.of(ALNUM, 24)}",
        "ULID": lambda m: f"order_01{m.of('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 24)}",
        "cloud": lambda m: f"i-0{m.of(HEX, 16)} vpc-{m.of(HEX, 17)} arn:aws:iam::{m.of(string.digits, 12)}:role/Admin",
        "pod": lambda m: f"app-{m.of(HEX, 10)}-{m.of('bcdfghjklmnp', 5)} 1/1 Running",
        "job": lambda m: f"job_{m.of(HEX, 32)} ftjob-{m.of(ALNUM, 24)} file-{m.of(ALNUM, 24)}",
    },
    "numbers": {
        "nanoseconds": lambda m: f"start 17{m.of(string.digits, 17)} end 17{m.of(string.digits, 17)}",
        "order": lambda m: f"order 1{m.of(string.digits, 15)} shipped",
        "float": lambda m: f"loss 0.{m.of(string.digits, 16)}",
        "counts": lambda m: f"max_tokens={m.of('123456789', 4)}, prompt_tokens: {m.of('123456789', 3)}",
    },
    "public things drawn by lot": {
        "address of a content": lambda m: f"pinned Qm{m.of(BASE58, 44)} and bafybei{m.of(BASE32, 52)}",
        "document": lambda m: f"see https://docs.google.com/document/d/{m.of(URLSAFE, 44)}/edit#gid=0",
        "video": lambda m: f"https://www.youtube.com/watch?v={m.of(URLSAFE, 11)}",
        "service of a swarm": lambda m: f"{m.of(LOWER, 25)}  web  replicated  3/3",
        "request": lambda m: f"RequestId: {m.of(UPPER, 52)}, HostId: {m.of(ALNUM + '+/', 76)}=",
        "version of an object": lambda m: f'"VersionId": "{m.of(URLSAFE, 32)}", "ETag": "{m.of(HEX, 32)}"',
        "nanoid": lambda m: f"room {m.of(URLSAFE, 21)} is open",
        "track": lambda m: f"spotify:track:{m.of(ALNUM, 22)}",
        "text in base64": lambda m: base64.b64encode(
            f"row {m.of(string.digits, 4)} of the table, done".encode()
        ).decode(),
        "GIF": lambda m: f'src="R0lGODlh{m.of(ALNUM + "+/", 90)}=="',
        "RSA public key": lambda m: f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC{m.of(ALNUM + '+/', 330)} bob@host",
        "fingerprint": lambda m: f"Host key fingerprint is SHA256:{m.of(ALNUM + '+/', 43)}",
        "script's integrity": lambda m: f'integrity="sha384-{m.of(ALNUM + "+/", 64)}" crossorigin="anonymous"',
        "chunk": lambda m: f"/_next/static/{m.of(URLSAFE, 21)}/_buildManifest.js main.{m.of(HEX, 20)}.chunk.js",
        "bundle": lambda m: f"dist/assets/Settings-{m.of(URLSAFE, 8)}.js  12.4 kB",
        "package of conda": lambda m: f"numpy-1.26.{m.of(string.digits, 1)}-py311h{m.of(HEX, 7)}_0.conda",
        "container": lambda m: f"containerID: docker://{m.of(HEX, 64)}",
        "pull": lambda m: f"Digest: sha256:{m.of(HEX, 64)} Status: Image is up to date",
        "cuid": lambda m: f"user c{m.of(LOWER, 24)} signed up",
        "KSUID": lambda m: f"event 2{m.of(ALNUM, 26)} handled",
        "address of money": lambda m: f"sent to bc1q{m.of(BECH32, 38)}, address: {m.of(BASE58, 44)}",
        "drawing": lambda m: f'<path d="M12 {m.of("hvHVz", 1)}{m.drawing(30)}z"/>',
        "lock of cargo": lambda m: f'checksum = "{m.of(HEX, 64)}"',
        "commit of a build": lambda m: f"image registry.local/shop:{m.of(HEX, 40)} built from main@{m.of(HEX, 12)}",
        "minified": lambda m: (
            f'!function(e,t){{var n="{m.of(HEX, 8)}";e.exports={{a{m.of(string.digits, 2)}:t(17)}}}}();'
        ),
        "model": lambda m: (
            f"gpt-4o-mini-2024-07-{m.of('12', 2)} claude-sonnet-4-202505{m.of('12', 2)} Qwen2.5-72B-Instruct-AWQ"
        ),
        "name of a class": lambda m: (
            f"com.acme.HttpV{m.of(string.digits, 1)}RequestFactoryBeanPostProcessor$$Lambda/0x{m.of(HEX, 16)}"
        ),
        "span": lambda m: f"trace_id={m.of(HEX, 32)} span_id={m.of(HEX, 16)} flags=01",
        "store path": lambda m: f"/nix/store/{m.of(LOWER, 32)}-python3-3.11.{m.of(string.digits, 1)}",
        "certificate's middle": lambda m: (
            "-----BEGIN CERTIFICATE-----\nMIID" + m.lines(3) + "\n-----END CERTIFICATE-----"
        ),
    },
    "files": {
        "image": lambda m: f"data:image/png;base64,iVBORw0KGgo{m.of(ALNUM + '+/', 120)}==",
        "path": lambda m: f"/usr/lib/python3.{m.of('123', 2)}/site-packages/requests/auth_{m.of('abc', 3)}.py:41",
        "wheel": lambda m: (
            f"torch-2.{m.of('123456789', 1)}.1+cu12{m.of('1234', 1)}-cp311-cp311-manylinux2014_x86_64.whl"
        ),
        "certificate": lambda m: f"-----BEGIN CERTIFICATE-----\n{m.of(ALNUM + '+/', 64)}\n-----END CERTIFICATE-----",
        "public key": lambda m: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{m.of(ALNUM + '+/', 43)} bob@host",
    },
}


def alike(seed: int = 1, rounds: int = 5) -> Iterator[tuple[str, str]]:
    """Yield family and text of what only looks like a secret: those made from the seed, then those written down."""
    make = Maker(seed)
    for _ in range(rounds):
        for family, texts in ALIKE.items():
            for text in texts.values():
                yield family, text(make)
    for text in INNOCENT:
        yield "prose and code", text


def secrets(seed: int = 1, rounds: int = 5) -> Iterator[tuple[str, str, str]]:
    """Yield kind, text and the secret in it; ``rounds`` of every kind."""
    make = Maker(seed)
    for number in range(rounds):
        for kind, token in TOKENS.items():
            secret = token(make)
            yield kind, AROUND[number % len(AROUND)].format(secret), secret
        for kind, (text, token) in PLACED.items():
            secret = token(make)
            yield kind, text.format(secret, secret), secret


# One a line; what agents see all day. Some speak of secrets and hold none.
INNOCENT = r"""
the tokens: 5000, keys: 12, secretary of state
gen_ai.usage.input_tokens=1200 gen_ai.usage.output_tokens=300
{"input_tokens": 1200, "output_tokens": 300, "max_tokens": 4096, "token_count": 17}
prompt_tokens: 911, completion_tokens: 88, total_tokens: 999
commit 3f2a9c1d8e7b6a5f4e3d2c1b0a9f8e7d6c5b4a39
Merge 9fceb02d0ae598e95dc970b74767f19372d61af8 into main
00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
550e8400-e29b-41d4-a716-446655440000
request id 7d444840-9dc0-11d1-b245-5ffdce74fad2 took 31 ms
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
integrity sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
md5 d41d8cd98f00b204e9800998ecf8427e
etag "33a64df551425fcc55e4d42a148795d9f25f89d4"
src/auth/password_reset.py:12: def reset_password(user):
def check_password(self, password: str) -> bool:
def login(user: str, password: str, token: str | None = None) -> Session:
password = os.environ["DB_PASSWORD"]
token = get_token()
token = request.headers.get("X-Token")
api_key = settings.api_key
api_key=config["api_key"]
secret = secrets.token_urlsafe(32)
password = getpass.getpass()
self.token = token
token: Token
password: string
password: required
password: ""
"password": null,
"token": "",
token=None
token = None  # set later
secret_key: ${SECRET_KEY}
password: {{ vault_password }}
password=$DB_PASSWORD psql -h db
export TOKEN=$(cat token.txt)
Authorization: Bearer <token>
Authorization: Bearer $TOKEN
authorization: required
the bearer of this letter is entitled
basic authentication is not enabled
basic understanding of the problem
Bearer authentication scheme
http://localhost:8080/path?page=2
https://example.org/a/b/c.html#section-4
https://example.org:8443/a@b/c
git@github.com:acme/parser.git
ssh://git@host:2222/repo.git
postgres://localhost:5432/app
redis://cache:6379/0
docker pull registry.local:5000/app@sha256:9b2a
order 1234567890123456 shipped
invoice 2026-000123456789
timestamp 1767225600000000000
start 1700000000123456789 end 1700000000987654321
phone +44 20 7946 0958
ISBN 978-3-16-148410-0
4111 1111 1111 1112
pi is 3.14159265358979323846
0.1234567890123456
version 1.2.3-beta.20240101
rust 1.84.0-nightly (2024-11-20 3fee0f12e)
task-force and risk-management of disk-usage
sk-learn-compatible estimators for scikit-learn
ask-me-anything-about-this-codebase-please
a mask-based-attention-implementation-in-pure-python
risk-assessment-and-mitigation-strategies-document
desk-reservation-management-service-frontend
feature/add-very-long-descriptive-branch-name-here
test_reset_password_flow_with_expired_link_returns_error
def test_that_a_very_long_function_name_with_underscores_is_left_alone():
hf_hub_download_with_retries_and_progress_bar
npm_config_registry npm_package_version
sk_live_view_component
gh_actions_runner_image_for_tests
github_pattern_matching_for_workflows
whsec_is_the_prefix
the key is under the mat
press any key to continue
primary key (id), foreign key (user_id) references users
KeyError: 'password'
KeyError: 'api_key'
ValueError: token is not a string
invalid token: unexpected '}' at line 3
SyntaxError: unexpected token '<'
unexpected token: identifier
error: expected one of `!` or `::`, found keyword `fn`
error[E0502]: cannot borrow `self.tokens` as mutable
tokens.iter().map(|token| token.kind)
let token = tokens.next().unwrap();
match token { Token::Ident(name) => name, _ => return }
const token = await getToken();
if (!token) throw new Error('no token');
token_type=bearer expires_in=3600
cookie consent banner hidden
cookie: the user accepted
cookies.txt has 12 lines
parse_cookie(header)
CSRF token missing
401 Unauthorized: invalid credentials
403 Forbidden: missing authorization header
password must be at least 12 characters
your password was changed
forgot your password?
password reset link sent
passwords do not match
the passenger passed the compass
pass: 48, fail: 2
tests passed=48 failed=2
pass=true
bypass the cache
secret santa draw at noon
the secret of getting ahead is getting started
secretary@office
2 tests failed: parses_empty_input, parses_nested_lists
Build successful, 0 warnings
3 files changed, 41 insertions(+), 7 deletions(-)
fn parse_list(tokens: &[Token]) -> Result<Node>
class TokenStream: pass
from secrets import token_hex
import jwt
jwt.decode(token, key, algorithms=["RS256"])
eyJ is how a token begins
AKIA is how an access key begins
Asia/Tokyo
Asia-Pacific region
/usr/lib/python3/dist-packages/urllib3/util/ssl_.py
C:\Users\bob\AppData\Local\Temp\build_20240101\out.log
/home/bob/.ssh/id_rsa.pub
ssh-keygen -t ed25519 -C comment
ssh-rsa key accepted
-----BEGIN CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
kubectl get secret db -o yaml
kubectl create secret generic db --from-file=password.txt
aws secretsmanager get-secret-value --secret-id prod/db
vault read secret/data/app
gh auth status
docker login -u bob --password-stdin
curl -u bob https://host
psql --user app --no-password
grep -rn "password" src/
grep -n 'token' src/lexer.rs
rg --files-with-matches api_key
sed -i s/old/new/ config.toml
ls -u --user-only
sort -u names.txt
pip install requests==2.32.3
SELECT password_hash FROM users WHERE id = 1
SELECT token, expires_at FROM sessions
ALTER TABLE users ADD COLUMN password_hash text
{"type": "string", "description": "the API key to use"}
{"name": "password", "type": "string", "required": true}
{"pattern": "token", "path": "src"}
{"key": "value", "keys": ["a", "b"]}
{"object": "key", "press": "Enter"}
{"cursor": "b2Zmc2V0OjEwMA==", "has_more": true}
{"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "role": "assistant"}
call_abc123def456ghi789jkl0
toolu_01A09q90qw90lq917835lq9
chatcmpl-9a8b7c6d5e4f
gpt-4o-2024-08-06 claude-sonnet-4 gemini-2.5-pro
model: text-embedding-3-large, dimensions: 3072
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk
base64 aGVsbG8gd29ybGQ=
0x7ffee4c0a8f0 <main+16>
thread 'main' panicked at src/main.rs:4:5
user_id: mia_li_3668, reservation: 8JX2WO
payment_id: credit_card_4421486
gift_card_7504069 certificate_7504069
flight HAT170 from ORD to LGA on 2024-05-25
address: 975 Sunset Drive, Suite 217, Austin, TX 78750
lorem ipsum dolor sit amet, consectetur adipiscing elit
the quick brown fox jumps over the lazy dog
Authorization is handled by the gateway
authorized_keys updated
OAuth token endpoint: /oauth/token
POST /oauth/token 200 12ms
GET /api/tokens?page=2 200
the signature does not match the header
def f(*, key: str, signature: str) -> None: ...
max_tokens: 4096, temperature: 0.2
stop_token_ids: [2, 32000]
eos_token: </s>
pad_token_id=0 eos_token_id=2
tokenizer.decode(tokens, skip_special_tokens=True)
""".strip().splitlines()
