"""The embedded engine with a cluster: ``python cluster_engine.py DIRECTORY`` reads a job as JSON, prints the answers.

What is real: the engine, its Distributed tables over a cluster of one node, its row policies, its check of every
``Replicated...`` engine's arguments and macros. What is not here: Keeper and a second node, so neither ON CLUSTER nor
replication; a Replicated table can be made, and not written to.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import chdb

DIRECTORY = Path(sys.argv[1])
CONFIGURATION = f"""<clickhouse>
<tcp_port>9000</tcp_port>
<zookeeper><implementation>testkeeper</implementation></zookeeper>
<macros><shard>01</shard><replica>a</replica></macros>
<remote_servers><main><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></main></remote_servers>
<users_config>{DIRECTORY}/users.xml</users_config>
</clickhouse>"""
USERS = """<clickhouse><users><default><password></password><networks><ip>::/0</ip></networks>
<profile>default</profile><quota>default</quota>{databases}</default></users>
<profiles><default/></profiles><quotas><default/></quotas></clickhouse>"""

job = json.load(sys.stdin)
(DIRECTORY / "config.xml").write_text(CONFIGURATION)
(DIRECTORY / "users.xml").write_text(USERS.format(databases=job.get("policies", "")))
connection = chdb.connect(f"{DIRECTORY}/engine?config-file={DIRECTORY}/config.xml")
answers = []
for statement in job["statements"]:
    try:
        answer = connection.query(statement, "JSON")
        answers.append(json.loads(str(answer))["data"] if str(answer).strip() else [])
    except Exception as error:
        answers.append(f"{str(error)[:1000]} of {statement[:200]}")
print(json.dumps(answers), flush=True)
# Replicated tables without a Keeper would be waited for at the end.
os._exit(0)
