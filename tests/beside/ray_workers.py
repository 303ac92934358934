"""Ray: tasks and actors of a script, whose decorated functions are sent by value, resume an episode by its handle."""

import logging
import tempfile

import ray
from beside import check, done

from otel_episodes import episode, step
from otel_episodes.testing import capture_episodes


@step
def add(x, y):
    return x + y


@ray.remote
def task(handle, n):
    with capture_episodes() as recorded, episode.resume(handle) as ep:
        value = add(n, 1)
        return value, [s.trace_id == ep.trace_id for s in recorded.steps]


@ray.remote
class Worker:
    @step
    def work(self, n):
        return n

    def recorded(self, handle):
        with capture_episodes() as recorded, episode.resume(handle):
            self.work(1)
            return len(recorded.steps)


with tempfile.TemporaryDirectory(dir="/tmp") as folder:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, _temp_dir=folder)
    with capture_episodes(), episode("t") as ep:
        told = ray.get([task.remote(ep.handle, n) for n in range(3)])
    check("each task's step is in the episode", told == [(n + 1, [True]) for n in range(3)])
    with capture_episodes(), episode("t") as ep:
        check("a method of an actor is a step", ray.get(Worker.remote().recorded.remote(ep.handle)) == 1)
    ray.shutdown()
done("ray")
