"""A bar chart as a self-contained SVG: groups of bars with intervals, nothing to install."""
from dataclasses import dataclass
from html import escape
import math
from pathlib import Path
from typing import List, Optional, Sequence

from async_agent_ros.bench.common.output import OutputError

COLOURS = ('#9aa5b1', '#5b8def', '#e0a030', '#2f9e6e', '#b06fc4', '#c0504d', '#444444', '#66b2b2')
HEIGHT, LEFT, TOP, BOTTOM = 260, 56, 56, 40
BAR, GAP = 30, 28


@dataclass(frozen=True)
class Bar:
    """A figure of a group, with its interval where there is one."""

    group: str
    name: str
    value: float
    low: Optional[float] = None
    high: Optional[float] = None


def chart(title: str, axis: str, bars: Sequence[Bar]) -> str:
    """Return the SVG of a chart; bars of one name have one colour."""
    groups = list(dict.fromkeys(b.group for b in bars))
    names = list(dict.fromkeys(b.name for b in bars))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    top = max([b.high if b.high is not None else b.value for b in bars], default=1.0) or 1.0
    step = _step(top)
    top = math.ceil(top / step) * step
    width = LEFT + sum(GAP + BAR * sum(b.group == g for b in bars) for g in groups) + GAP

    def y(value: float) -> float:
        return TOP + HEIGHT * (1.0 - value / top)

    lines: List[str] = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + BOTTOM}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(title)}</text>']
    at = LEFT
    for name in names:
        lines.append(f'<rect x="{at}" y="28" width="10" height="10" fill="{colour[name]}"/>'
                     f'<text x="{at + 14}" y="37">{escape(name)}</text>')
        at += 24 + 7 * len(name)
    for tick in range(round(top / step) + 1):
        lines.append(f'<path d="M{LEFT} {y(tick * step):.1f}H{width - GAP}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y(tick * step) + 4:.1f}" text-anchor="end">'
                     f'{tick * step:g}</text>')
    lines.append(f'<text transform="translate(14 {TOP + HEIGHT / 2}) rotate(-90)" '
                 f'text-anchor="middle">{escape(axis)}</text>')
    at = LEFT + GAP
    for group in groups:
        begin = at
        for bar in (b for b in bars if b.group == group):
            lines.append(_bar(bar, at, y, colour[bar.name]))
            at += BAR
        lines.append(f'<text x="{(begin + at) / 2}" y="{TOP + HEIGHT + 20}" text-anchor="middle">'
                     f'{escape(group)}</text>')
        at += GAP
    return '\n'.join([*lines, '</svg>', ''])


def _bar(bar: Bar, at: float, y, colour: str) -> str:
    middle = at + BAR / 2
    drawn = (f'<rect x="{at + 2}" y="{y(bar.value):.1f}" width="{BAR - 4}" '
             f'height="{y(0) - y(bar.value):.1f}" fill="{colour}"/>')
    peak = bar.value
    if bar.low is not None and bar.high is not None:
        peak = bar.high
        drawn += (f'<path d="M{middle} {y(bar.low):.1f}V{y(bar.high):.1f}M{middle - 4} '
                  f'{y(bar.low):.1f}h8M{middle - 4} {y(bar.high):.1f}h8" stroke="black" '
                  'fill="none"/>')
    return drawn + (f'<text x="{middle}" y="{y(peak) - 4:.1f}" text-anchor="middle" '
                    f'font-size="10">{bar.value:.2g}</text>')


def _step(top: float) -> float:
    """Return a distance of ticks that is 1, 2 or 5 times a power of ten."""
    raw = top / 6.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= raw)


def write(path: Path, svg: str) -> None:
    """Write the file; raises OutputError."""
    try:
        Path(path).write_text(svg, encoding='utf-8')
    except OSError as error:
        raise OutputError(f'the plot cannot be written to {path}: {error.strerror}; give --plot '
                          'the path of a file in a folder that can be written') from None
