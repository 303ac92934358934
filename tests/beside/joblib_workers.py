"""joblib: processes of loky, to which the functions of a script are sent by value, and threads."""

from beside import check, done, recording
from joblib import Parallel, delayed

from otel_episodes import episode, step, with_context
from otel_episodes.testing import capture_episodes


@step
def double(n):
    return 2 * n


def in_a_worker(n):
    with capture_episodes() as recorded, episode("t"):
        return double(n), len(recorded.steps)


check("a process records", Parallel(n_jobs=2)(delayed(in_a_worker)(n) for n in range(2)) == [(0, 1), (2, 1)])
with recording() as recorded:
    with episode("t") as ep:
        Parallel(n_jobs=2, backend="threading")(delayed(with_context(double))(n) for n in range(4))
    check("threads stay in the episode with with_context", {s.trace_id for s in recorded.steps} == {ep.trace_id})
done("joblib")
