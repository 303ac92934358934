"""Every format's sample is read as a person reads it; so are those that are handed to us, where there are any."""

from __future__ import annotations

import pytest
from transcripts import HANDED, OWN, differences

from otel_episodes_clickhouse.importers import registry


def folders(base):
    return sorted(path.parent for path in base.glob("*/expected.json"))


@pytest.mark.parametrize("folder", folders(OWN), ids=lambda folder: folder.name)
def test_a_sample_of_our_own_is_read_as_expected(folder):
    assert {name: found for name, found in differences(folder).items() if found} == {}


@pytest.mark.parametrize("folder", folders(HANDED), ids=lambda folder: folder.name)
def test_a_handed_sample_is_read_as_expected(folder):
    assert {name: found for name, found in differences(folder).items() if found} == {}


def test_every_reader_has_a_sample():
    assert {folder.name for folder in folders(OWN)} >= {reader.name for reader in registry.READERS} - {"otlp-json"}
