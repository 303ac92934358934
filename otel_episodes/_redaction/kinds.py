"""The kinds of token that services give out, as data: what each begins with, and what follows.

Facts as the services' own pages and the public rule families of secret scanners have them. ``follows`` is an alphabet;
``least`` is how many of it must follow, less than the full length where that is certain enough, so that a token that
was cut is known as well. A kind belongs to a family: `benchmarks/redaction.py` measures each with its rows left out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HEX: Final = "0-9a-fA-F"
LETTERS: Final = "A-Za-z"
LOWER: Final = "a-z0-9"
UPPER: Final = "A-Z0-9"
ALNUM: Final = "A-Za-z0-9"
URL: Final = r"\w-"
BASE64: Final = "A-Za-z0-9+/"


def set_of(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


class Kind(NamedTuple):
    """Tokens with a beginning of their own; ``prefixes`` are separated by blanks."""

    family: str
    service: str
    prefixes: str
    follows: str
    least: int


class Shape(NamedTuple):
    """Tokens that are told by more than their beginning, as a regular expression of 32 characters or more."""

    family: str
    service: str
    pattern: str


KINDS: Final = (
    Kind("cloud", "AWS access keys", "AKIA ASIA ABIA ACCA", UPPER, 16),
    Kind("cloud", "AWS Bedrock", "ABSK bedrock-api-key-", BASE64, 40),
    Kind("cloud", "Google API", "AIza", URL, 35),
    Kind("cloud", "Google OAuth", "ya29. GOCSPX- 1//0", URL, 20),
    Kind("cloud", "Alibaba", "LTAI", ALNUM, 16),
    Kind("cloud", "Tencent", "AKID", ALNUM, 28),
    Kind("cloud", "Yandex", "AQVN", URL, 32),
    Kind("cloud", "Yandex", "y0_ y1_ y2_ y3_", URL, 40),
    Kind("cloud", "DigitalOcean", "dop_v1_ doo_v1_ dor_v1_", HEX, 40),
    Kind("cloud", "Heroku", "HRKU-", URL, 30),
    Kind("cloud", "Fly", "fo1_", URL, 40),
    Kind("cloud", "Fly", "fm1a_ fm1r_ fm2_", BASE64, 40),
    Kind("cloud", "Databricks", "dapi dkea dose dsapi ddbs", HEX, 32),
    Kind("cloud", "Vercel", "vcp_ vci_ vca_ vcr_ vck_", ALNUM, 20),
    Kind("cloud", "Netlify", "nfp_ nfc_ nfo_ nfb_ nfu_", ALNUM, 30),
    Kind("cloud", "Render", "rnd_", ALNUM, 24),
    Kind("cloud", "Supabase", "sbp_ sbp_v0_ sbp_oauth_", HEX, 40),
    Kind("cloud", "Supabase", "sb_secret_", URL, 20),
    Kind("cloud", "PlanetScale", "pscale_tkn_ pscale_pw_ pscale_oauth_ pscale_api_", URL, 20),
    Kind("cloud", "Neon", "napi_", LOWER, 40),
    Kind("cloud", "Pulumi", "pul-", HEX, 40),
    Kind("cloud", "Vault", "hvs. hvb. hvr.", URL, 20),
    Kind("cloud", "HCP", "hcp.", ALNUM, 30),
    Kind("cloud", "Doppler", "dp.pt. dp.ct. dp.sa. dp.said. dp.scim. dp.audit.", ALNUM, 30),
    Kind("cloud", "1Password", "ops_eyJ", BASE64, 60),
    Kind("cloud", "Cloudflare", "v1.0-", f"{HEX}-", 60),
    Kind("cloud", "Cloudflare", "cfut_ cfat_ cfk_", URL, 36),
    Kind("cloud", "Akamai", "akab-", URL, 24),
    Kind("cloud", "MongoDB Atlas", "mdb_sa_sk_", URL, 30),
    Kind("cloud", "Aiven", "AVNS_ aivenv1", URL, 16),
    Kind("cloud", "Tailscale", "tskey-auth- tskey-api- tskey-client- tskey-scim- tskey-webhook-", URL, 16),
    Kind("cloud", "UpCloud", "ucat_", UPPER, 20),
    Kind("cloud", "Scalingo", "tk-us- tk-eu-", URL, 40),
    Kind("cloud", "Deno", "ddp_ ddo_ ddw_", ALNUM, 30),
    Kind("cloud", "Backblaze", "K001 K002 K003 K004 K005", BASE64, 27),
    Kind("cloud", "Confluent", "cflt", BASE64, 56),
    Kind("cloud", "CockroachDB", "CCDB1_", URL, 20),
    Kind("model", "OpenAI, Anthropic and others", "sk-proj- sk-svcacct- sk-admin- sk-ant- sk-or-v1-", URL, 32),
    Kind("model", "Langfuse", "sk-lf- pk-lf-", f"{HEX}-", 30),
    Kind("model", "Helicone", "sk-helicone-", URL, 24),
    Kind("model", "Groq", "gsk_", ALNUM, 30),
    Kind("model", "xAI", "xai-", ALNUM, 40),
    Kind("model", "Google", "AQ.", URL, 40),
    Kind("model", "Replicate", "r8_", ALNUM, 30),
    Kind("model", "Perplexity", "pplx-", ALNUM, 40),
    Kind("model", "Hugging Face", "hf_ api_org_", LETTERS, 30),
    Kind("model", "Hugging Face", "hf_", ALNUM, 30),
    Kind("model", "LangSmith", "lsv2_pt_ lsv2_sk_", f"{HEX}_", 30),
    Kind("model", "Fireworks", "fw_ fw-", ALNUM, 22),
    Kind("model", "Cerebras", "csk-", LOWER, 40),
    Kind("model", "Together", "tgp_v1_", URL, 40),
    Kind("model", "NVIDIA", "nvapi-", URL, 40),
    Kind("model", "Tavily", "tvly- tvly-dev- tvly-prod-", ALNUM, 28),
    Kind("model", "E2B", "e2b_ sk_e2b_", HEX, 40),
    Kind("model", "Modal", "ak- as-", ALNUM, 22),
    Kind("model", "Weights and Biases", "wandb_v1_", URL, 40),
    Kind("model", "ElevenLabs", "sk_", HEX, 48),
    Kind("model", "Voyage", "pa-", URL, 40),
    Kind("model", "Jina", "jina_", ALNUM, 40),
    Kind("model", "Firecrawl", "fc-", HEX, 32),
    Kind("model", "Logfire", "pylf_v1_us_ pylf_v1_eu_ pylf_v2_us_ pylf_v2_eu_", ALNUM, 40),
    Kind("model", "Pinecone", "pcsk_", r"\w", 40),
    Kind("model", "LlamaCloud", "llx-", ALNUM, 40),
    Kind("model", "RunPod", "rpa_", ALNUM, 40),
    Kind("model", "Apify", "apify_api_", ALNUM, 30),
    Kind("model", "Brave", "BSA", URL, 27),
    Kind("model", "Browserbase", "bb_live_ bb_test_", URL, 20),
    Kind("model", "Friendli", "flp_", ALNUM, 40),
    Kind("model", "n8n, Dify, Roboflow", "n8n_api_ dataset- rf_", ALNUM, 24),
    Kind("code", "GitHub", "ghp_ gho_ ghu_ ghs_ ghr_", ALNUM, 30),
    Kind("code", "GitHub", "github_pat_", r"\w", 30),
    Kind("code", "GitLab", "glpat- gldt- glrt- glrtr- glptt- glft- glimt- glagent- glsoat- glffct- gloas-", URL, 16),
    Kind("code", "GitLab", "glcbt- glwt- GR1348941", URL, 16),
    Kind("code", "Bitbucket", "ATBB ATCTT3x", URL, 24),
    Kind("code", "Atlassian", "ATATT3 ATSTT3 ATOA", URL, 40),
    Kind("code", "npm", "npm_", ALNUM, 30),
    Kind("code", "PyPI", "pypi-Ag", URL, 40),
    Kind("code", "Docker", "dckr_pat_ dckr_oat_", URL, 20),
    Kind("code", "RubyGems", "rubygems_", HEX, 40),
    Kind("code", "crates", "cio", ALNUM, 32),
    Kind("code", "NuGet", "oy2", LOWER, 40),
    Kind("code", "Artifactory", "AKCp", ALNUM, 50),
    Kind("code", "Artifactory", "cmVmdGtuO cmVmdG", ALNUM, 50),
    Kind("code", "Clojars", "CLOJARS_", LOWER, 40),
    Kind("code", "Packagist", "packagist_out_ packagist_ack_ packagist_uut_", HEX, 40),
    Kind("code", "Sourcegraph", "sgp_ sgp_local_ slk_ sgph_ sgs_", f"{HEX}_", 40),
    Kind("code", "CircleCI", "CCIPAT_ CCIPRJ_", r"\w", 40),
    Kind("code", "Buildkite", "bkua_ bkct_ bkpt_ bkpk_", HEX, 36),
    Kind("code", "Sonar", "sqp_ squ_ sqa_ sqb_ sqr_", HEX, 40),
    Kind("code", "OpenShift", "sha256~", URL, 40),
    Kind("code", "Octopus", "API-", UPPER, 25),
    Kind("code", "Postman", "PMAK- PMAT-", URL, 24),
    Kind("code", "Kong", "kpat_ spat_", ALNUM, 40),
    Kind("code", "Snyk, Socket, Semgrep", "sktsec_", URL, 30),
    Kind("code", "Prefect", "pnu_ pnb_", ALNUM, 30),
    Kind("code", "dbt", "dbtc_ dbtu_ dbts_", URL, 30),
    Kind("code", "Infracost, Chromatic", "ico- chpt_", ALNUM, 12),
    Kind("code", "ReadMe", "rdme_", LOWER, 40),
    Kind("code", "Statsig, LaunchDarkly", "sdk- api- mob- client- secret-", f"{HEX}-", 36),
    Kind("code", "Thinkst, Wiz, Harness", "pat. sat.", URL, 20),
    Kind("saas", "Slack", "xoxb- xoxp- xoxa- xoxo- xoxs- xoxr- xoxc- xoxd- xoxe- xoxe.xoxp- xoxe.xoxb- xapp-", URL, 11),
    Kind("saas", "Stripe", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ sk_org_ rk_org_", ALNUM, 16),
    Kind("saas", "webhook signing", "whsec_", BASE64, 24),
    Kind("saas", "Twilio", "SK", HEX, 32),
    Kind("saas", "Mailgun", "key- pubkey-", HEX, 32),
    Kind("saas", "Brevo", "xkeysib- xsmtpsib-", f"{HEX}-", 40),
    Kind("saas", "Mandrill", "md-", URL, 22),
    Kind("saas", "Resend", "re_", r"\w", 24),
    Kind("saas", "Notion", "ntn_ secret_", ALNUM, 40),
    Kind("saas", "Linear", "lin_api_ lin_oauth_ lin_wh_", ALNUM, 30),
    Kind("saas", "Figma", "figd_ figu_ figur_ figo_ figor_ fignt_", URL, 30),
    Kind("saas", "ClickUp", "pk_", UPPER, 32),
    Kind("saas", "Trello", "ATTA", HEX, 40),
    Kind("saas", "HubSpot", "pat-na1- pat-na2- pat-na3- pat-eu1- pat-ap1-", f"{HEX}-", 30),
    Kind("saas", "Datadog", "ddapp_ ddpat_ ddsat_", ALNUM, 30),
    Kind("saas", "New Relic", "NRAK- NRAL- NRII- NRIQ- NRRA- NRBR- NRJS- NRAA-", URL, 19),
    Kind("saas", "Sentry", "sntrys_ sntryu_ sntrya_ sntryi_", BASE64, 30),
    Kind("saas", "Honeycomb", "hcaik_ hcxik_ hcalk_ hcblk_ hcbik_ hcamk_ hcxlk_", LOWER, 40),
    Kind("saas", "Grafana", "glsa_", r"\w", 36),
    Kind("saas", "Grafana", "glc_", BASE64, 30),
    Kind("saas", "Dynatrace", "dt0c01. dt0s01. dt0s02. dt0s03. dt0s04. dt0s06. dt0s08. dt0s16.", ALNUM, 20),
    Kind("saas", "Elastic", "essu_", BASE64, 30),
    Kind("saas", "PagerDuty, Better Stack, Honeybadger", "pdus+ hbp_ hbu_", BASE64, 18),
    Kind("saas", "Axiom", "xaat- xapt-", f"{HEX}-", 36),
    Kind("saas", "PostHog", "phx_ phc_ phs_ pha_ phr_", ALNUM, 40),
    Kind("saas", "Contentful", "CFPAT-", URL, 40),
    Kind("saas", "Mapbox", "sk.eyJ tk.eyJ pk.eyJ", URL, 40),
    Kind("saas", "Shopify", "shpat_ shpca_ shppa_ shpss_ shptka_ shpua_ shprt_", HEX, 32),
    Kind("saas", "Square", "EAAA", URL, 50),
    Kind("saas", "Square", "sq0atp- sq0csp- sq0idp-", URL, 20),
    Kind("saas", "Adyen", "AQEyhm AQEmhm", BASE64, 60),
    Kind("saas", "Plaid", "access-sandbox- access-development- access-production-", f"{HEX}-", 30),
    Kind("saas", "Flutterwave", "FLWSECK- FLWSECK_TEST- FLWSECK_LIVE-", URL, 12),
    Kind("saas", "Razorpay", "rzp_live_ rzp_test_", ALNUM, 14),
    Kind("saas", "Mollie, Lob, GoCardless", "live_ test_ sandbox_", ALNUM, 30),
    Kind("saas", "Shippo", "shippo_live_ shippo_test_", HEX, 40),
    Kind("saas", "EasyPost", "EZAK EZTK", ALNUM, 50),
    Kind("saas", "Duffel", "duffel_live_ duffel_test_", URL, 40),
    Kind("saas", "Paddle, Ramp, Brex", "pdl_live_apikey_ pdl_sdbx_apikey_ ramp_sec_ bxt_", r"\w", 30),
    Kind("saas", "Typeform", "tfp_", URL, 30),
    Kind("saas", "Calendar", "cal_live_ cal_", HEX, 32),
    Kind("saas", "Dropbox", "sl. sl.u.", URL, 60),
    Kind("saas", "Frame.io", "fio-u-", URL, 40),
    Kind("saas", "Facebook", "EAAC EAAM EAAG EAAB EAAH EAAE EAAD EAAP EAAI EAAJ EAAK", ALNUM, 60),
    Kind("saas", "Instagram", "IGQV IGQW IGAA", URL, 60),
    Kind("saas", "Pinterest", "pina_ pinr_", ALNUM, 40),
    Kind("saas", "OneSignal", "os_v2_app_ os_v2_org_", LOWER, 60),
    Kind("saas", "Telnyx", "KEY0", ALNUM, 30),
    Kind("saas", "Persona", "persona_production_ persona_sandbox_", URL, 30),
    Kind("saas", "Samsara, SettleMint", "samsara_api_ sm_aat_ sm_pat_ sm_sat_", ALNUM, 16),
    Kind("saas", "Retool, Rootly", "retool_ rootly_", r"\w", 30),
    Kind("saas", "FireHydrant", "fhb-", HEX, 32),
    Kind("saas", "Nylas, WakaTime", "nyk_v0_ nyk_ waka_", f"{ALNUM}-", 32),
    Kind("saas", "Ubidots", "BBFF- BBUS-", ALNUM, 30),
    Kind("saas", "Adobe", "p8e- p8-", f"{ALNUM}-", 28),
    Kind("saas", "Alchemy", "alcht_", ALNUM, 30),
    Kind("saas", "Ory", "ory_pat_ ory_at_ ory_rt_ ory_st_ ory_apikey_ ory_ac_", URL, 20),
    Kind("saas", "Stytch", "secret-live- secret-test-", URL, 30),
    Kind("keys", "age", "AGE-SECRET-KEY-1 AGE-SECRET-KEY-PQ-1", UPPER, 50),
    Kind("keys", "1Password", "A3-", f"{UPPER}-", 30),
    Kind("keys", "extended private key", "xprv yprv zprv tprv", ALNUM, 60),
)  # fmt: skip

SHAPES: Final = (
    Shape("cloud", "Azure AD client secret", r"[\w.~-]{3}\dQ~[\w.~-]{31,40}"),
    Shape("cloud", "Azure identifiable keys", r"[A-Za-z0-9]{40,60}JQQJ9[A-Za-z0-9]{20,40}"),
    Shape("cloud", "Azure DevOps", r"[A-Za-z0-9]{70,80}AZDO[A-Za-z0-9]{4}"),
    Shape("cloud", "ClickHouse", r"4b1d(?![0-9a-f]{38})[A-Za-z0-9]{38}(?![\w-])"),
    Shape("cloud", "Terraform Cloud", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,80}"),
    Shape("cloud", "Doppler", r"dp\.st\.(?:[\w-]{2,40}\.)?[A-Za-z0-9]{30,60}"),
    Shape("cloud", "Infisical", r"st\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9a-f]{32}"),
    Shape("saas", "SendGrid", r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    Shape("saas", "Airtable", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,64}"),
    Shape("saas", "Mailchimp", r"[0-9a-f]{32}-us\d{1,2}"),
    Shape("saas", "MaxMind", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    Shape("saas", "New Relic", r"[0-9a-z]{32,40}NRAL"),
    Shape("saas", "Discord", r"[MNO][A-Za-z\d_-]{22,28}\.[\w-]{6}\.[\w-]{27,45}"),
    Shape("saas", "PayPal", r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    Shape("saas", "Mailgun", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![\w-])"),
    Shape("saas", "Webex", r"[A-Za-z0-9]{64}_[A-Z0-9]{2,6}_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    Shape("saas", "Asana", r"[012]/\d{12,20}(?:/\d{12,20})?:[0-9a-f]{32}"),
    Shape("saas", "Telegram", r"(?:bot)?\d{8,10}:AA[\w-]{32,35}"),
    Shape("saas", "Firebase messaging", r"[\w-]{11,24}:APA91b[\w-]{100,180}"),
    Shape("saas", "Ghost", r"[0-9a-f]{24}:[0-9a-f]{64}"),
    Shape("saas", "Twitter", r"A{20,24}[A-Za-z0-9]{5,16}%[A-Za-z0-9%]{40,100}"),
    Shape("model", "Zhipu", r"[0-9a-f]{32}\.[A-Za-z0-9]{16}(?![\w-])"),
    Shape("model", "fal", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}"),
    Shape("code", "JetBrains", r"perm[:-][\w+/=-]{8,64}\.[\w+/=-]{4,64}\.[\w+/=-]{20,64}"),
    Shape("code", "Snyk", r"snyk_[us]at\.[0-9a-f]{8}\.[\w-]{16,400}"),
    Shape(
        "code",
        "Authress",
        r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[\w-]{30,120}",
    ),
    Shape("keys", "JSON Web Token", r"(?<![_-])eyJ[\w-]{16,8192}(?:\.[\w-]{0,8192}){1,4}"),
    # -----BEGIN in base64; but not a certificate's and not a public key's.
    Shape(
        "keys",
        "private key in base64",
        r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJM)[A-Za-z0-9+/]{2}[A-Za-z0-9]{16}[A-Za-z0-9+/=]{20,8192}",
    ),
)

# What identifiers begin with that are no secrets, and that traces need: a first word of theirs, before - or _.
IDENTIFIERS: Final = set_of(
    """
    fca fcsess iauth ic ich ipi li mandate payatt po promo qt rcpt sched setatt tok we account acct actor agent
    alert ami annotation answer app appointment arn artifact asset assistant asst attachment attempt audio ba
    balance bank batch beta block blob board body book booking bot branch browser bucket bug build builder bundle
    bus cache call campaign card cart case category certificate ch chain channel chapter chart chat chatcmpl
    checkout checkpoint chunk claim class client clip cluster cmpl code coll collection column com comment commit
    company component compl completion component computer con config connection contact container content context
    contract conv conversation copy core coupon cr cs css ctx cus customer cursor cust dashboard data dataset
    datasource date day db deal default delivery demo deployment desc device diff dir disk dispute dist div doc docker
    document domain download draft dp drive edge edit eipalloc element embedding email endpoint eni entity entry env
    episode error etag eval event evt example exec execution exp experiment export expression ext fc feature
    feedback field fig file flow folder font form frame ft ftjob ftevent ftckpt func function game gen generation
    geo gift goal graph group guide hash header history hook host html http https icon id idx ig igw ii il image img
    import in inbox incident index info input instance int interaction interview invite invoice ip issue item iter
    job journal js json key kernel label lambda layer lc lead lesson level lib library license line link list
    listing local location log login lot main manifest map mask match mcp mdl media meeting member memory merge
    message messages meta method metric migration milestone mm mod model modr module month mount move msg msgbatch
    msgs name nat net network node note notebook notification obj object offer openai option order ord org
    organization output pack package page param part patch path pause payment payout pdf per person phase phone
    photo pi pic ping pipeline pkg plan player playlist plugin pm pod point policy pool port post pr prefix preview
    price print process prod product profile program progress proj project prompt proposal prov pull purchase py
    query question queue quote race range rank rate raw re read reason reasoning rec receipt record recording red
    ref refund region rel release repo report req request res reservation resource resp response result rev review
    reward role room root round route row rs rtb rule run sample save scan scene schedule schema scope score screen
    script seal search section seg segment seq seq series server service sess session set seti setup sg sha share
    sheet shift ship shipment shop si sig site size skill slide slot snap snapshot snippet song source span spec
    split sprint sql src srvtoolu st stack stage start stat state status step stop store story stream style sub
    subnet subscription suite summary sym sync system tab table tag target task team temp template tenant term test
    testrun text theme thread thr threads thumb ticket tier time title tmp tool toolu tooluse topic trace track
    train trans transaction transfer transition tree trial trigger trip ts tt tts turn tx txn type unit update
    upload url usage user usr uuid value var vector vendor ver version video view visit vm vol volume vote vpc vs
    wallet warning wave web webhook week wf widget window word work workflow worker workspace ws www zone base
    bootstrap checksum crc digest integrity md sri blake fingerprint nonce salt cp cpython manylinux musllinux linux
    win macosx darwin x86 amd64 arm64 aarch64 gpt claude gemini llama mistral qwen
    """
)  # fmt: skip
# Words that tell of a secret where they stand before - or _ in a token.
TELLING: Final = set_of(
    """
    api apikey auth bearer key live pat prod pw sandbox sec secret sk svc tkn token
    """
)
# Digests that are written with their kind before them.
DIGESTS: Final = set_of(
    """
    sha1 sha224 sha256 sha384 sha512 md5 h1 crc32 blake2b blake2s blake3 xxh64
    """
)
