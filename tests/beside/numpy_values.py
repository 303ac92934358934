"""NumPy: scalars as arguments, results, observations, rewards and counts; an array by its shape."""

import numpy as np
from beside import check, done, recording

from otel_episodes import episode, step


@step(success=lambda score: score > 0.9)
def evaluate(weights):
    return np.float64(0.5)


with recording() as recorded, episode("t") as ep:
    evaluate(np.zeros((3, 4)))
    with step("train") as s:
        s.observe({"loss": np.float32(0.25)})
        s.tokens(input=np.int64(3))
    ep.reward(np.float64(0.75))
first, second = (s.attributes for s in recorded.steps)
check("a judge is asked", recorded.steps[0].status == "ERROR")
check("an array is told by its shape", "(3, 4)" in str(first))
check("a scalar in an observation is a number", '{"loss": 0.25}' in second.values())
check(
    "counts and scores of its types are taken",
    (second["episode.step.tokens.input"], recorded.episodes[0].attributes["episode.reward"]) == (3, 0.75),
)
done("numpy")
