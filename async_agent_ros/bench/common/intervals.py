"""Confidence intervals by resampling (bootstrap): no assumption about the distribution."""
import random
from typing import Callable, Sequence, Tuple, TypeVar

T = TypeVar('T')
RESAMPLES = 1000


def bootstrap(samples: Sequence[T], statistic: Callable[[Sequence[T]], float], *,
              percent: float = 95.0, resamples: int = RESAMPLES) -> Tuple[float, float]:
    """
    Return the interval that holds `percent` of the statistic over resamples of the samples.

    The same samples always give the same interval. Raises ValueError without samples.
    """
    if not samples:
        raise ValueError('an interval needs at least one sample')
    draw = random.Random(0)
    found = sorted(statistic(draw.choices(samples, k=len(samples))) for _ in range(resamples))
    tail = (100.0 - percent) / 200.0
    return found[int(tail * resamples)], found[min(resamples - 1, int((1.0 - tail) * resamples))]
