"""The public names of the store package: listed, visible, and loaded only when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import otel_episodes_clickhouse


def test_what_is_listed_is_what_is_visible():
    assert dir(otel_episodes_clickhouse) == sorted(otel_episodes_clickhouse.__all__)
    assert sorted(otel_episodes_clickhouse.__all__) == otel_episodes_clickhouse.__all__
    for name in otel_episodes_clickhouse.__all__:
        assert getattr(otel_episodes_clickhouse, name).__doc__, name


def test_a_name_that_is_not_public_is_not_there():
    with pytest.raises(AttributeError, match="'otel_episodes_clickhouse' has no attribute 'Shipper'"):
        _ = otel_episodes_clickhouse.Shipper


def test_importing_the_package_loads_nothing_of_it():
    code = (
        "import sys, otel_episodes_clickhouse as package\n"
        "print(sorted(name for name in sys.modules if name.startswith('otel_episodes_clickhouse')))\n"
        "print(package.Target.__module__, 'clickhouse_connect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['otel_episodes_clickhouse']\notel_episodes_clickhouse.config False\n"
