"""Shows rows as a table and writes them as JSON."""
import json
from pathlib import Path
from typing import Any, List, Sequence

from async_agent_ros.bench.common.rows import Row

COLUMNS = ('metric', 'workload', 'mode', 'unit', 'n', 'value', 'low', 'high', 'p50', 'p95', 'p99')
_LEFT = ('metric', 'workload', 'mode', 'unit')


class OutputError(Exception):
    """The result cannot be written. The message names the file and the remedy."""


def _cell(value: Any) -> str:
    if value is None:
        return ''
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def cells(rows: Sequence[Row]) -> List[List[str]]:
    """Return the table's lines, a heading first; columns that are empty everywhere are left out."""
    used = [c for c in COLUMNS if any(row.get(c) not in (None, '') for row in rows)]
    return [used, *([_cell(row.get(c)) for c in used] for row in rows)]


def plain_table(rows: Sequence[Row]) -> str:
    """Return the table as plain text."""
    lines = cells(rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return '\n'.join('  '.join(
        cell.ljust(width) if name in _LEFT else cell.rjust(width)
        for cell, width, name in zip(line, widths, lines[0])).rstrip() for line in lines)


def facts_line(machine: Row) -> str:
    """Return the machine facts as a line for people."""
    return (f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
            f"Linux {machine['kernel']}, Python {machine['python']}, ROS {machine['ros_distro']}, "
            f"{machine['rmw']}; async_agent_ros {machine['version']}; {machine['date']}; "
            f"load {machine['load_average'][0]:.1f}")


def show(machine: Row, rows: Sequence[Row]) -> None:
    """Print facts and table: with rich where it is installed, else plain."""
    print(facts_line(machine))
    if not rows:
        print('nothing was measured')
        return
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(plain_table(rows))
        return
    heading, *lines = cells(rows)
    table = Table(box=None, pad_edge=False)
    for name in heading:
        table.add_column(name, justify='left' if name in _LEFT else 'right', no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console()
    # Figures are never cut off: where the terminal is narrow, or there is none, lines run over.
    Console(width=max(console.width, 140)).print(table)


def write_json(path: Path, machine: Row, rows: Sequence[Row]) -> None:
    """Write the machine facts and the rows as one JSON list; raises OutputError."""
    text = json.dumps([machine, *rows], indent=1, ensure_ascii=False) + '\n'
    try:
        Path(path).write_text(text, encoding='utf-8')
    except OSError as error:
        raise OutputError(f'the result cannot be written to {path}: {error.strerror}; give '
                          '--json the path of a file in a folder that can be written') from None
