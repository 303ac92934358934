"""Tokens of services at their full length: what is written out, and how many of which alphabet follow.

``{A32}`` stands for 32 letters and digits, ``{u}`` for those of URLs, ``{h}`` for hex digits, ``{U}`` for capitals and
digits, ``{B}`` for base32, ``{L}`` for small letters and digits, ``{l}`` for letters, ``{d}`` for digits, ``{b}`` for
base64, ``{id}`` for a UUID. Facts that the services' pages and public rules tell.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

ALPHABETS = {
    "A": string.ascii_letters + string.digits,
    "u": string.ascii_letters + string.digits + "-_",
    "h": "0123456789abcdef",
    "U": string.ascii_uppercase + string.digits,
    "B": string.ascii_uppercase + "234567",
    "L": string.ascii_lowercase + string.digits,
    "l": string.ascii_letters,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "+/",
}

TOKENS = {
    "cloud": """
        AKIA{B16} ASIA{B16} ABIA{B16} ABSK{b109}== AIza{u35} ya29.{u140} GOCSPX-{u28} LTAI5t{A18} AKID{A32} AQVN{u35}
        t1.{u60}.{u86} YC{u38} dop_v1_{h64} doo_v1_{h64} dor_v1_{h64} HRKU-AA{u58} fo1_{u43} fm2_{b120} dapi{h32}
        dose{h32} vcp_{A56} nfp_{A36} rnd_{A28} sbp_{h40} sb_secret_{u31} pscale_tkn_{u43} pscale_pw_{u43} napi_{L60}
        pul-{h40} hvs.{u92} hvb.{u140} hcp.{A40} dp.pt.{A43} dp.ct.{A40} ops_eyJ{b250} v1.0-{h24}-{h146} cfut_{u48}
        {A3}8Q~{u34} {L52} {A14}.atlasv1.{u67} tskey-auth-{A17}-{A32} ddp_{A36} K001{b27} CCDB1_{A22}_{A40} AVNS_{u19}
        ucat_{U26} nvapi-{u64} scp-{A40} akab-{u16}-{u16} dnkey-{L26}-{L52} tk-us-{u48} mdb_sa_sk_{u40} {L24}.{A43}
        4b1d{A38} render_{A32} key_{A44} ionos_{A64} lin_{h64} eyJrIjoi{A90}
        """,
    "model": """
        sk-{A20}T3BlbkFJ{A20} sk-proj-{u74}T3BlbkFJ{u74} sk-svcacct-{u74}T3BlbkFJ{u74} sk-ant-api03-{u93}AA
        sk-ant-oat01-{u93}AA sk-or-v1-{h64} sk-lf-{id} sk-helicone-{L7}-{L7}-{L7}-{L7} gsk_{A52} xai-{A80} AQ.{u50}
        r8_{A37} pplx-{A48} hf_{l34} api_org_{l34} lsv2_pt_{h32}_{h10} fw_{A24} csk-{L48} tgp_v1_{u43} tvly-dev-{A32}
        e2b_{h40} ak-{A22} as-{A22} wandb_v1_{A77} sk_{h48} pa-{u43} jina_{A60} fc-{h32} pylf_v1_eu_{A43}
        pcsk_{A5}_{A63} llx-{A48} rpa_{A43} apify_api_{A36} BSA{u27} bb_live_{u27} flp_{A60} n8n_api_{A40} {h32}.{A16}
        {A32} {A40} {id}:{h32} key_{h60} dapi-{u40} sk-{h32} mdb_{A40} cmnt_{A48} {l8}{A56}
        """,
    "code": """
        ghp_{A36} github_pat_{A22}_{A59} gho_{A36} ghs_{A36} ghr_{A76} glpat-{u20} glpat-{u27}.01.{L9} glptt-{h40}
        gldt-{u20} glrt-{u20} glcbt-64_{u20} glsoat-{u20} glagent-{u50} glimt-{u25} gloas-{h64} GR1348941{u20}
        ATBB{A32} ATATT3xFfGF0{u180} ATCTT3xFfGN0{u180} npm_{A36} pypi-AgEIcHlwaS5vcmc{u120} dckr_pat_{u27}
        dckr_oat_{u32} rubygems_{h48} cio{A32} oy2{L43} AKCp{A69} cmVmdGtuO{A55} CLOJARS_{L60} sgp_{h16}_{h40}
        CCIPAT_{A22}_{h40} bkua_{h40} sqp_{h40} sha256~{u43} API-{U26} PMAK-{h24}-{h34} kpat_{A48} sktsec_{u40}
        pnu_{A36} dbtc_{u40} ico-{A32} rdme_{L70} packagist_uut_{h48} pat.{u22}.{A24}.{A20} snyk_uat.{h8}.{u80}
        nx_{A30} gitpod_pat_{u30} sc_{L20}.{L5}.acc_{L16}.{u80} p8e-{A32} ds_{A40} bkrc_{u44} dpat_{A50}
        tfc_{A14}{A40} s.{A24}
        """,
    "saas": """
        xoxb-{d12}-{d13}-{A24} xoxp-{d12}-{d12}-{d12}-{h32} xapp-1-A{U10}-{d13}-{h64} xoxe-1-{U146} sk_live_{A24}
        rk_live_{A99} whsec_{b32} SK{h32} key-{h32} xkeysib-{h64}-{A16} md-{u22} re_{A8}_{A24} ntn_{A46} secret_{A43}
        lin_api_{A40} figd_{u40} pk_{d8}_{U32} ATTA{h64} pat-na1-{id} NRAK-{U27} NRII-{u32} sntryu_{h64}
        sntrys_eyJ{b140} hcaik_{L58} glsa_{A32}_{h8} glc_eyJ{b120} dt0c01.{U24}.{U64} hbp_{b30} xaat-{id} phx_{A43}
        CFPAT-{u43} sk.eyJ{u70}.{u22} shpat_{h32} shpss_{h32} EAAA{u60} sq0atp-{u22} sq0csp-{u43} AQEyhm{b120}
        access-production-{id} FLWSECK-{h32}-X rzp_live_{A14} live_{A35} shippo_live_{h40} EZAK{A54} duffel_live_{u43}
        pdl_live_apikey_{L26}_{A22}_{A3} tfp_{u44}_{A14} cal_live_{h32} sl.{u135} fio-u-{u64} EAAC{A180} IGQV{u120}
        pina_{A48} KEY0{A54}_{A22} alcht_{A30} {d9}:AA{u33} SG.{u22}.{u43} pat{A14}.{h64} {h32}-us12 {A6}_{A29}_mmk
        0/{d16}:{h32} M{A23}.{A6}.{u38} amp_{A40} iterable_{h32} mlsn.{h64} pk.eyJ{u70}.{u22} b_{A44} {U25} {A45}
        zoom_{A22} {A64} lob_{A35} wmt_{A32} klav_{h34} pk_{h34} frontapp_{A60} ctp_{A40} bt_{A20}_{A30} cko_{A32}
        zpk_{A43} {A22}.{A43}
        """,
    "others": """
        ajkey_{L26} ak_{u20} sk_production_{A32} ck_staging_{A30} bpk-{h32} cnvca{u51} configcat-sdk-1/{u22}/{u22}
        dd_{h40} lmnr_{A64} zu_{A40} tr_dev_{A20} signkey-prod-{h64} sk_test_{A42} npg_{A12} xau_{A40} fnA{u37}
        unkey_{A22} mint_{A22} vtwn_{A29} {u36}|{h32} secret_prod_{h32}.{A32} sk_car_{A22} {A48} key_{h128}
        luma-{id}-{id} {U80} dG9rO{b50}= {A27}_{A21} jsrp_{L40} depot_project_{h64} ser.{A22} secret_readonly_{A40}
        sgp_{A43} hawk.{A20}.{A20} 1-{A64} nbp_{A36} cst_{A40} rg_v1_{L44} mem0-{A40} e2a_{h32} kinde_{A50} lago_{A40}
        polar_oat_{u43} am_sk_test_{A41} stk_{A40} dub_{A24} sanity_{A80} prismic-{A40} gw_{u40} sinch_{A40}
        IST.{A60}.{A80} K1-{U20} PT1-{u60} mailtrap_{h32} smtp2go-{A32} api-{U32} elk_{U40} cr_{u40} dbx_{A64}
        ckey_{h32} inf_{A32} {U34} gst_{A36} sparkpost-{h40} tok_{A32}
        """,
    "keys": """
        AGE-SECRET-KEY-1{U58} A3-{U6}-{U6}-{U5}-{U5}-{U5} xprv9{A106} zprv{A107} {U5}-{U5}-{U5}-{U5}-{U5}
        eyJ{u60}.eyJ{u90}.{u43} {b43}= {b86}== {b40} {u43} {A50} {B32} {u86}
        """,
}  # fmt: skip
HOLE = re.compile(r"\{(id|[AuhUBLldb]\d+)\}")


def made(template: str, chance: random.Random) -> str:
    """Return a token of a template."""

    def drawn(alphabet: str, length: int) -> str:
        return "".join(chance.choices(ALPHABETS[alphabet], k=length))

    def filled(hole: re.Match[str]) -> str:
        if hole[1] == "id":
            return f"{drawn('h', 8)}-{drawn('h', 4)}-4{drawn('h', 3)}-a{drawn('h', 3)}-{drawn('h', 12)}"
        return drawn(hole[1][0], int(hole[1][1:]))

    return HOLE.sub(filled, template)
