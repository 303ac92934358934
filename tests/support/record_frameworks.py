"""Run the frameworks of ``tests/frameworks`` and keep the spans they write, one file a scenario.

Usage: python tests/support/record_frameworks.py PYTHON, the interpreter of an environment that has them (see
tests/foreign/test_frameworks.py). What is kept under tests/data/frameworks lets the reading be tested without them.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile

from foreign_spans import CASES, RECORDED, recording_of, run_case

from otel_episodes_clickhouse import Store, Target


def main() -> None:
    """Run them all, then write what arrived."""
    with tempfile.TemporaryDirectory() as home:
        dsn = f"chdb://{home}/store"
        for case in CASES:
            done = run_case(sys.argv[1], case, dsn)
            print(case.name, done.returncode, done.stderr[-300:] if done.returncode else "")
        RECORDED.mkdir(parents=True, exist_ok=True)
        with Store.open(Target.resolve(dsn)) as store:
            store.drain()
            for case in CASES:
                text = json.dumps(recording_of(store, case.name), indent=1, ensure_ascii=False)
                # Nothing of the machine it ran on.
                text = re.sub(r"/[^\s\"\\]*/(site-packages|python3\.\d+|frameworks)/", r"\1/", text)
                (RECORDED / case.file).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
