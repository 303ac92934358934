"""LangChain and LangGraph: a decorated function as a tool and as a runnable; an interrupt in a node, and its answer."""

from beside import check, done, recording
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from otel_episodes import episode, step


@step
def look_up(city: str, days: int = 1) -> str:
    """Look up the weather."""
    return f"{city}: sunny for {days}"


@step
def ask(state: dict) -> dict:
    return {"answer": interrupt("May I?")}


with recording() as recorded, episode("t"):
    made = tool(look_up)
    check("its schema is that of the bare function", made.args == tool(look_up.__wrapped__).args)
    check("it runs as a tool", made.invoke({"city": "Bern"}) == "Bern: sunny for 1")
    check("it runs as a runnable", RunnableLambda(look_up).invoke("Bern") == "Bern: sunny for 1")
    check("each call is a step", len(recorded.steps) == 2)
graph = StateGraph(dict)
graph.add_node("ask", ask)
graph.add_edge(START, "ask")
graph.add_edge("ask", END)
app = graph.compile(checkpointer=InMemorySaver())
config = {"configurable": {"thread_id": "1"}}
with recording() as recorded, episode("t"):
    app.invoke({"x": 1}, config)
    app.invoke(Command(resume="yes"), config)
asked, answered = recorded.steps
check("a node that asks a human has not failed", asked.status == "UNSET")
check("whether it worked is not known", asked.attributes["episode.step.success"] == "unknown")
check("the answer is no retry", answered.links == ())
done("langchain-core", "langgraph")
