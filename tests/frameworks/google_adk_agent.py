"""Google ADK, which writes spans by itself: usage ``python google_adk_agent.py DSN SCENARIO``."""

from __future__ import annotations

import asyncio
import os
import sys

from google.adk.agents import Agent
from google.adk.models import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import types
from scripted_server import boom, grep, serve

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
os.environ.update(GOOGLE_API_KEY="none", GOOGLE_GEMINI_BASE_URL=serve())


async def main() -> None:
    runner = InMemoryRunner(Agent(name="triage", model=Gemini(model="gemini-2.5-flash"), tools=[grep, boom]))
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="me")
    task = types.Content(role="user", parts=[types.Part(text="find the TODOs")])
    try:
        async for _event in runner.run_async(user_id="me", session_id=session.id, new_message=task):
            pass
    except ValueError as error:
        print(error)


asyncio.run(main())
