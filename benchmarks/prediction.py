"""The outlook and the next steps beside models that others use, on the same splits of the same runs.

    uv sync --group bench && python benchmarks/prediction.py [--seeds 10] [--runs FILE ...] [--from-trial 1]

Beside ours: a logistic regression (scikit-learn) on the tool bigrams of a run, as counts and as yes or no, C chosen by
cross-validation within the training part; and an order-2 model of the next tool that backs off to order 1 and 0.
Trials before --from-trial are learned from and the others tested; then folds of tasks, drawn again for each seed, so
that every tested task is new (all trials are judged; with --from-trial 2 and up the tested ones alone). AUC is taken at
the end of a run unless it says half-way. Intervals are a bootstrap over tasks.

A file of runs has one a line (task_id, trial, reward, instruction, messages), or is a list as the authors of the
benchmark publish it (task_id, trial, reward, info.task.instruction, traj).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from table import show as show_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from learning_data import AIRLINE, Episode, airline_episode, rows_of

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOMAIN = "airline"
OURS = ("outlook", "outlook half-way", "usual next step")
RESAMPLES = 1000
FEWEST_RESAMPLES = 200


@dataclass
class Judged:
    """Predictions of one split: per model and episode the probability of success, and which steps it got right."""

    odds: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    places: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def bigrams(tools: Sequence[str], *, ends: bool, counted: bool) -> dict[str, int]:
    """Return the pairs of neighbours, the start and (once it has ended) the end among them."""
    path = ["^", *tools, *(["$"] if ends else [])]
    counts = Counter(f"{a} > {b}" for a, b in pairwise(path))
    return dict(counts) if counted else dict.fromkeys(counts, 1)


def regression(train: Sequence[Episode], test: Sequence[Episode], *, counted: bool, half: bool) -> list[float]:
    """Fit and predict; half-way through it learns from the first halves."""

    def shown(episode: Episode) -> dict[str, int]:
        tools = [tool for tool, _ in episode.steps]
        return bigrams(tools[: (len(tools) + 1) // 2] if half else tools, ends=not half, counted=counted)

    vectorizer = DictVectorizer()
    x = vectorizer.fit_transform([shown(episode) for episode in train])
    y = np.array([won(episode) for episode in train])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegressionCV(Cs=np.logspace(-3, 2, 11), cv=folds, scoring="neg_log_loss", max_iter=2000)
    model.fit(x, y)
    return list(model.predict_proba(vectorizer.transform([shown(episode) for episode in test]))[:, 1])


def back_off(train: Iterable[Episode], test: Iterable[Episode], *, order: int) -> dict[str, list[int]]:
    """Return, per tested episode and step, the place of the tool that came."""
    seen: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for episode in train:
        for past, tool in contexts(episode, order):
            for length in range(order + 1):
                seen[past[:length]][tool] += 1
    return {episode.id: [place(seen, past, tool, order) for past, tool in contexts(episode, order)] for episode in test}


def contexts(episode: Episode, order: int) -> list[tuple[tuple[str, ...], str]]:
    """Return each tool with those before it, the last first."""
    path = ["^"] * order + [tool for tool, _ in episode.steps]
    return [(tuple(path[i - order : i][::-1]), path[i]) for i in range(order, len(path))]


def place(seen: dict[tuple[str, ...], Counter[str]], past: tuple[str, ...], tool: str, order: int) -> int:
    """Return how far down the ranking the tool is; 0 where it is not in it."""
    scores: Counter[str] = Counter()
    for length in range(order + 1):
        total = sum(seen[past[:length]].values())
        scores = Counter({name: score * 1e-4 for name, score in scores.items()}) if total else scores
        for name, count in seen[past[:length]].items():
            scores[name] += count / total  # type: ignore[assignment]  # a counter of shares
    ranked = sorted(scores, key=lambda name: (scores[name], name), reverse=True)
    return ranked.index(tool) + 1 if tool in ranked else 0


def won(episode: Episode) -> int:
    """Tell whether it succeeded."""
    return int(episode.outcome == "success")


def judge(store: Store, episodes: dict[str, Episode], splits: Iterable[dict[str, Any]]) -> Judged:
    """Let every model predict the episodes that each split leaves out."""
    judged = Judged()
    for split in splits:
        rows = store.query_named("evaluate_outlook", split)
        test = [episodes[row["EpisodeId"]] for row in rows]
        names = {episode.id for episode in test}
        train = [episode for name, episode in sorted(episodes.items()) if name not in names]
        for row in rows:
            judged.odds["outlook"][row["EpisodeId"]] = row["Outlook"]
            judged.odds["outlook half-way"][row["EpisodeId"]] = row["HalfOutlook"]
            judged.odds["length"][row["EpisodeId"]] = row["Length"]
            judged.odds["domain's rate"][row["EpisodeId"]] = row["Base"]
        for half in (False, True):
            for counted in (False, True):
                name = f"regression on bigrams, {'counts' if counted else 'yes or no'}{' half-way' if half else ''}"
                odds = regression(train, test, counted=counted, half=half)
                judged.odds[name].update(zip((episode.id for episode in test), odds, strict=True))
        for row in store.query_named("evaluate_next", split):
            judged.places["usual next step"][row["EpisodeId"]].append(row["Place"])
        for order in (1, 2):
            judged.places[f"order-{order} back-off"].update(back_off(train, test, order=order))
    return judged


# --- figures -------------------------------------------------------------------------------------------------------


def figures(
    episodes: dict[str, Episode], seeds: Sequence[Judged]
) -> dict[tuple[str, str], Callable[[Sequence[str]], float]]:
    """Return, by figure and model, what computes it for a sample of episodes, as the mean over the seeds."""
    made: dict[tuple[str, str], Callable[[Sequence[str]], float]] = {}

    def mean_of(measure: Callable[[Judged, Sequence[str]], float]) -> Callable[[Sequence[str]], float]:
        return lambda sample: float(np.mean([measure(judged, sample) for judged in seeds]))

    def truth(sample: Sequence[str]) -> list[int]:
        return [won(episodes[name]) for name in sample]

    for model in seeds[0].odds:
        made["AUC", model] = mean_of(
            lambda judged, sample, m=model: roc_auc_score(truth(sample), [judged.odds[m][name] for name in sample])
        )
        made["Brier", model] = mean_of(
            lambda judged, sample, m=model: float(
                np.mean([(judged.odds[m][name] - won(episodes[name])) ** 2 for name in sample])
            )
        )
    for model in seeds[0].places:
        for top in (1, 3):
            made[f"top-{top}", model] = mean_of(
                lambda judged, sample, m=model, t=top: float(
                    np.mean([1 <= place <= t for name in sample for place in judged.places[m].get(name, [])])
                )
            )
    return made


def report(title: str, episodes: dict[str, Episode], seeds: Sequence[Judged], judged: set[str] | None = None) -> None:
    """Print each figure with its interval, and by how much ours is above it; of those ``judged`` only."""
    tested = sorted(name for name in seeds[0].odds["outlook"] if judged is None or name in judged)
    by_task: dict[str, list[str]] = defaultdict(list)
    for name in tested:
        by_task[episodes[name].task].append(name)
    draw = np.random.default_rng(1)
    tasks = sorted(by_task)
    samples = [
        [name for task in draw.choice(tasks, len(tasks)) for name in by_task[task]]
        for _ in range(max(FEWEST_RESAMPLES, RESAMPLES // len(seeds)))
    ]
    samples = [sample for sample in samples if 0 < sum(won(episodes[name]) for name in sample) < len(sample)]
    made = figures(episodes, seeds)
    drawn = {key: np.array([measure(sample) for sample in samples]) for key, measure in made.items()}
    rows = []
    for (figure, model), measure in made.items():
        ours = next(
            name for name in OURS if (figure, name) in made and name.endswith("half-way") == model.endswith("half-way")
        )
        low, high = np.quantile(drawn[figure, model], (0.025, 0.975))
        row = [figure, model, f"{measure(tested):.3f}", f"{low:.3f} to {high:.3f}"]
        if model not in OURS:
            low, high = np.quantile(drawn[figure, ours] - drawn[figure, model], (0.025, 0.975))
            row += [f"{made[figure, ours](tested) - measure(tested):+.3f}", f"{low:+.3f} to {high:+.3f}"]
        rows.append([*row, "", ""][:6])
    show_table(title, ["figure", "model", "value", "95 %", "ours less this", "95 %"], rows)


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file, in our form or in that of the benchmark's authors."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return [
        {**run, "messages": run["traj"], "instruction": run["info"]["task"]["instruction"]} for run in json.loads(text)
    ]


def compare(store: Store, episodes: dict[str, Episode], later: set[str], seeds: int, *, judged: set[str]) -> None:
    """Print both tables: ``later`` episodes by what the others say, and those ``judged`` by what other tasks say."""
    share = len(later) / len(episodes)
    (cut,) = store.query_named("evaluate_domains", {"domain": DOMAIN, "share": share, "most": 1})
    common = {
        "domain": DOMAIN, "before": cut["Before"], "before_id": cut["BeforeId"], "folds": 5, "keep": 1_000_000,
    }  # fmt: skip
    by_time = judge(store, episodes, [{**common, "split": "time", "fold": 0, "seed": 0}])
    report(
        f"{len(later)} runs of later trials, learned from the {len(episodes) - len(later)} before", episodes, [by_time]
    )
    by_task = [
        judge(store, episodes, [{**common, "split": "task", "fold": fold, "seed": seed} for fold in range(5)])
        for seed in range(seeds)
    ]
    report(f"{len(judged)} runs of new tasks: five folds of tasks, {seeds} times", episodes, by_task, judged)


def main() -> None:
    """Learn from the runs, judge, and print."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", default=[AIRLINE], help="one file or several")
    parser.add_argument("--from-trial", type=int, default=1, help="trials from this one on are tested")
    parser.add_argument("--seeds", type=int, default=10, help="how often folds are drawn")
    options = parser.parse_args()
    runs = [run for path in options.runs for run in read_runs(path)]
    episodes = {episode.id: episode for episode in (airline_episode(run, DOMAIN) for run in runs)}
    later = {airline_episode(run, DOMAIN).id for run in runs if run["trial"] >= options.from_trial}
    if not 0 < len(later) < len(episodes):
        parser.error(f"--from-trial {options.from_trial} tests {len(later)} of {len(episodes)} runs: some, not all")
    with tempfile.TemporaryDirectory() as directory, Store.open(Target.resolve(f"chdb://{directory}/store")) as store:
        store.migrate()
        store.insert_rows([row for episode in episodes.values() for row in rows_of(episode)])
        jobs.run(store, "patterns")
        compare(store, episodes, later, options.seeds, judged=later if options.from_trial > 1 else set(episodes))


if __name__ == "__main__":
    main()
