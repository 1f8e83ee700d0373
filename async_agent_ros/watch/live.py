"""The run in a terminal: the conversation scrolls, below it stands what is going on now."""
import threading
import time
from typing import Iterable, List, Optional, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from async_agent_ros.watch.plain import LANE_WIDTH
from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.watch.view import AgentView, compact, Line, NS_PER_S, ONSET_TEXT, Segment

REFRESH_HZ = 6
LEDGER_LINES = 4

STATE_STYLES = {'idle': 'black on bright_black', 'listening': 'black on cyan',
                'generating': 'black on yellow', 'emitting': 'black on green'}
LANE_STYLES = {'person': 'bold cyan', 'robot': 'bold green', 'call': 'magenta', 'time': 'dim',
               'interrupt': 'bold red', 'note': 'yellow', 'error': 'bold red', 'state': 'dim',
               'helper': 'blue', DRAFT: 'dim blue'}
HIDDEN_LANES = frozenset(('state', 'tools'))
STATUS_STYLES = {'cancelling': 'yellow', 'running': 'magenta', 'confirming': 'yellow'}


def render_line(line: Line, start_ns: int) -> Text:
    """Return one line of the conversation, coloured by lane."""
    text = Text(f'{max(0, line.stamp_ns - start_ns) / NS_PER_S:7.2f}  ', style='dim')
    style = LANE_STYLES.get(line.lane, '')
    text.append(f'{line.lane:<{LANE_WIDTH}}  ', style=style)
    text.append(line.text, style='' if line.lane in ('person', 'robot') else 'dim')
    return text


def render_speech(segment: Optional[Segment]) -> Text:
    """Return what the robot says: heard words bright, the rest dim."""
    text = Text()
    if segment is None:
        return text.append('—', style='dim')
    text.append(segment.text[:segment.heard_chars], style='bold green')
    text.append(segment.text[segment.heard_chars:].rstrip(), style='dim')
    if segment.state == 'paused':
        text.append('  (held)', style='yellow')
    return text


def render_person(view: AgentView) -> Text:
    """Return what the person says, or said last."""
    last = next(reversed(view.utterances.values()), None)
    if view.person_speaking:
        return Text('● ' + (last.text if last and not last.final else ''), style='bold cyan')
    return Text(last.text if last and last.text else '—', style='dim')


def render_calls(view: AgentView, now_ns: int) -> Optional[Table]:
    """Return the running calls with their progress bars, None when there are none."""
    calls = view.running_calls
    if not calls:
        return None
    table = Table.grid(padding=(0, 1))
    for call in calls:
        progress = call.progress
        bar = ProgressBar(total=1.0, completed=max(progress, 0.0), width=24,
                          pulse=progress < 0 and call.phase == 'running')
        seconds = (now_ns - call.called_ns) / NS_PER_S if call.called_ns else 0.0
        table.add_row(
            Text(f'{call.call_id} {call.name}' + (' (early)' if call.early else ''),
                 style='dim' if call.early else 'magenta'),
            Text(compact(call.arguments or {}, 30), style='dim'), bar,
            Text(f'{progress:4.0%}' if progress >= 0 else ' …  '),
            Text(call.phase, style=STATUS_STYLES.get(call.phase, 'dim')),
            Text(f'{seconds:.0f} s', style='dim'), Text(compact(call.feedback, 40), style='dim'))
    return table


def render_ledger(entries: List[object], width: int) -> Text:
    """Return the last entries of the ledger, one line each."""
    text = Text(style='dim', no_wrap=True, overflow='ellipsis')
    for entry in entries:
        about = ' '.join(part for part in (entry.call_id, entry.name, entry.status) if part)
        content = ' '.join(entry.content.split())
        row = f'{entry.seq:>5} {entry.kind:<12} {about} {content}'
        text.append(row[:max(20, width - 6)] + '\n')
    text.rstrip()
    return text


def render(view: AgentView, now_ns: int, width: int) -> Panel:
    """Return the picture of what is going on now."""
    head = Text(' ')
    head.append(f' {view.state or "no agent yet"} ',
                style=STATE_STYLES.get(view.state, 'black on bright_black'))
    if view.state:
        head.append(f' {(now_ns - view.state_since_ns) / NS_PER_S:5.1f} s', style='dim')
    if view.playback_paused:
        head.append('  voice held', style='yellow')
    head.append(f'   epoch {view.epoch}   {len(view.ledger)} ledger entries', style='dim')
    speech = Table.grid(padding=(0, 1))
    speech.add_column(width=8)
    speech.add_column(ratio=1)
    speech.add_row(Text('person', style='cyan'), render_person(view))
    speech.add_row(Text('robot', style='green'), render_speech(view.playing))
    parts = [head, speech]
    calls = render_calls(view, now_ns)
    if calls is not None:
        parts.append(calls)
    if view.ledger:
        parts.append(render_ledger(view.ledger[-LEDGER_LINES:], width))
    return Panel(Group(*parts), title='async agent', title_align='left', border_style='dim')


class LiveWatch:
    """Shows lines as they come, and below them the view, REFRESH_HZ times a second."""

    def __init__(self, stream: Optional[TextIO] = None):
        self.console = Console(file=stream)
        self._view = AgentView()
        self._lock = threading.Condition()
        self._start_ns: Optional[int] = None
        self._live = Live(console=self.console, get_renderable=self._render,
                          refresh_per_second=REFRESH_HZ, transient=True)

    def __enter__(self):
        self._live.__enter__()
        return self

    def __exit__(self, *exc_info):
        self._live.__exit__(*exc_info)

    def follow(self, view: AgentView, lock: threading.Condition) -> None:
        """Show this view from now on; it is read under its lock."""
        self._view, self._lock = view, lock

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines above the view."""
        for line in lines:
            if self._start_ns is None:
                self._start_ns = line.stamp_ns
            if line.lane not in HIDDEN_LANES and line.text != ONSET_TEXT:
                self.console.print(render_line(line, self._start_ns))

    def tell(self, text: str) -> None:
        """Print a remark that is not part of the conversation."""
        self.console.print(Text(f'-- {text}', style='dim italic'))

    def _render(self):
        with self._lock:
            return render(self._view, time.time_ns(), self.console.width)
