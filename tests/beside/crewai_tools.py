"""CrewAI: a decorated function as a tool."""

import os

os.environ["CREWAI_DISABLE_TELEMETRY"] = os.environ["OTEL_SDK_DISABLED"] = "true"
import crewai.tools
from beside import check, done, recording

from otel_episodes import episode, step

del os.environ["OTEL_SDK_DISABLED"]


def look_up(city: str) -> str:
    """Look up the weather."""
    return city


bare, decorated = (crewai.tools.tool("look up")(function) for function in (look_up, step(look_up)))
check(
    "its schema is that of the bare function",
    bare.args_schema.model_json_schema() == decorated.args_schema.model_json_schema(),
)
with recording() as recorded, episode("t"):
    check("it runs", decorated.run(city="Bern") == "Bern")
check("the call is a step", len(recorded.steps) == 1)
done("crewai")
