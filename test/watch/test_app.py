"""The terminal application, driven by keys without a terminal and without ROS."""
import asyncio
import threading

import pytest

pytest.importorskip('textual', reason='needs textual: pip install "async_agent_ros[cli]"')

from async_agent_ros.msg import AgentState, LedgerEntry, RunningCall, TurnMetrics  # noqa: E402
from async_agent_ros.watch.app import render_turns, WatchApp  # noqa: E402
from async_agent_ros.watch.feed import Feed  # noqa: E402
from async_agent_ros.watch.view import AgentView  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from textual.widgets import DataTable, RichLog, Static  # noqa: E402


class Link:
    """Stands where an AgentLink would."""

    namespace = '/agent'

    def __init__(self):
        self.view, self.alive, self.asked = AgentView(), True, []
        self.feed = Feed(self.view, threading.Lock(), alive=lambda: self.alive)

    def put(self, topic, message):
        self.feed.on_lines(self.view.apply(topic, message))

    def __getattr__(self, name):
        if name not in ('say', 'interrupt', 'stop', 'cancel_call', 'close'):
            raise AttributeError(name)
        return lambda *args: self.asked.append((name, *args))


def entry(seq, kind, session='s1', **fields):
    return LedgerEntry(session=session, seq=seq, stamp=Time(sec=seq), instance='main', kind=kind,
                       **fields)


def drive(script):
    """Run a coroutine function on a running app."""
    link = Link()

    async def main():
        app = WatchApp(link)
        async with app.run_test(size=(120, 40)) as pilot:
            async def shown():
                app.refresh_view()
                await pilot.pause()
            await script(app, pilot, link, shown)
    asyncio.run(main())


def text_of(app, selector):
    return str(app.query_one(selector, Static).render())


def test_keys_reach_the_agent():
    async def script(app, pilot, link, shown):
        await pilot.press(*'hello', 'space', *'you', 'enter')
        await pilot.press('f2', 'f3', 'f4')
        assert link.asked == [('say', 'hello you'), ('interrupt',), ('stop',)]
        assert app._text.value == ''
    drive(script)


def test_calls_are_shown_and_cancelled():
    async def script(app, pilot, link, shown):
        calls = [RunningCall(call_id=c, name='navigate_to', phase='running', progress=0.5,
                             feedback='3 m left', arguments_json='{}') for c in ('c1', 'c2')]
        link.put('state', AgentState(state='idle', stamp=Time(sec=2), calls=calls))
        await shown()
        table = app.query_one('#calls', DataTable)
        assert table.row_count == 2 and not table.has_class('none')
        assert '50%' in str(table.get_cell('c1', 'bar'))
        await pilot.press('f4')
        assert link.asked == [('cancel_call', 'c1')]
        link.put('ledger', entry(0, 'result', call_id='c1', status='cancelled', content='{}'))
        await shown()
        assert [k.value for k in table.rows] == ['c2']
    drive(script)


def test_ledger_conversation_and_state_follow_the_agent():
    async def script(app, pilot, link, shown):
        link.put('state', AgentState(state='generating', stamp=Time(sec=1), session='s1', epoch=3))
        for seq in range(60):
            link.put('ledger', entry(seq, 'user', name='text', content=f'line {seq}'))
        await shown()
        assert 'generating' in text_of(app, '#head') and 'epoch 3' in text_of(app, '#head')
        assert 'line 59' in text_of(app, '#speech')
        ledger = app.query_one('#ledger', DataTable)
        assert ledger.row_count == 60
        assert len(app.query_one('#log', RichLog).lines) == 60
        await pilot.press('f6')
        await pilot.pause()
        assert ledger.cursor_row == 59
        await pilot.press('pageup')
        await pilot.pause()
        above = ledger.cursor_row
        assert above < 59
        link.put('ledger', entry(60, 'user', content='one more'))
        await shown()
        assert ledger.cursor_row == above, 'it stays where it was scrolled to'
        link.put('ledger', entry(0, 'user', session='s2', content='anew'))
        await shown()
        assert ledger.row_count == 1
        link.alive = False
        await shown()
        assert 'no agent runs in /agent' in text_of(app, '#head')
    drive(script)


def test_latencies_are_drawn():
    async def script(app, pilot, link, shown):
        link.put('metrics', TurnMetrics(
            turn_id=4, trigger='speech', response_s=1.0, end_of_turn_s=0.5, recognition_s=0.5,
            to_generate_s=-1.0, first_token_s=-1.0, first_sentence_s=-1.0, first_audio_s=-1.0,
            interrupted=True, drafts=2, wasted_tokens=14))
        await pilot.press('f7')
        await shown()
        lines = render_turns(link.feed.take().turns).plain.splitlines()
        assert lines[1].startswith('   4 speech         1.00 s  ' + 60 * '█')
        assert lines[1].endswith('interrupted 2 drafts; 14 tokens wasted')
        assert '1.00 s' in text_of(app, '#turns')
    drive(script)
