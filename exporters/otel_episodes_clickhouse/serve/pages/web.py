"""The pages at their addresses: each is HTML for people and, with ``format=json``, the same as JSON."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from otel_episodes import UsageError
from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.learning import marks
from otel_episodes_clickhouse.serve.pages import demo, drawing, health, learned, listing, run, sides, tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from otel_episodes_clickhouse.store.store import Store

    Given = ParamSpec("Given")
    Answer = TypeVar("Answer")
    Handler = Callable[[Request], Awaitable[Response]]

logger = logging.getLogger(__name__)

Row = dict[str, Any]

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MEDIA: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_STATIC: Final = ("page.css", "page.js", "icon.svg")
_MOST_FORM: Final = 10_000
# What there is to choose from, and sums over many steps, need not be of this second.
_CHOICES_SECONDS: Final = 60.0
_SUMS_SECONDS: Final = 15.0
_OLD_SECONDS: Final = 600.0
# What was learned takes the engine a second; the jobs may run more often than that is worth.
_LATELY_SECONDS: Final = 60.0
_USUAL_SINCE: Final = "30d"


class Asking(Protocol):
    """What pages need of the store: see `serve.ask.Ask`."""

    async def do(
        self, function: Callable[Concatenate[Store, Given], Answer], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Answer:
        """Return what a function makes of the store, called in a thread."""
        ...

    async def score(self, episode: str, value: float | str, *, note: str = "", by: str = "human") -> float:
        """Score an episode; see `scores.score`."""
        ...


class Views:
    """The pages of one store."""

    def __init__(self, ask: Asking) -> None:
        self._ask = ask
        # By key: the stamp it was made under, when (time.monotonic), and what it is.
        self._kept: dict[Any, tuple[Any, float, Any]] = {}
        self._demo: asyncio.Future[str] | None = None
        self._renewing: dict[Any, asyncio.Task[Any]] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all pages."""
        found: list[BaseRoute] = [
            Route(path, _guarded(handler), methods=["GET"])
            for path, handler in (
                ("/", self.front), ("/episodes", self.episodes), ("/episodes/{episode:path}", self.episode),
                ("/compare", self.compare), ("/alike", self.alike), ("/outlook", self.outlook),
                ("/handle", self.handle),
                ("/learned", self.learned), ("/learned/{pattern}", self.pattern), ("/tools", self.tools),
                ("/health", self.health), ("/pulse", self.pulse), ("/demo", self.demo),
            )
        ]  # fmt: skip
        found += [
            Route(path, _guarded(handler), methods=["POST"])
            for path, handler in (("/score", self.score), ("/tag", self.tag), ("/demo", self.make_demo))
        ]
        return [*found, Route("/static/{name}", _static, methods=["GET"])]

    async def front(self, _request: Request) -> Response:
        """Send on to the episodes."""
        return RedirectResponse("/episodes", status_code=307, headers=HEADERS)

    async def episodes(self, request: Request) -> Response:
        """List episodes."""
        filters = listing.Filters.of(request.query_params)
        found = await self._ask.do(listing.load, filters)
        following = found["Next"]
        found["Next"] = drawing.address("/episodes", **following.asked()) if following else None
        if _as_json(request):
            return _json(found)
        if not found["Episodes"] and not filters.given and not filters.after:
            return _html("welcome.html", request, endpoint=str(request.base_url).rstrip("/"))
        stamp = int(time.monotonic() / _CHOICES_SECONDS)
        choices = await self._lately("choices", stamp, _OLD_SECONDS, listing.choices)
        history = await self._lately("history", stamp, _OLD_SECONDS, listing.history)
        return _html(
            "episodes.html", request, found=found, filters=filters, choices=choices, history=history,
            outcomes=listing.OUTCOMES,
        )  # fmt: skip

    async def episode(self, request: Request) -> Response:
        """Show one episode; the beginning of its id leads there."""
        asked = request.path_params["episode"]
        first = max(1, listing.whole(request.query_params.get("from", ""), 1))
        found = await self._ask.do(run.load, asked, first)
        if found is None:
            whole = await self._ask.do(run.whole_id, asked)
            if not whole:
                return _missing(request, f"No episode, or more than one, has an id that begins with {asked[:60]}.")
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(drawing.episode_address(whole) + query, status_code=307, headers=HEADERS)
        if _as_json(request):
            return _json(found)
        return _html("episode.html", request, found=found, width=run.WIDTH, page=run.PAGE)

    async def compare(self, request: Request) -> Response:
        """Show two runs side by side; without a second one, the run most like the first that went the other way."""
        left, right = request.query_params.get("left", ""), request.query_params.get("right", "")
        if left and not right:
            right = await self._ask.do(sides.counterpart, left)
            if not right:
                return _missing(request, "No run like this one went the other way, as far as the jobs have seen.")
            return RedirectResponse(drawing.address("/compare", left=left, right=right), 307, headers=HEADERS)
        found = await self._ask.do(sides.load, left, right)
        if found is None:
            return _missing(request, "One of the two episodes is not in this store.")
        return _json(found) if _as_json(request) else _html("compare.html", request, found=found)

    async def alike(self, request: Request) -> Response:
        """Show the runs most like one."""
        episode = request.query_params.get("episode", "")
        rows = await self._ask.do(run.alike, episode)
        return _json({"Alike": rows}) if _as_json(request) else _html("alike.html", request, rows=rows, episode=episode)

    async def handle(self, request: Request) -> Response:
        """Say by which handle somebody goes on with an episode."""
        found = await self._ask.do(run.handle, request.query_params.get("episode", ""))
        if not found:
            return _missing(request, "Only an episode that otel-episodes recorded has a handle.")
        return _json({"Handle": found}) if _as_json(request) else PlainTextResponse(found, headers=HEADERS)

    async def outlook(self, request: Request) -> Response:
        """Show how likely a run was to succeed along it."""
        episode = request.query_params.get("episode", "")
        points = await self._ask.do(run.outlook, episode)
        if _as_json(request):
            return _json({"Outlook": points})
        return _html("outlook.html", request, points=points, episode=episode)

    async def learned(self, request: Request) -> Response:
        """Show what was learned."""
        domain, kind = request.query_params.get("domain", "")[:500], request.query_params.get("type", "")[:40]
        stamp = await self._ask.do(_learned_at)
        found = await self._lately(("learned", domain, kind), stamp, _LATELY_SECONDS, learned.load, domain, kind)
        return _json(found) if _as_json(request) else _html("learned.html", request, found=found, domain=domain)

    async def pattern(self, request: Request) -> Response:
        """Show one pattern and the episodes behind it."""
        stamp, asked = await self._ask.do(_learned_at), request.path_params["pattern"]
        found = await self._keep(("pattern", asked), stamp, learned.one, asked)
        if found is None:
            return _missing(request, f"No pattern, or more than one, has an id that begins with {asked[:60]}.")
        return _json(found) if _as_json(request) else _html("pattern.html", request, pattern=found)

    async def tools(self, request: Request) -> Response:
        """Show tools and models."""
        since = request.query_params.get("since", _USUAL_SINCE)
        try:
            moment = times.since(since)
        except UsageError:
            since, moment = _USUAL_SINCE, times.since(_USUAL_SINCE)
        found = await self._keep(("tools", since), int(time.monotonic() / _SUMS_SECONDS), tools.load, moment)
        return _json(found) if _as_json(request) else _html("tools.html", request, found=found, since=since)

    async def health(self, request: Request) -> Response:
        """Show what arrives, waits, was lost or not understood."""
        seen = await self._keep("findings", int(time.monotonic() / _CHOICES_SECONDS), health.findings_of)
        found = {**await self._ask.do(health.load), **seen}
        return _json(found) if _as_json(request) else _html("health.html", request, found=found)

    async def pulse(self, _request: Request) -> Response:
        """Say when something last arrived, so that a page knows when to look again."""
        return _json(await self._ask.do(_pulse))

    async def score(self, request: Request) -> Response:
        """Score an episode, and go back to it."""
        form = await _form(request)
        episode = form.get("episode", "")
        try:
            await self._ask.score(episode, form.get("value", ""), note=form.get("note", ""))
        except UsageError as error:
            return _problem(request, str(error), 400)
        return RedirectResponse(drawing.episode_address(episode), status_code=303, headers=HEADERS)

    async def tag(self, request: Request) -> Response:
        """Add tags to an episode or take one away, and go back to it."""
        form = await _form(request)
        episode, added, removed = (form.get(name, "") for name in ("episode", "add", "remove"))
        try:
            await self._ask.do(marks.tag, episode, *added.split(), remove=[removed] if removed else [])
        except UsageError as error:
            return _problem(request, str(error), 400)
        return RedirectResponse(drawing.episode_address(episode), status_code=303, headers=HEADERS)

    async def demo(self, _request: Request) -> Response:
        """Show the demo that was asked for."""
        if self._demo is None or not self._demo.done():
            return RedirectResponse("/episodes", status_code=307, headers=HEADERS)
        return HTMLResponse(self._demo.result(), headers=HEADERS)

    async def make_demo(self, _request: Request) -> Response:
        """Make the demo, once, and go there."""
        if self._demo is None or (self._demo.done() and self._demo.exception() is not None):
            self._demo = asyncio.ensure_future(demo.page())
        await asyncio.shield(self._demo)
        return RedirectResponse("/demo", status_code=303, headers=HEADERS)

    async def _keep(
        self,
        key: Any,
        stamp: Any,
        function: Callable[Concatenate[Store, Given], Answer],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Return what a function makes of the store, from before where that was under the same stamp."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != stamp:
            kept = (stamp, time.monotonic(), await self._ask.do(function, *arguments, **named))
            if len(self._kept) > 100:  # noqa: PLR2004  # what is asked for is without end
                self._kept.clear()
            self._kept[key] = kept
        answer: Answer = kept[2]
        return answer

    async def _lately(
        self,
        key: Any,
        stamp: Any,
        seconds: float,
        function: Callable[Concatenate[Store, Given], Answer],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Return the same for what takes long: what was made so lately, while it is made again for who asks next."""
        kept = self._kept.get(key)
        if kept is None or kept[0] == stamp or time.monotonic() - kept[1] > seconds:
            return await self._keep(key, stamp, function, *arguments, **named)
        if key not in self._renewing:
            renewing = asyncio.ensure_future(self._keep(key, stamp, function, *arguments, **named))
            self._renewing[key] = renewing
            renewing.add_done_callback(lambda done: self._renewed(key, done))
        answer: Answer = kept[2]
        return answer

    def _renewed(self, key: Any, done: asyncio.Future[Any]) -> None:
        self._renewing.pop(key, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            # Who asks after a while asks the store again, and is told.
            logger.warning("what was learned could not be read again: %s", error)


def _pulse(store: Store) -> Row:
    return store.query_named("page_pulse")[0]


def _learned_at(store: Store) -> int:
    return int(_pulse(store)["Learned"] or 0)


def _guarded(handler: Handler) -> Handler:
    """Return a handler whose store's errors are pages."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except StoreError as error:
            return _problem(request, str(error), 503)

    return guarded


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once; nothing of one that is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            return {}
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("not found", 404, media_type="text/plain")
    headers = {**HEADERS, "Cache-Control": "max-age=60"}
    return Response(drawing.static(name), media_type=_MEDIA[name.rpartition(".")[2]], headers=headers)


def _as_json(request: Request) -> bool:
    return request.query_params.get("format") == "json"


def _json(value: Row) -> Response:
    return Response(drawing.json_of(value), media_type="application/json", headers=HEADERS)


def _html(template: str, request: Request, status: int = 200, **values: Any) -> Response:
    text = drawing.page(template, path=request.url.path, twin=_twin(request), **values)
    return HTMLResponse(text, status, headers=HEADERS)


def _twin(request: Request) -> str:
    return str(request.url.include_query_params(format="json").replace(scheme="", netloc=""))


def _missing(request: Request, text: str) -> Response:
    return _problem(request, text, 404)


def _problem(request: Request, text: str, status: int) -> Response:
    if _as_json(request):
        return Response(drawing.json_of({"Problem": text}), status, media_type="application/json", headers=HEADERS)
    return _html("problem.html", request, status, text=text)
