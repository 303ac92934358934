"""Dashboards over the episodes of several tenants: whoever chooses one sees what it would see alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from foreign_spans import RECORDED, rows_in
from grafana_dashboards import ALL, Asked, all_panels, all_queries, rows
from grafana_data import DAY, NOW
from learning_data import SECOND, Episode, rows_of

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row

ASKED = Asked(NOW // SECOND - 60 * 86_400, NOW // SECOND + 86_400, 86_400)
# What the jobs and the tables do, they do for all tenants together.
OF_ALL_TENANTS = {
    "health: Now", "health: Jobs", "health: Duration of jobs", "health: Episodes read and rows written by jobs",
    "health: Parts", "overview: formula",
}  # fmt: skip
WHO = {f"{page}: tenant" for page in ("overview", "episode", "patterns", "health")}
ACME = {"shown": "acme-3", "trace": "acme-3-0", "episode": "acme-3"}
SEEN = [name for name in all_queries() if name not in OF_ALL_TENANTS]
OF_ONE_EPISODE = [name for name in SEEN if name.startswith("episode: ") and name not in WHO]
# When a row arrived is another time in another store.
CLOCKS = {
    "health: Arrivals per minute": {"time"},
    "health: From the end of a step to its row": {"Median", "P99", "Longest"},
}


def of(tenant: str) -> list[Row]:
    """Return a tenant's episodes: some weeks of ours, one without an end, and one of a framework's."""
    episodes = [Episode(f"{tenant}-late", outcome=None, steps=[("plan", True)], task="still at it", start=NOW - DAY)]
    for number in range(24):
        good = number % 2 == 0
        steps = [("plan", True), ("test", True)] if good else [("guess", True), ("push", False)]
        episode = Episode(
            f"{tenant}-{number}", outcome="success" if good else "failure", steps=steps, task="ship it",
            domain=f"{tenant}-domain", tokens=100, start=NOW - (2 * number + 1) * DAY,
        )  # fmt: skip
        episodes.append(episode)
    spans = rows_in(RECORDED / "pydantic_ai_agent.recovers.json")
    later = NOW - 2 * DAY - spans[0].timestamp
    spans = [row._replace(trace_id=f"{tenant}-{row.trace_id}", timestamp=row.timestamp + later) for row in spans]
    spans += [row for episode in episodes for row in rows_of(episode)]
    return [row._replace(resource_attributes={"tenant.id": tenant} if tenant else {}) for row in spans]


@contextmanager
def stored(directory: Path, *tenants: str) -> Iterator[Store]:
    """Open a store with the episodes of these tenants, learned from."""
    with Store.open(Target.resolve(f"chdb://{directory}")) as store:
        store.migrate()
        store.insert_rows([row for tenant in tenants for row in of(tenant)])
        jobs.run(store)
        yield store


def told(store: Store, tenant: str) -> dict[str, list[dict[str, Any]]]:
    """Return what everything says of acme with that tenant chosen."""
    (pitfall, *_) = rows(store, "patterns: Pitfalls", ASKED, tenant=tenant, domain="acme-domain")
    chosen = {**ACME, "tenant": tenant, "pattern": pitfall["PatternId"]}
    return {name: without_clocks(name, rows(store, name, ASKED, **chosen)) for name in SEEN}


def without_clocks(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCKS.get(name, ())} for row in found]


def test_a_tenant_that_is_chosen_sees_what_it_would_see_alone(tmp_path: Path) -> None:
    with stored(tmp_path / "alone", "acme") as store:
        alone = told(store, ALL)
    assert [name for name, found in alone.items() if not found] == []
    with stored(tmp_path / "together", "acme", "zeta", "") as store:
        together = told(store, "acme")
        for name in OF_ONE_EPISODE:
            assert rows(store, name, ASKED, **ACME, tenant="zeta") == [], name
    # Who may be chosen does not depend on who is.
    assert together["overview: tenant"] == [{"Tenant": "acme"}, {"Tenant": "zeta"}]
    for name in together.keys() - WHO:
        assert together[name] == alone[name], name


def test_all_that_is_of_a_tenant_heeds_the_choice() -> None:
    heedless = {name for name, sql in all_queries().items() if "${tenant:" not in sql}
    assert heedless == OF_ALL_TENANTS | WHO
    urls = [link["url"] for panel in all_panels() for link in panel.links]
    assert [url for url in urls if url.startswith("/d/") and "${tenant:queryparam}" not in url] == []
