"""The agent in a terminal, over ssh too: what is said, the calls, the ledger, a line to talk."""
from typing import Any, Callable, Dict, List, Optional

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import DataTable, Footer, Input, RichLog, Static, TabbedContent, TabPane

from async_agent_ros.watch.feed import Row, Snapshot, STAGES, TurnBar
from async_agent_ros.watch.live import HIDDEN_LANES, render_line, STATE_STYLES
from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.watch.view import compact, ONSET_TEXT

PERIOD_S = 0.1
BAR_WIDTH = 24
LATENCY_WIDTH = 60
KIND_STYLES = {'user': 'cyan', 'assistant': 'green', 'call': 'magenta', 'commit': 'magenta',
               'retract': 'red', 'result': 'magenta', 'notification': 'yellow',
               'interrupt': 'bold red', 'system': 'dim', 'end': 'dim'}
STAGE_STYLES = ('cyan', 'blue', 'white', 'yellow', 'red', 'green')
MOST_ROWS = 5000
"""Entries that the table keeps; older ones leave it."""


def render_head(snapshot: Snapshot, namespace: str) -> Text:
    """Return the line about the state."""
    text = Text()
    if not snapshot.alive:
        text.append(f' no agent runs in {namespace} ', style='black on red')
        return text
    text.append(f' {snapshot.state or "?"} ', style=STATE_STYLES.get(
        snapshot.state, 'black on bright_black'))
    text.append(f' {snapshot.state_s:4.0f} s')
    if snapshot.paused:
        text.append('  voice held', style='yellow')
    text.append(f'   {namespace}, session {snapshot.session}, epoch {snapshot.epoch}', style='dim')
    return text


def render_speech(snapshot: Snapshot) -> Text:
    """Return what person and robot say; the heard part of the robot's words is bright."""
    text = Text('person  ', style='cyan').append(snapshot.person or '—', style='bold')
    text.append('\nrobot   ', style='green')
    text.append(snapshot.robot[:snapshot.heard_chars], style='bold green')
    text.append(snapshot.robot[snapshot.heard_chars:] or ('' if snapshot.robot else '—'),
                style='dim')
    return text


def render_bar(progress: float) -> Text:
    """Return a progress bar; without a number when nobody knows."""
    if progress < 0:
        return Text('·' * BAR_WIDTH, style='dim')
    full = round(max(0.0, min(1.0, progress)) * BAR_WIDTH)
    return (Text('█' * full, style='magenta').append('░' * (BAR_WIDTH - full), style='dim')
            .append(f' {progress:4.0%}', style=''))


def render_turns(turns: List[TurnBar]) -> Text:
    """Return the latency of the last answers as bars, newest first."""
    text = Text()
    for (_, name), style in zip(STAGES, STAGE_STYLES):
        text.append('█ ', style=style).append(f'{name}  ')
    longest_s = max((t.response_s for t in turns), default=0.0) or 1.0
    for turn in reversed(turns):
        text.append(f'\n{turn.turn_id:>4} {turn.trigger:<12} {turn.response_s:6.2f} s  ')
        for seconds, style in zip(turn.stages_s, STAGE_STYLES):
            text.append('█' * round(seconds / longest_s * LATENCY_WIDTH), style=style)
        if turn.interrupted:
            text.append(' interrupted', style='red')
        if turn.speculation.made:
            text.append(f' {turn.speculation.text()}', style='dim blue')
    return text


class WatchApp(App):
    """
    Watches and addresses one agent through a link (see AgentLink).

    Plain keys go into the line at the bottom; the others are shown in the footer.
    """

    TITLE = 'async agent'
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; padding: 0 1; }
    #speech { height: 2; padding: 0 1; }
    #calls { height: auto; max-height: 8; }
    #calls.none { display: none; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    RichLog, #ledger { height: 1fr; }
    """
    BINDINGS = [
        Binding('f2', 'interrupt', 'interrupt', priority=True),
        Binding('f3', 'stop', 'STOP all', priority=True),
        Binding('f4', 'cancel_call', 'cancel call', priority=True),
        Binding('f5', 'tab("conversation")', 'conversation', priority=True),
        Binding('f6', 'tab("ledger")', 'ledger', priority=True),
        Binding('f7', 'tab("latency")', 'latency', priority=True),
        Binding('ctrl+c,ctrl+q', 'quit', 'quit', priority=True),
        Binding('pageup', 'page(-1)', 'up', show=False, priority=True),
        Binding('pagedown', 'page(1)', 'down', show=False, priority=True),
    ]

    def __init__(self, link: Any):
        super().__init__()
        self._link = link
        self._start_ns: Optional[int] = None
        self._rows = 0
        self._shown: Dict[Static, Text] = {}

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        yield Static(id='head')
        yield Static(id='speech')
        yield DataTable(id='calls', cursor_type='row', show_header=False, classes='none')
        with TabbedContent(id='tabs'):
            with TabPane('conversation', id='conversation'):
                yield RichLog(id='log', wrap=True)
            with TabPane('ledger', id='ledger_tab'):
                yield DataTable(id='ledger', cursor_type='row')
            with TabPane('latency', id='latency'):
                yield Static(id='turns')
        yield Input(placeholder='say something to the agent', id='text')
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self._calls = self.query_one('#calls', DataTable)
        for name in ('title', 'bar', 'phase', 'seconds', 'feedback'):
            self._calls.add_column(name, key=name)
        self._ledger = self.query_one('#ledger', DataTable)
        self._ledger.add_columns('seq', 's', 'kind', 'instance', 'call', 'name', 'status',
                                 'content')
        self._head = self.query_one('#head', Static)
        self._speech = self.query_one('#speech', Static)
        self._turns = self.query_one('#turns', Static)
        self._log = self.query_one('#log', RichLog)
        self._text = self.query_one('#text', Input)
        self._text.focus()
        self.set_interval(PERIOD_S, self.refresh_view)
        self.refresh_view()

    # -- what is shown ----------------------------------------------------------------------------
    def refresh_view(self) -> None:
        """Show how it stands now."""
        if not self._head.is_attached:
            return    # the timer may come once more while the application ends
        snapshot: Snapshot = self._link.feed.take()
        self._update(self._head, render_head(snapshot, self._link.namespace))
        self._update(self._speech, render_speech(snapshot))
        self._show_lines(snapshot)
        self._show_rows(snapshot)
        self._show_calls(snapshot)
        self._update(self._turns, render_turns(snapshot.turns))

    def _update(self, widget: Static, text: Text) -> None:
        # What has not changed is not sent again: the line may be a slow one.
        if self._shown.get(widget) != text:
            self._shown[widget] = text
            widget.update(text)

    def _show_lines(self, snapshot: Snapshot) -> None:
        for line in snapshot.lines:
            if self._start_ns is None:
                self._start_ns = line.stamp_ns
            if line.lane not in HIDDEN_LANES and line.text != ONSET_TEXT:
                self._log.write(render_line(line, self._start_ns),
                                width=self._log.scrollable_content_region.width or None)

    def _show_rows(self, snapshot: Snapshot) -> None:
        if snapshot.cleared:
            self._ledger.clear()
            self._rows = 0
        at_end = self._ledger.cursor_row >= self._rows - 1
        for row in snapshot.rows[-MOST_ROWS:]:
            self._ledger.add_row(*_cells(row), key=str(row.seq))
        while self._ledger.row_count > MOST_ROWS:
            self._ledger.remove_row(next(iter(self._ledger.rows)))
        self._rows = self._ledger.row_count
        if snapshot.rows and at_end:
            self._ledger.move_cursor(row=self._rows - 1)

    def _show_calls(self, snapshot: Snapshot) -> None:
        running: Dict[str, Any] = {call.call_id: call for call in snapshot.calls}
        for key in [k.value for k in self._calls.rows if k.value not in running]:
            self._calls.remove_row(key)
        known = {key.value for key in self._calls.rows}
        for call_id, call in running.items():
            cells = {
                'title': Text(f'{call_id} {call.name}({compact(call.arguments or {}, 40)})',
                              style='dim' if call.early else ''),
                'bar': render_bar(call.progress),
                'phase': Text('early' if call.early else call.phase),
                'seconds': Text(f'{snapshot.elapsed_s.get(call_id, 0.0):.0f} s'),
                'feedback': Text(compact(call.feedback, 40), style='dim')}
            if call_id not in known:
                self._calls.add_row(*cells.values(), key=call_id)
                continue
            for name, value in cells.items():
                if self._calls.get_cell(call_id, name) != value:
                    self._calls.update_cell(call_id, name, value, update_width=True)
        self._calls.set_class(not running, 'none')

    # -- what is asked ----------------------------------------------------------------------------
    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Say the line."""
        text = event.value.strip()
        if text:
            self._link.say(text)
            event.input.value = ''

    def action_interrupt(self) -> None:
        """Stop voice and answer; work goes on."""
        self._link.interrupt()

    def action_stop(self) -> None:
        """Stop everything."""
        self._link.stop()

    def action_cancel_call(self) -> None:
        """Cancel the call under the cursor: the oldest, unless another was chosen."""
        if self._calls.row_count:
            key = self._calls.coordinate_to_cell_key(self._calls.cursor_coordinate).row_key
            self._link.cancel_call(key.value)

    def action_tab(self, name: str) -> None:
        """Show another tab."""
        self.query_one('#tabs', TabbedContent).active = (
            'ledger_tab' if name == 'ledger' else name)
        self._text.focus()

    def action_page(self, pages: int) -> None:
        """Scroll what the tab shows, while the keyboard stays in the line."""
        active = self.query_one('#tabs', TabbedContent).active
        if active == 'ledger_tab':
            step = max(1, self._ledger.size.height - 2) * pages
            self._ledger.move_cursor(
                row=max(0, min(self._rows - 1, self._ledger.cursor_row + step)))
        elif active == 'conversation':
            log = self._log
            (log.scroll_page_up if pages < 0 else log.scroll_page_down)(animate=False)
            log.auto_scroll = log.scroll_offset.y >= log.max_scroll_y - 1


def _cells(row: Row) -> List[Text]:
    style = 'dim blue' if row.instance == DRAFT else KIND_STYLES.get(row.kind, '')
    return [Text(str(row.seq)), Text(f'{row.seconds:.2f}', style='dim'),
            Text(row.kind, style=style), Text(row.instance, style='dim'), Text(row.call_id),
            Text(row.name), Text(row.status, style='red' if row.status in ('failed', 'lost')
                                 else ''),
            Text(' '.join(row.content.split())[:200], style=style)]


def run_app(make_link: Callable[[], Any]) -> None:
    """Run until it is left, or until SIGTERM; the terminal is as before then."""
    import asyncio
    import signal

    link = make_link()
    app = WatchApp(link)

    async def main():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, app.exit)
        await app.run_async()

    try:
        asyncio.run(main())
    finally:
        link.close()
        link.wait_closed()
