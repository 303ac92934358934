"""gevent, with everything patched: episodes in greenlets keep apart; with_context carries one into a greenlet."""

from gevent import monkey

monkey.patch_all()
import gevent
from beside import check, done, recording

from otel_episodes import episode, step, with_context


@step
def work(n):
    gevent.sleep(0.001)
    return n


def agent(n):
    with episode(f"agent {n}") as ep:
        work(n)
        work(n)
    return ep.trace_id


with recording() as recorded:
    ids = [greenlet.get() for greenlet in gevent.joinall([gevent.spawn(agent, n) for n in range(3)])]
    check("greenlets keep apart", sorted(s.trace_id for s in recorded.steps) == sorted(ids * 2))
    with episode("t") as ep:
        gevent.joinall([gevent.spawn(with_context(work), 1)])
    check("with_context carries the episode over", recorded.steps[-1].trace_id == ep.trace_id)
    with episode("t"):
        started = gevent.spawn(with_context(work), 1)
        gevent.sleep(0)
        started.kill()
    check("a greenlet that is killed ends its step", len(recorded.steps) == 8)
done("gevent")
