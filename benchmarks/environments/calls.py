"""What the simulated environments have in common: tasks, calls with arguments, and what an agent could call next.

An agent that reads nothing proposes every value it has come across for every argument of its sort: ids that begin
alike, and the words of the task for texts. Which tool, with which of these, and when
to stop, is what it has to learn.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ID = re.compile(r"\b[A-Z]{1,3}\d{4,}\b")
# Of a tool with several arguments, so many combinations are thought of.
_MOST_CALLS = 24


@dataclass
class Task:
    """A task: its type is the domain, and its number seeds the world."""

    id: str
    type: str
    number: int
    text: str = ""


@dataclass
class Action:
    """A call."""

    tool: str
    args: dict[str, Any] = field(default_factory=dict)


class World:
    """One task being done. A subclass sets up in `set_up` what is true, and has a method for each tool in `TOOLS`.

    ``TOOLS`` says of each tool which arguments it takes and what they are: how an id begins, or ``text``. A method
    returns what is observed, and whether it worked. ``wrong`` is set by what cannot be undone.
    """

    TYPES: tuple[str, ...] = ()
    TOOLS: dict[str, dict[str, str]] = {}  # noqa: RUF012  # a subclass's own
    budget = 12
    success_at = 1.0

    def __init__(self) -> None:
        self._pool = {
            split: [Task(f"{kind} {split} {number}", kind, number) for kind in self.TYPES for number in range(400)]
            for split in ("train", "test")
        }

    def pool(self, split: str) -> list[Task]:
        """Return the tasks of a split."""
        return self._pool[split]

    def reset(self, task: Task) -> str:
        """Begin a task; return its text."""
        self.draw = random.Random(task.id)
        self.wrong, self.done, self.over = False, set[str](), False
        self.kind, self.texts = task.type, list[str]()
        said = self.set_up(task.type)
        self._ids = list(dict.fromkeys(_ID.findall(said)))
        return said

    def set_up(self, kind: str) -> str:
        """Make up what is true of a task of this kind; return its text, with the words for texts in ``self.texts``."""
        raise NotImplementedError

    def new(self, letter: str) -> str:
        """Return an id that begins like this."""
        return f"{letter}{self.draw.randrange(10_000, 99_999)}"

    def actions(self) -> list[Action]:
        """Return what could be called: every tool, with all that is known."""
        found = []
        for tool, parameters in self.TOOLS.items():
            values = [self._of_sort(kind) for kind in parameters.values()]
            several = [dict(zip(parameters, chosen, strict=True)) for chosen in product(*values)]
            distinct = [args for args in several if len(set(args.values())) == len(args)]
            found += [Action(tool, args) for args in distinct[:_MOST_CALLS]]
        return found

    def _of_sort(self, kind: str) -> list[str]:
        return self.texts if kind == "text" else [known for known in self._ids if known.rstrip("0123456789") == kind]

    def step(self, action: Action) -> tuple[str, bool, bool]:
        """Make a call; return what was observed, whether it worked, and whether the task is over."""
        if action.tool == "finish":
            self.over = True
            return "done", True, True
        call: Callable[..., tuple[str, bool]] = getattr(self, action.tool)
        observed, worked = call(**action.args)
        self._ids += [new for new in _ID.findall(observed) if new not in self._ids]
        return observed, worked, False

    def score(self) -> float:
        """Return 1 if all was done that was asked for, nothing else that matters, and the agent stopped by itself."""
        return float(self.over and not self.wrong and self.done == {"goal"})

    def reach(self, *, right: bool) -> tuple[str, bool]:
        """Note a call that cannot be undone."""
        # Once is what was asked for.
        self.wrong = self.wrong or not right or "goal" in self.done
        self.done.add("goal")
        return "ok", True
