"""Celery: eager tasks; steps in a task, a retry, a handle passed to a task, `@step` below `@app.task`."""

from beside import check, done, recording
from celery import Celery

from otel_episodes import episode, step

app = Celery("beside", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = True


@app.task(bind=True, max_retries=2, default_retry_delay=0)
@step
def fetch(self, url):
    if self.request.retries < 1:
        raise self.retry()
    return url


@app.task
def resumed(handle):
    with episode.resume(handle), step("in the task"):
        return 1


with recording() as recorded, episode("t") as ep:
    check("a task that asks to be tried again has not failed", fetch.delay("/a").get() == "/a")
    check("both tries are steps, and neither failed", [s.status for s in recorded.steps] == ["UNSET"] * 2)
    resumed.delay(ep.handle).get()
    check("a task goes on with an episode by its handle", recorded.steps[-1].trace_id == ep.trace_id)
done("celery")
