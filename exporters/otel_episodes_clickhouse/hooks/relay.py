"""What an agent runs on each event: notes the transcript and leaves. The standard library alone, and little of it.

It prints nothing, waits for nobody and never fails: a hook that does would stop the agent.
"""

import json
import os
import sys


def main(arguments: list[str]) -> None:
    """Note the transcript that an event on standard input names, and start what brings it in."""
    event = json.load(sys.stdin)
    transcript = event.get("transcript_path")
    if not isinstance(transcript, str) or not os.path.isfile(transcript):  # noqa: PTH113  # pathlib costs 5 ms
        return
    agent, home, package = arguments
    os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103  # likewise
    note = json.dumps([agent, transcript]) + "\n"
    queue = os.open(os.path.join(home, "queue"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # noqa: PTH118  # likewise
    os.write(queue, note.encode())
    os.close(queue)
    if os.fork() == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        environment = {**os.environ, "PYTHONPATH": package} if package else dict(os.environ)
        os.execve(  # noqa: S606  # this interpreter, with our own module
            sys.executable, [sys.executable, "-m", "otel_episodes_clickhouse.hooks.bring", home], environment
        )


if __name__ == "__main__":
    # The boundary: whatever it is, the agent goes on. contextlib would cost as much as all of the above.
    try:
        main(sys.argv[1:])
    finally:
        os._exit(0)
