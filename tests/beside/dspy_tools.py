"""DSPy: a decorated function as a tool."""

import dspy
from beside import check, done, recording

from otel_episodes import episode, step


def look_up(city: str) -> str:
    """Look up the weather."""
    return city


bare, decorated = dspy.Tool(look_up), dspy.Tool(step(look_up))
check(
    "its schema is that of the bare function",
    (bare.args, bare.desc, bare.name) == (decorated.args, decorated.desc, decorated.name),
)
with recording() as recorded, episode("t"):
    check("it runs", decorated(city="Bern") == "Bern")
check("the call is a step", len(recorded.steps) == 1)
done("dspy")
