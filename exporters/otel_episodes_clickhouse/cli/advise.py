"""`otel-episodes advise`, `feedback` and `advice`: what the past says to a run, and what came of saying it."""

from __future__ import annotations

import json as jsons
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.choices import FeedbackVerdict
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.learning import advice as learned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes_clickhouse.advice.advise import Advice
    from otel_episodes_clickhouse.advice.advisor import Call
    from otel_episodes_clickhouse.store.store import Store

_Given = Annotated[str, typer.Argument(metavar="ADVICE", help="Its id, or the beginning of it.")]
_Item = Annotated[str, typer.Argument(metavar="ITEM", help="Its id, or the beginning of it.")]
_By = Annotated[
    str,
    typer.Option(metavar="NAME", help="Who says so; person at a terminal, else agent.", show_default=False),
]
_Reason = Annotated[str, typer.Option(help="Why, in a sentence.")]

advice_app = typer.Typer(help="What advice did, and what is to be told no more.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    options.add(app, advise)
    options.add(app, feedback)
    options.add(advice_app, effects)
    options.add(advice_app, show)
    options.add(advice_app, retire)
    options.add(advice_app, restore)
    options.add(advice_app, hold)
    app.add_typer(advice_app, name="advice")


def advise(  # options
    asked: Annotated[str, typer.Argument(metavar="TASK|EPISODE", help="A task, word for word, or an episode's id.")],
    domain: options.Domain = "",
    tools: Annotated[str, typer.Option(metavar="A,B", help="The tools used so far, in order.")] = "",
    about_to_use: Annotated[
        str, typer.Option(metavar="CALL", help='The call that is next: book, or book {"seat": "7"}.')
    ] = "",
    error: Annotated[str, typer.Option(help="The last of these tools failed, with this error.")] = "",
    budget: Annotated[int, typer.Option(min=20, max=4000, help="At most about so many tokens.")] = 600,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Tell a run what the last ones learned: what is sure, each with its figures.

    Nothing where nothing is sure. What is told is recorded, so that its effect can be seen in
    `advice effects`, and can be answered with `feedback`.

    Examples:
      otel-episodes advise "Cancel order W-4821" --domain retail
      otel-episodes advise 4f1c --about-to-use 'cancel_order {"order": "W-4821"}'
    """
    from otel_episodes_clickhouse.advice.advise import ask  # noqa: PLC0415  # with the SDK

    with reading(dsn) as store:
        run = _run(store, asked, domain, [tool.strip() for tool in tools.split(",") if tool.strip()], error)
        call = _call(about_to_use) if about_to_use else None
        advice = ask(store, run, about_to_use=call, error=error, budget=budget, asked=True, outlook=False)
    brief = advice.brief()
    if json:
        output.json(_for_json(advice, brief))
        return
    output.line(brief or "Nothing is sure enough to be told (otel-episodes jobs run learns what is new)")
    if brief:
        output.note(f"advice {advice.id}: otel-episodes feedback {advice.id} helped|no_effect|harmed")


def feedback(  # options
    advice: _Given,
    verdict: Annotated[FeedbackVerdict, typer.Argument(help="What came of it: helped, no_effect or harmed.")],
    item: Annotated[str, typer.Option(help="Of one item of it: its id, or the beginning.")] = "",
    note: Annotated[str, typer.Option(help="Why, in a sentence.")] = "",
    by: _By = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Say what came of an advice, or of one item of it.

    An item that a person says did harm is not told any more, likewise one of which two others say so.

    Examples:
      otel-episodes feedback 9a3f helped
      otel-episodes feedback 9a3f harmed --item 51c0 --note "the order was paid already"
    """
    from otel_episodes_clickhouse.advice import feedback as feedbacks  # noqa: PLC0415  # with the SDK

    by = by or ("person" if sys.stdin.isatty() else "agent")
    with reading(dsn) as store:
        given = feedbacks.give(store, advice, verdict, item=item, note=note, by=by)
    if json:
        output.json({"AdviceId": given, "Verdict": verdict, "By": by})
    else:
        output.line(f"{given}: {verdict}, says {by}")


def effects(
    domain: options.Domain = "",
    items: Annotated[bool, typer.Option("--items", help="Each item by itself, too.")] = False,
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Tell what advice did: runs that were shown it against runs it was held back from.

    A brief is judged by whether runs succeed, a warning and a recovery by whether they make the
    same failure twice. As of the last `jobs run`. The interval in brackets holds for one look at
    the end; "sure" are the effects that are left however often one looks, and nothing but these
    makes advice better or worse.
    """
    with reading(dsn) as store:
        rows = store.query_named("advice_effects", {"domain": domain, "items": items})
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.line("No run was advised yet: advise() in your agent, or otel-episodes hooks")
        return
    for row in rows:
        output.line(effect_line(row))


def effect_line(row: Mapping[str, Any]) -> str:
    """Return in a sentence what advice did at a place."""
    where = f"{row['Place']}{' in ' + output.one_line(row['Domain']) if row['Domain'] else ''}"
    what = f"{where}, item {row['Item']}" if row["Item"] else where
    if row["State"] == "not measured":
        return f"{what}: not measured, since nothing was held back ({output.plural(row['Shown'], 'run')} shown)"
    silent = (row["UnknownShown"], row["UnknownHeld"])
    unknown = f"; {silent[0]} and {silent[1]} more ended, and nobody said how" if any(silent) else ""
    runs = f"{row['Shown']} runs shown, {row['Held']} not{unknown}"
    if row["State"] == "not known yet":
        return f"{what}: not known yet, about {row['MoreRuns']} runs more ({runs})"
    went = "went well" if row["Place"] == "brief" else "made no failure twice"
    return (
        f"{what}: {row['State']}; {row['ShownRate']:.0%} {went} when shown, {row['HeldRate']:.0%} when not: "
        f"{_points(row['Difference'])} points ({_points(row['Low'])} to {_points(row['High'])}), sure "
        f"{_points(row['SequenceLow'])} to {_points(row['SequenceHigh'])} ({runs})"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.0f}"


def show(identifier: _Given, dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Show an advice: to whom it was given or from whom it was held back, its words, and what was said of it."""
    from otel_episodes_clickhouse.advice import feedback as feedbacks  # noqa: PLC0415  # with the SDK

    with reading(dsn) as store:
        given = feedbacks.find(store, identifier)
        said = feedbacks.said_of(store, given["AdviceId"])
    if json:
        output.json({**given, "Feedback": said})
        return
    output.line(f"advice {given['AdviceId']}, {output.when(given['Time'])}: {given['Place']}, {given['Arm']}")
    output.line(f"episode {given['EpisodeId'] or '-'}: {output.one_line(given['Task'])}")
    for item in given["Items"]:
        output.line(f"item {item}{'' if item in given['Shown'] else ', left out to measure what it does'}")
    output.line(given["Text"])
    for each in said:
        about = f" of item {each['Item']}" if each["Item"] else ""
        output.line(output.one_line(f"{each['Verdict']}{about}, says {each['By']}: {each['Note']}".rstrip(": ")))


def retire(item: _Item, reason: _Reason, by: _By = "", dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Have an item told no more, whatever its figures."""
    _decide(item, "retired", reason, by, dsn, json=json)


def restore(item: _Item, reason: _Reason, by: _By = "", dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Have an item told again that was retired, or of which somebody said that it did harm."""
    _decide(item, "active", reason, by, dsn, json=json)


def hold(
    pushed: Annotated[
        float | None, typer.Option(help="Of advice that nobody asked for: hooks, brief() in code (0.2).")
    ] = None,
    asked: Annotated[float | None, typer.Option(help="Of advice that was asked for (0).")] = None,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Show, or change, from which share of runs advice is held back so that its effect can be measured.

    With 0 no effect is measured. Do not lower it later: runs under two shares say less than under one.
    """
    from otel_episodes_clickhouse.advice import policy  # noqa: PLC0415  # with the package it is for

    with reading(dsn) as store:
        now = policy.of_store(store) if pushed is None is asked else policy.hold(store, pushed=pushed, asked=asked)
    if json:
        output.json({"Policy": now.name, "HeldPushed": now.held_pushed, "HeldAsked": now.held_asked})
        return
    output.line(
        f"held back: {now.held_pushed:.0%} of what nobody asked for, {now.held_asked:.0%} of what was asked for"
    )


def _decide(item: str, state: str, reason: str, by: str, dsn: str | None, *, json: bool) -> None:
    from otel_episodes_clickhouse.advice import feedback as feedbacks  # noqa: PLC0415  # with the SDK

    with reading(dsn) as store:
        whole = feedbacks.decide(store, item, state, reason=reason, by=by or "person")
    if json:
        output.json({"Item": whole, "State": state})
    else:
        output.line(f"{whole}: {state}")


def _run(store: Store, asked: str, domain: str, tools: list[str], error: str) -> dict[str, Any]:
    """Return the run that is asked about: a recorded one by its id, else a task."""
    if not asked.strip():
        raise UsageError("say what is to be done, or name an episode by its id")
    found = store.query_named("find_episodes", {"prefix": asked.strip()}) if len(asked.split()) == 1 else []
    if len(found) == 1:
        run = learned.of_episode(store, found[0]["EpisodeId"], tools) or {}
        return {**run, "ended": False}
    failed = [place == len(tools) and bool(error) for place, _ in enumerate(tools, 1)]
    return {"episode": "", "domain": domain, "task": asked, "tools": tools, "failed": failed, "ended": False}


def _call(text: str) -> Call:
    from otel_episodes_clickhouse.advice.advisor import Call  # noqa: PLC0415  # with the package it is for

    tool, _, arguments = text.strip().partition(" ")
    try:
        given = jsons.loads(arguments) if arguments.strip() else {}
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError(f"--about-to-use {text!r}: use TOOL, or TOOL and a JSON object of its arguments")
    return Call(tool, given)


def _for_json(advice: Advice, brief: str) -> dict[str, Any]:
    kinds = ("similar", "steps", "warnings", "recoveries")
    return {
        "AdviceId": advice.id, "Arm": advice.arm, "Brief": brief, "TaskRate": advice.task_rate,
        "DomainRate": advice.domain_rate,
        "Items": [{key.title(): value for key, value in asdict(item).items()}
                  for kind in kinds for item in getattr(advice, kind)],
    }  # fmt: skip
