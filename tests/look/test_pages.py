"""What a browser shows of a store: one process that serves it, one browser, every view."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from learning_data import SECOND, Episode, rows_of
from serving import serving

from otel_episodes import episode, step
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.cli.app import run as cli
from otel_episodes_clickhouse.cli.opening import recording
from otel_episodes_clickhouse.learning import jobs, marks
from otel_episodes_clickhouse.learning.formulas import active_formula
from otel_episodes_clickhouse.serve.pages import drawing, listing, run
from otel_episodes_clickhouse.serve.pages.aligning import align
from otel_episodes_clickhouse.spool.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NOW = time.time_ns()
HOUR = 3600 * SECOND
# Would run if any of it was taken for markup, a script or an address.
HOSTILE = (
    "</script><script>document.title='run'</script><svg onload=\"document.title='run'\"> {{ 7 * 7 }} \u202egnp.exe"
)
LINK = "javascript:document.title='run'"
TASK = "Book a flight"
FOREIGN = "f" * 32
SERIOUS = ("serious", "critical")


def _history() -> list[Episode]:
    """Return ten bookings, of which every other one failed; they part at the third step."""
    found = []
    for number in range(10):
        won = number % 2 == 0
        third = ("book", True) if won else ("cancel", False)
        found.append(Episode(
            f"booking-{number}", outcome="success" if won else "failure", task=TASK, domain="travel", tags=["nightly"],
            steps=[("search", True), ("read", True), third, ("confirm", won)], tokens=100 * number, seconds=60 + number,
            start=NOW - (20 - number) * HOUR, actions={0: "search flights"}, errors={2: "no such booking 17"},
        ))  # fmt: skip
    return found


def _hostile() -> Episode:
    return Episode(
        "hostile/../'\"<b>", outcome="success", task=HOSTILE, domain=LINK, tags=[HOSTILE, LINK],
        steps=[(HOSTILE, True), (LINK, False)], actions={0: HOSTILE, 1: LINK}, observations={0: HOSTILE, 1: LINK},
        errors={1: HOSTILE}, artifacts=[LINK], extra={"episode.verdict": HOSTILE}, start=NOW - 30 * HOUR,
    )  # fmt: skip


def _foreign() -> list[Row]:
    """Return the spans of another instrumentation: an agent, a tool it used and a model it called."""
    spans = (
        ("a" * 16, "", "invoke_agent planner", {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner",
        }),
        ("b" * 16, "a" * 16, "execute_tool lookup", {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
            "gen_ai.tool.call.arguments": '{"city": "Oslo"}',
        }),
        ("c" * 16, "a" * 16, "chat gpt-4o", {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": "120", "gen_ai.usage.output_tokens": "30",
        }),
    )  # fmt: skip
    return [
        Row(
            timestamp=NOW - 5 * HOUR + place * SECOND, trace_id=FOREIGN, span_id=span, parent_span_id=above,
            span_name=name, service_name="other", span_attributes=attributes, duration=(4 - place) * SECOND,
        )
        for place, (span, above, name, attributes) in enumerate(spans)
    ]  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A store that is served. ``own`` and ``views`` are the same episodes by the pages' statements and by the views."""

    address: str
    dsn: str
    own: list[dict[str, Any]]
    views: list[dict[str, Any]]
    browser: Any = None

    def json(self, path: str, **query: Any) -> Any:
        return json.loads(self.get(path, **query, format="json")[1])

    def get(self, path: str, **query: Any) -> tuple[int, bytes]:
        where = f"{self.address}{path}{'?' if query else ''}{urlencode(query)}"
        try:
            with urllib.request.urlopen(where, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def site(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("pages") / "store"
    shutil.copytree(migrated, place, symlinks=True)
    dsn = f"chdb://{place}"
    history = _history()
    with Store.open(Target.resolve(dsn)) as store:
        store.insert_rows([row for each in (*history, _hostile()) for row in rows_of(each)])
        store.insert_rows(_foreign())
        # What is as old as that when the jobs begin is read as they left it.
        time.sleep(2.1)
        jobs.run(store)
        marks.tag(store, "booking-4", "reviewed", remove=["nightly"])
        # What the jobs have not seen yet.
        store.insert_rows(rows_of(Episode("unscored", outcome="unknown", task="Nobody told", start=NOW - HOUR)))
        ids = {"ids": [each.id for each in history] + ["unscored"]}
        own, views = listing.of_ids(store, ids["ids"]), store.query_named("page_other_episodes", ids)
    with serving(dsn, "--no-learn") as server:
        yield Site(server.url, dsn, own, views)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def page_of(browser: Any, site: Site, path: str, **context: Any) -> Iterator[Any]:
    """Open a page; what it complained of and asked elsewhere for has to be nothing."""
    with ExitStack() as stack:
        opened = browser.new_context(**context)
        stack.callback(opened.close)
        opened.set_default_timeout(20_000)
        page = opened.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(site.address) else None
        )
        page.goto(site.address + path)
        yield page
        assert complaints == []


def episode_path(identifier: str) -> str:
    return f"/episodes/{quote(identifier, safe='')}"


# --- without a browser -----------------------------------------------------------------------------------------------


def test_episodes_of_our_own_are_read_as_the_public_view_has_them(site: Site) -> None:
    shared = set(site.own[0]) & set(site.views[0])
    assert {"Task", "Outcome", "OutcomeSource", "DurationNs", "Steps", "FailedSteps", "InputTokens"} <= shared
    by_view = {row["EpisodeId"]: {name: row[name] for name in shared} for row in site.views}
    assert {row["EpisodeId"]: {name: row[name] for name in shared} for row in site.own} == by_view
    assert len(by_view) == 11


@pytest.mark.parametrize(("sort", "order"), [*((sort, "desc") for sort in listing.SORTS), ("reward", "asc")])
def test_pages_of_a_list_hold_each_episode_once(site: Site, sort: str, order: str) -> None:
    whole = [row["EpisodeId"] for row in site.json("/episodes", sort=sort, order=order)["Episodes"]]
    assert len(whole) == len(set(whole)) == 13
    paged, following = [], f"/episodes?{urlencode({'sort': sort, 'order': order, 'limit': 5})}"
    while following and len(paged) < len(whole):
        found = json.loads(site.get(f"{following}&format=json")[1])
        paged += [row["EpisodeId"] for row in found["Episodes"]]
        following = found["Next"]
    assert paged == whole


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_the_first_by_reward_are_the_first_of_all(site: Site, order: str) -> None:
    """With very many episodes these are asked for first."""
    with Store.open(Target.resolve(site.dsn)) as store:
        asked = listing._parameters(listing.Filters(sort="reward", order=order), [], active_formula(store))
        whole = store.query_named("page_ids", asked)
        assert store.query_named("page_best", {**asked, "limit": 4}) == whole[:4]
        ids = [row["EpisodeId"] for row in whole]
        assert store.query_named("page_ids", {**asked, "among": ids[2:5]}) == whole[2:5]
        after = {**asked, "after": ids[2], "after_rank": whole[2]["Rank"], "limit": 2}
        assert store.query_named("page_best", after) == whole[3:5]


def test_filters_narrow_the_list(site: Site) -> None:
    def ids(**query: Any) -> set[str]:
        return {row["EpisodeId"] for row in site.json("/episodes", **query)["Episodes"]}

    failed = {f"booking-{number}" for number in (1, 3, 5, 7, 9)}
    assert ids(outcome="failure") == failed
    assert ids(text="book a", tool="cancel") == failed
    assert ids(tag="reviewed") == {"booking-4"}
    assert ids(tag="nightly", tokens=800) == {"booking-8", "booking-9"}
    assert ids(agent="planner") == {FOREIGN}
    assert ids(domain="travel", until="15h") == {f"booking-{number}" for number in range(6)}
    assert ids(text="NOBODY") == {"unscored"} == ids(since="2h")
    assert ids(domain="travel", reward_from="0.5") == {f"booking-{number}" for number in (0, 2, 4, 6, 8)}
    assert ids(cost="0.0001") == {FOREIGN} != ids(cost="5")
    assert site.json("/episodes", sort="cost")["Episodes"][0]["EpisodeId"] == FOREIGN
    assert ids(text="no such words") == set()


def test_days_without_an_episode_are_drawn_too(site: Site) -> None:
    with Store.open(Target.resolve(site.dsn)) as store:
        days = listing.history(store)
    assert sum(day["Episodes"] for day in days) == 12
    assert sum(day["Failures"] for day in days) == 5
    assert [day["Next"] for day in days[:-1]] == [day["Day"] for day in days[1:]]


def test_an_episode_is_found_by_the_beginning_of_its_id(site: Site) -> None:
    assert site.json("/episodes/unsc")["Episode"]["EpisodeId"] == "unscored"
    status, text = site.get("/episodes/booking-", format="json")
    assert (status, "more than one" in json.loads(text)["Problem"]) == (404, True)


def test_spans_of_others_are_in_their_order_with_models_and_tokens(site: Site) -> None:
    found = site.json(episode_path(FOREIGN))
    assert [(span["What"], span.get("Tool") or span.get("Model")) for span in found["Spans"]] == [
        ("step", "lookup"),
        ("model", "gpt-4o"),
    ]
    assert (found["Episode"]["InputTokens"], found["Episode"]["OutputTokens"]) == (120, 30)
    models = site.json("/tools")["Models"]
    assert [(row["Model"], row["Calls"], row["Input"]) for row in models] == [("gpt-4o", 1, 120)]
    assert [day["Calls"] for day in models[0]["Days"]][-2:] in ([1], [0, 1], [1, 0])
    assert models[0]["Cost"] == found["Episode"]["Cost"] > 0


def test_an_episode_says_what_it_earned_and_teaches(site: Site) -> None:
    found = site.json(episode_path("booking-0"))
    assert found["Reward"]["Formula"] == "v2"
    assert found["Reward"]["Base"] == 1
    assert found["Reflection"]["Successes"][0] == "Reached its goal in 4 steps, none of which failed."
    alike = site.json("/alike", episode="booking-1")["Alike"]
    assert [row["EpisodeId"] for row in alike][:2] == ["booking-9", "booking-7"]
    # What the jobs have not seen is like nothing yet.
    assert site.json("/alike", episode="unscored")["Alike"] == []
    points = site.json("/outlook", episode="booking-1")["Outlook"]
    assert [point["After"] for point in points] == [0, 1, 3, 4]
    assert points[0]["Probability"] > points[-1]["Probability"]


def test_what_failed_is_compared_with_the_most_alike_success(site: Site) -> None:
    found = site.json("/compare", left="booking-1", right="booking-0")
    assert [row["How"] for row in found["Rows"]] == ["same", "same", "left", "right", "outcome"]
    assert found["PartsAt"] == 3
    status, text = site.get("/compare", left="booking-1")
    assert (status, b"booking-8" in text) == (200, True)


def test_answers_forbid_what_a_page_does_not_need(site: Site) -> None:
    with urllib.request.urlopen(f"{site.address}/episodes", timeout=30) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert site.get("/static/../web.py")[0] == 404


def _steps(*tools: str) -> list[dict[str, Any]]:
    return [{"Tool": tool[0], "Action": tool, "Kind": "tool_use", "Success": "!" not in tool} for tool in tools]


def test_two_runs_are_aligned_at_the_least_cost() -> None:
    rows = align(_steps("a", "b", "c!", "d"), _steps("a", "b1", "x", "c!", "d"))
    assert [(row["How"], row["Parts"]) for row in rows] == [
        ("same", False),
        ("otherwise", True),
        ("right", False),
        ("same", False),
        ("same", False),
    ]
    assert align([], []) == []
    long = _steps(*["a"] * 1000)
    assert [row["How"] for row in align(long, long[:400])].count("left") == 600


def test_spans_that_lie_in_a_circle_are_shown_all_the_same() -> None:
    nodes = [
        {"SpanId": name, "Above": above, "StartTime": place, "DurationNs": 1}
        for place, (name, above) in enumerate([("a", "b"), ("b", "a"), ("c", ""), ("d", "between"), ("e", "e")])
    ]
    found = list(run._in_order(nodes, {"between": "c"}))
    assert {node["SpanId"]: node["Depth"] for node in found} == {"a": 0, "b": 0, "c": 0, "d": 1, "e": 0}


# --- in a browser ----------------------------------------------------------------------------------------------------

VIEWS = {
    "episodes": "/episodes", "episode": episode_path("booking-1"), "others": episode_path(FOREIGN),
    "hostile": episode_path(_hostile().id), "compare": "/compare?left=booking-1&right=booking-0",
    "hostile beside": f"/compare?{urlencode({'left': _hostile().id, 'right': 'booking-0'})}",
    "alike": "/alike?episode=booking-1", "learned": "/learned", "tools": "/tools", "health": "/health",
    "none": "/episodes/nowhere",
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_readable_and_runs_nothing_that_was_recorded(site: Site, browser: Any, name: str) -> None:
    scheme = "dark" if len(name) % 2 else "light"
    with page_of(browser, site, "/health", color_scheme=scheme) as page:
        if name == "none":
            status, text = site.get(VIEWS[name])
            assert (status, b"No episode" in text) == (404, True)
            return
        page.goto(site.address + VIEWS[name])
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert page.locator("main h1, main h2").first.is_visible()
        assert "run" not in page.title().split(" ")
        assert page.locator("main script, main svg[onload], main b[onload]").count() == 0
        assert page.evaluate("[...document.links].every(link => link.protocol.startsWith('http'))")
        _check_access(page)


def _check_access(page: Any) -> None:
    """Assert that axe finds nothing serious, colours of both themes included."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        answer = axe.Axe().run(page).response
        assert len(answer["passes"]) > 10
        serious = [
            (each["id"], each["nodes"][0]["html"][:200]) for each in answer["violations"] if each["impact"] in SERIOUS
        ]
        assert serious == [], scheme


def expect_rows(page: Any, count: int) -> None:
    """Wait until a page has so many rows; without a script of the test's, which the page's policy refuses."""
    from playwright.sync_api import expect

    expect(page.locator("tbody tr")).to_have_count(count)


def test_search_goes_by_the_address(site: Site, browser: Any) -> None:
    with page_of(browser, site, "/episodes") as page:
        page.keyboard.press("/")
        page.keyboard.type("flight")
        page.keyboard.press("Enter")
        page.wait_for_url("**/episodes?text=flight*")
        expect_rows(page, 10)
        page.get_by_label("Outcome").select_option("failure")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**outcome=failure*")
        expect_rows(page, 5)
        page.get_by_role("link", name="without outcome failure").click()
        expect_rows(page, 10)


def test_the_keyboard_reaches_everything(site: Site, browser: Any) -> None:
    with page_of(browser, site, "/episodes?text=flight") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/episodes/booking-8")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        assert page.locator(".steps details[open]").count() == 1
        page.get_by_role("link", name="Compare with the most alike failure").press("Enter")
        page.wait_for_url("**/compare?left=booking-8&right=*")
        assert page.locator("tr.parts").inner_text().startswith("They part here")


def test_the_theme_is_that_of_the_reader_or_chosen(site: Site, browser: Any) -> None:
    with page_of(browser, site, "/health", color_scheme="dark") as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Theme: auto").click()
        assert page.get_by_role("button", name="Theme: light").is_visible()
        light = page.evaluate(ground)
        page.reload()
        assert (dark, page.evaluate(ground)) == ("rgb(14, 16, 20)", light) == ("rgb(14, 16, 20)", "rgb(255, 255, 255)")


def test_what_is_recorded_appears_by_itself(site: Site, browser: Any) -> None:
    with page_of(browser, site, "/episodes?text=arrives") as page:
        assert page.get_by_text("No episode fits.").is_visible()
        with recording(site.dsn), episode("It arrives", agent="watcher") as running:
            with step("first"):
                pass
            row = page.locator("tr.is-running")
            row.wait_for()
            assert "It arrives" in row.inner_text()
            page.goto(site.address + episode_path(running.id))
            page.locator(".steps li", has_text="first").wait_for()
            with step("second"):
                pass
            page.locator(".steps li", has_text="second").wait_for()
            assert site.get("/handle", episode=running.id) == (200, running.handle.encode())
        page.locator(".over .pill.success").wait_for()
        assert site.get("/handle", episode=running.id) == (200, running.handle.encode())
        assert site.get("/handle", episode=FOREIGN)[0] == 404


def test_the_outlook_is_worked_out_when_it_is_asked_for(site: Site, browser: Any) -> None:
    with page_of(browser, site, episode_path("booking-1")) as page:
        page.get_by_role("link", name="Work it out").click()
        assert "How likely a success was" in str(page.locator("svg.outlook").get_attribute("aria-label"))


def test_a_person_scores_a_run_that_nobody_judged(site: Site, browser: Any) -> None:
    with page_of(browser, site, episode_path("unscored")) as page:
        assert page.locator(".over .pill").inner_text() == "unknown"
        page.get_by_label("Why").fill(HOSTILE)
        page.get_by_role("button", name="Bad").click()
        page.locator(".over .pill.failure").wait_for()
        assert "score" in page.locator(".over").inner_text()
    assert site.json(episode_path("unscored"))["Judgements"][0]["Score"] == 0


def test_a_person_tags_a_run(site: Site, browser: Any) -> None:
    with page_of(browser, site, episode_path("booking-3")) as page:
        page.get_by_label("Tag", exact=True).fill("reviewed")
        page.get_by_role("button", name="Add").click()
        page.get_by_role("link", name="#reviewed").click()
        page.wait_for_url("**/episodes?tag=reviewed")
        assert page.locator("tbody tr").count() == 2
        page.locator("tbody a", has_text=TASK).last.click()
        page.wait_for_url("**/episodes/booking-3")
        page.get_by_role("button", name="Remove the tag nightly").click()
        page.get_by_role("link", name="#nightly").wait_for(state="detached")
    assert {row["EpisodeId"] for row in site.json("/episodes", tag="nightly")["Episodes"]} == {
        f"booking-{number}" for number in range(10) if number not in (3, 4)
    }


def test_a_report_is_one_file_that_loads_and_runs_nothing(site: Site, browser: Any, tmp_path: Path) -> None:
    one, days = tmp_path / "one.html", tmp_path / "days.html"
    assert cli(["report", _hostile().id, "--output", str(one), "--dsn", site.dsn]) == 0
    assert cli(["report", "--since", "7d", "--limit", "3", "-o", str(days), "--dsn", site.dsn]) == 0
    files = Site(f"file://{tmp_path}", site.dsn, [], [])
    with page_of(browser, files, "/one.html") as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert page.locator("script, svg[onload]").count() == 0
        assert page.locator(".steps li").count() == 2
        assert "run" not in page.title().split(" ")
        assert page.evaluate("getComputedStyle(document.querySelector('.top')).display") == "flex"
        _check_access(page)
        page.goto(f"{files.address}/days.html")
        assert page.locator("main > article").count() == 3
        page.locator("tbody a").first.click()
        assert page.url.endswith("#run-1")


def test_a_report_of_nothing_says_what_to_try(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["report", "--since", "1s", "-o", str(tmp_path / "none.html"), "--dsn", site.dsn]) == 1
    assert "no episode began since 1s: try a longer time, --since 30d" in capsys.readouterr().err
    assert cli(["report", "booking-1", "--since", "1d", "--dsn", site.dsn]) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_says_how_to_send_something(migrated: Path, browser: Any, tmp_path: Path) -> None:
    place = tmp_path / "store"
    shutil.copytree(migrated, place, symlinks=True)
    # As `otel-episodes demo` leaves it.
    shutil.copytree(migrated, tmp_path / "home" / "demo", symlinks=True)
    with Store.open(Target.resolve(f"chdb://{tmp_path}/home/demo")) as store:
        store.insert_rows([row for each in _history() for row in rows_of(each)])
    with serving(f"chdb://{place}", "--no-learn", OTEL_EPISODES_HOME=str(tmp_path / "home")) as server:
        empty = Site(server.url, f"chdb://{place}", [], [])
        with page_of(browser, empty, "/episodes") as page:
            tabs = page.get_by_role("tab")
            assert [tab.inner_text() for tab in tabs.all()] == ["Decorate", "Send OTLP", "Import what you have"]
            tabs.first.press("ArrowRight")
            assert f"OTEL_EXPORTER_OTLP_ENDPOINT={server.url}" in page.get_by_role("tabpanel").inner_text()
            _check_access(page)
            page.get_by_role("button", name="Show a demo").click(timeout=120_000)
            page.wait_for_url("**/demo", timeout=120_000)
            assert page.locator("main > article").count() == 10
            assert page.evaluate("getComputedStyle(document.querySelector('.top')).display") == "flex"
        assert empty.json("/episodes")["Episodes"] == []


def test_effects_of_advice_are_drawn_with_their_interval() -> None:
    figures = dict.fromkeys(("UnknownShown", "UnknownHeld", "MoreRuns", "Steps", "FailedSteps", "Tokens"), 0)
    effect = {
        **figures, "Place": "warning", "Item": "", "Domain": LINK, "State": "better", "Shown": 80, "Held": 21,
        "ShownRate": 0.9, "HeldRate": 0.6, "Difference": 0.3, "SequenceLow": 0.1, "SequenceHigh": 0.5,
    }  # fmt: skip
    unknown = {**effect, "State": "not known yet", "MoreRuns": 17}
    skill = {
        "Name": "booking", "Version": 2, "Domain": LINK, "Steps": [HOSTILE], "Avoid": ["cancel"], "Recoveries": [],
        "Runs": 40, "ProposedAt": NOW, "WasAccepted": True, "IsCurrent": False, "IsExpired": False,
    }  # fmt: skip
    found = {"Patterns": dict.fromkeys(("good", "pitfall", "open"), ()), "Weeks": {}, "Skills": [skill]}
    text = drawing.page(
        "learned.html", found={**found, "Effects": [effect, unknown]}, path="/learned", twin="/learned", domain=""
    )
    assert text.count('aria-label="+30 points, between +10 and +50"') == 1
    assert "about 17 runs more" in text
    assert "counted once" in text
    assert "<script>document" not in text
