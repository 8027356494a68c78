"""PURE. A model of readers who leave. It is a model, not a measurement; its parameters are on the command line.

A reader leaves for one of two reasons:

* Nothing is to be seen for longer than the reader's patience. After ``grace`` seconds, a share ``slope`` of all readers
  is lost with each further second. The defaults, 2 s and 5.8 %, are what Krishnan and Sitaraman found for viewers who
  wait for a video to start (Video Stream Quality Impacts Viewer Behavior: Inferring Causality Using Quasi-Experimental
  Designs, IMC 2012, 23 million views of 6.7 million viewers). We read their "5.8 % increase in the abandonment rate" a
  second as points of all viewers. Nah (A study on tolerable waiting time, 2004) found about 2 s to be tolerable for a
  page that answers a search, and longer with feedback. Text is not video.
* Something else: the answer is good enough, the question was wrong, the bus has come. A constant hazard ``distraction``
  per second, as long as the answer is not there, whether one waits or reads. We know no source for its size: 1 % a
  second is our assumption, and the same for each way.

Each reader is drawn once and meets all ways, so that the ways differ by the way alone.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

__all__ = ["Abandonment", "Reader", "readers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandonment:
    """Seconds, and shares per second."""

    grace: float = 2.0
    slope: float = 0.058
    distraction: float = 0.01


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader and the answer that is waiting for them. Seconds from the request."""

    number: int
    ttft: float
    """The model's time to its first token."""
    tokens: int
    tps: float
    patience: float
    """Leaves when nothing was to be seen by then."""
    distracted: float
    """Leaves when the answer is not whole by then."""


def readers(
    count: int,
    model: Abandonment,
    *,
    ttft: tuple[float, float],
    answer: tuple[float, float],
    tps: float,
    seed: int,
) -> list[Reader]:
    """Draw them.

    :param ttft: lowest and highest time to the first token; uniform between them.
    :param answer: lowest and highest length of the whole answer in seconds; uniform between them.
    """
    rand = random.Random(seed)  # noqa: S311 - a model, not a secret
    found = []
    for number in range(count):
        first = rand.uniform(*ttft)
        whole = max(rand.uniform(*answer), first)
        found.append(
            Reader(
                number,
                first,
                max(2, round((whole - first) * tps)),
                tps,
                _patience(model, rand.random()),
                -math.log(1.0 - rand.random()) / model.distraction if model.distraction > 0 else math.inf,
            )
        )
    return found


def _patience(model: Abandonment, share: float) -> float:
    return model.grace + share / model.slope if model.slope > 0 else math.inf
