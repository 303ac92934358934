"""The compose file, as far as it can be checked without Docker: it is read, not run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from go_tools import JAEGER

from otel_episodes_clickhouse.cli.app import run

FOLDER = Path(__file__).resolve().parents[2] / "collector-config"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
INTERPOLATED = re.compile(r"\$\{(\w+)(?::([-?])[^}]*)?\}")


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where from and where to."""
    return [(source, target) for source, target, *_ in (volume.split(":") for volume in service.get("volumes", ()))]


def test_it_is_valid_by_the_compose_specification() -> None:
    reader = pytest.importorskip("compose_spec", reason="no wheel of compose-spec for this Python")
    reader.PyCompose.from_yaml(TEXT).validate()
    with pytest.raises(ValueError, match="imagee"):
        reader.PyCompose.from_yaml(TEXT.replace("image:", "imagee:", 1))


def test_what_is_mounted_from_the_folder_is_there() -> None:
    bound = [(source, target) for each in SERVICES.values() for source, target in mounts(each) if source[0] in "./"]
    assert {source.split("/")[1] for source, _ in bound} == {"clickhouse", "grafana", "jaeger", "otelcol"}
    assert [source for source, _ in bound if not (FOLDER / source).exists()] == []


def test_volumes_are_declared_and_used() -> None:
    named = {source for each in SERVICES.values() for source, _ in mounts(each) if source[0] not in "./"}
    assert named == set(COMPOSE["volumes"])


def test_ports_are_for_this_machine_alone_and_given_once() -> None:
    ports = [port.split(":") for each in SERVICES.values() for port in each.get("ports", ())]
    assert {host for host, *_ in ports} == {"127.0.0.1"}
    assert sorted(int(port) for _, port, _ in ports) == [3000, 4317, 4318, 8123, 13133, 16686]


def test_images_are_pinned() -> None:
    pinned = {name: each["image"] for name, each in SERVICES.items() if "build" not in each}
    assert all(re.fullmatch(r"[\w./-]+:\d+(\.\d+)+", image) for image in pinned.values()), pinned


def test_jaeger_is_the_version_that_the_tests_run() -> None:
    # The module's v1.76.0 is released together with 2.13.0: the same source under two tags.
    assert (JAEGER.version, SERVICES["jaeger"]["image"]) == ("1.76.0", "jaegertracing/jaeger:2.13.0")


def test_the_collector_is_the_version_that_its_builder_names() -> None:
    version = SERVICES["collector"]["image"].rpartition(":")[2]
    assert f"version: {version}" in (FOLDER / "otelcol" / "builder.yaml").read_text()


def test_who_is_waited_for_until_healthy_has_a_health_check() -> None:
    for each in SERVICES.values():
        for other, how in each.get("depends_on", {}).items():
            assert other in SERVICES
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


def test_secrets_come_from_the_environment() -> None:
    asked = {name for name, how in INTERPOLATED.findall(TEXT) if how != "-"}
    example = dict(line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if line[0] != "#")
    assert example == dict.fromkeys(asked, "")
    # Compose refuses to start where one is missing.
    assert {name for name, how in INTERPOLATED.findall(TEXT) if how == "?"} == asked
    for each in SERVICES.values():
        for name, value in each.get("environment", {}).items():
            assert "PASSWORD" not in name or INTERPOLATED.search(value), name


@pytest.mark.parametrize(("service", "file"), [("collector", "otelcol/gateway.yaml"), ("jaeger", "jaeger/jaeger.yaml")])
def test_a_configuration_gets_the_variables_that_it_reads(service: str, file: str) -> None:
    read = dict(re.findall(r"\$\{env:(\w+)(:-)?", (FOLDER / file).read_text()))
    given = SERVICES[service]["environment"]
    assert set(given) <= set(read)
    assert {name for name, default in read.items() if not default} <= set(given)
    # Nothing that is asked from outside listens on localhost of its container.
    assert not [name for name, value in given.items() if str(value).startswith(("localhost", "127."))]


def test_grafana_gets_the_variables_that_its_datasources_read() -> None:
    files = sorted((FOLDER / "grafana" / "provisioning").glob("**/*.yaml"))
    read = {name for file in files for name in re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", file.read_text())}
    given = {name for name in SERVICES["grafana"]["environment"] if not name.startswith("GF_")}
    assert given == read


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    (providers,) = (FOLDER / "grafana" / "provisioning" / "dashboards").glob("*.yaml")
    path = yaml.safe_load(providers.read_text())["providers"][0]["options"]["path"]
    assert ("./grafana/dashboards", path) in mounts(SERVICES["grafana"])


def test_the_pages_of_jaeger_link_to_dashboards_that_exist() -> None:
    dashboards = {json.loads(file.read_text())["uid"] for file in (FOLDER / "grafana" / "dashboards").glob("*.json")}
    linked = set(re.findall(r"localhost:3000/d/([\w-]+)", (FOLDER / "jaeger" / "ui.json").read_text()))
    assert linked <= dashboards


def test_the_commands_of_the_learning_service_are_commands(capfd: pytest.CaptureFixture[str]) -> None:
    script = SERVICES["learn"]["command"][-1]
    commands = re.findall(r"otel-episodes ([\w ]+?)(?= &&| --|$)", script)
    assert commands == ["migrate", "jobs watch"]
    for command in commands:
        assert run([*command.split(), "--help"]) == 0
    assert "--every" in capfd.readouterr().out
