"""An async agent: three searches at once, one of which fails and is made again, and a sub-agent that writes.

Runs offline, on data of its own: `python examples/async_agent.py`, then `otel-episodes episodes`.
"""

from __future__ import annotations

import asyncio

from otel_episodes import configure, episode, step

SOURCES = {
    "docs": ["A request without a timeout waits for ever.", "Retries wait twice as long each time."],
    "issues": ["#17: it hangs, for no timeout is set."],
    "code": ["client.get(url)  # timeout=None"],
}
busy = {"issues"}  # answers at the second time of asking


@step(action="{source}: {word}")
async def search(source: str, word: str) -> list[str]:
    """Find lines with a word; coroutines are steps like any other function, and may overlap."""
    await asyncio.sleep(0.01)  # where yours waits for the network
    if source in busy:
        busy.remove(source)
        raise ConnectionError(f"{source} is busy")
    return [line for line in SOURCES[source] if word in line]


async def write(question: str, findings: list[str]) -> str:
    """Answer from findings: an agent of its own. Its episode inside of another is linked with it, both ways."""
    async with episode(f"Write up: {question}", agent="writer", task_type="writing") as ep:
        async with step("llm", action="draft the answer") as s:
            answer = f"No timeout is set, so it waits for ever ({len(findings)} sources agree)."
            s.tokens(input=sum(map(len, findings)) // 4, output=len(answer) // 4)
            s.observe(answer)
        ep.succeed("drafted")
        return answer


async def main(question: str) -> None:
    """Search everywhere at once, search again where that failed, hand over to the writer."""
    async with episode(question, agent="researcher", task_type="research", domain="support") as ep:
        found = await asyncio.gather(*(search(source, "timeout") for source in SOURCES), return_exceptions=True)
        failed = [source for source, lines in zip(SOURCES, found, strict=True) if isinstance(lines, BaseException)]
        findings = [line for lines in found if isinstance(lines, list) for line in lines]
        ep.decide("enough to answer?", options=["answer", "ask again"], choice="ask again" if failed else "answer")
        for source in failed:
            findings += await search(source, "timeout")
        async with step("delegate", action="to the writer"):
            ep.succeed(await write(question, findings))


if __name__ == "__main__":
    configure(service_name="examples")
    asyncio.run(main("Why does the client hang?"))
