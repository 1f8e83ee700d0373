"""
Statistics and the rows of a result file.

A row is {"bench", "metric", "workload", "mode", "unit", "n"} and either "value" or "p50", "p95"
and "p99". The unit is in the metric's name too. The first row of a file holds the machine facts.
"""
import math
from typing import Any, Dict, List, Mapping, Sequence

Row = Dict[str, Any]

HEAD = ('bench', 'metric', 'workload', 'mode', 'unit', 'n')
PERCENTILES = (50, 95, 99)
LEAST_EVENTS = 10
"""A share of fewer events says nothing and is not reported."""


class RowError(Exception):
    """A bench returned a row of the wrong form. The message names what is wrong with it."""


def percentile(samples: Sequence[float], percent: float) -> float:
    """
    Return the nearest-rank percentile: always a value that was measured.

    Raises ValueError without samples, or for a percentage outside 0 to 100.
    """
    if not samples:
        raise ValueError('a percentile needs at least one sample')
    if not 0.0 <= percent <= 100.0:
        raise ValueError(f'percent is {percent}: it must be between 0 and 100')
    ordered = sorted(samples)
    return ordered[max(1, math.ceil(percent / 100.0 * len(ordered))) - 1]


def rounded(value: float) -> float:
    """Return the value with four significant digits."""
    return float(f'{value:.4g}')


def distribution(bench: str, metric: str, workload: str, mode: str, unit: str,
                 samples: Sequence[float], **more: Any) -> Row:
    """Return the row of a measured distribution; `more` adds further keys."""
    row = dict(zip(HEAD, (bench, metric, workload, mode, unit, len(samples))))
    row.update({f'p{p}': rounded(percentile(samples, p)) for p in PERCENTILES})
    return {**row, **more}


def single(bench: str, metric: str, workload: str, mode: str, unit: str, n: int,
           value: float, **more: Any) -> Row:
    """Return the row of one figure that comes from `n` events or samples."""
    return {**dict(zip(HEAD, (bench, metric, workload, mode, unit, n))),
            'value': rounded(value), **more}


def is_rate(row: Mapping[str, Any]) -> bool:
    """Return whether the row is a share of events (and not a share of a core)."""
    return (row['metric'].endswith(('_percent', '_rate', '_share'))
            and not row['metric'].endswith('cpu_percent'))


def checked(rows: Sequence[Mapping[str, Any]]) -> List[Row]:
    """
    Return the rows that may be reported: shares of under 10 events are left out.

    Raises RowError for a row of the wrong form.
    """
    kept = []
    for row in rows:
        missing = [key for key in HEAD if key not in row]
        if missing:
            raise RowError(f'the row {dict(row)} lacks {", ".join(missing)}')
        if 'value' not in row and 'p50' not in row:
            raise RowError(f'the row {dict(row)} holds neither value nor p50, p95 and p99')
        if not is_rate(row) or row['n'] >= LEAST_EVENTS:
            kept.append(dict(row))
    return kept
