"""Jupyter: an episode opened in one cell and ended in another, awaits and an error between; a real kernel."""

import nbformat
from beside import check, done
from nbclient import NotebookClient

FIRST = """
from otel_episodes import *
from otel_episodes.testing import capture_episodes
memory = capture_episodes(strict=False)
recorded = memory.__enter__()
@step
def note(n): return n
@step
async def wait(n): return n
ep = episode("notebook").__enter__()
note(1)
"""
LAST = """
ep.__exit__(None, None, None)
print(len(recorded.steps), len({s.trace_id for s in recorded.spans}), len(recorded.episodes))
"""
CELLS = (
    FIRST,
    "note(2)",
    "await wait(3)",
    "import asyncio\nasync def later():\n    note(4)\nawait asyncio.create_task(later())",
    "with step('failing'):\n    raise ValueError('x')",
    "note(5)",
    LAST,
)
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3").execute()
check("six steps of six cells are in one episode", notebook.cells[-1].outputs[-1].get("text") == "6 1 1\n")
done("ipykernel", "nbclient")
