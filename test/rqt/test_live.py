"""The window with a real agent: it talks, cancels one call, and outlives a restart of the agent."""
import signal

from live_agent import LiveAgent
import pytest

pytest.importorskip('async_agent_ros.rqt.qt', exc_type=ImportError,
                    reason='needs Qt: pip install PyQt5, or rqt')

from async_agent_ros.rqt.agent_widget import AgentWidget  # noqa: E402
from async_agent_ros.rqt.link import AgentLink  # noqa: E402


@pytest.fixture
def window(app, monkeypatch):
    """Return a function that opens a window in a ROS domain."""
    opened, links = [], []

    def make_link(*args, **options):
        links.append(AgentLink(*args, **options))
        return links[-1]

    def open_window(domain):
        monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
        opened.append(AgentWidget(make_link))
        return opened[-1]
    yield open_window
    for widget in opened:
        widget.shut_down()
    for link in links:
        link.wait_closed()
        assert not link._thread.is_alive()


def has(widget, kind, words=''):
    return any(r.kind == kind and words in r.content for r in widget.ledger.model.rows)


def say(widget, text):
    widget.text.setText(text)
    widget.say_button.click()


def test_the_window_talks_cancels_and_outlives_a_restart(tmp_path, window, until):
    more = {'sim_robot': {'speed': 0.2}, 'dialog_manager': {'resume': 'never'}}
    with LiveAgent(tmp_path, more=more) as agent:
        agent.wait_ready()
        widget = window(agent.domain)
        until('agent in the window', lambda: widget.say_button.isEnabled()
              and has(widget, 'system', 'navigate_to'))
        say(widget, 'drive to the bedroom')
        until('the call', lambda: widget.calls.rows)
        until('its progress', lambda: 'm left' in widget.calls.rows['c1'].detail.text())
        widget.calls.rows['c1'].button.click()
        until('the end of the call', lambda: not widget.calls.rows)
        row = next(r for r in widget.ledger.model.rows if r.kind == 'result')
        assert row.status == 'cancelled'
        until('idle', lambda: widget.state.diagram.state == 'idle')
        assert widget.state.list.count() >= 2
        # A late window gets the whole ledger.
        seqs = [r.seq for r in widget.ledger.model.rows]
        assert seqs == list(range(len(seqs)))
        session = widget.status.text()
        pid = agent.supervisor.kill('dialog_manager', signal.SIGKILL)
        agent.supervisor.wait_for_new_pid('dialog_manager', pid, timeout_s=20.0)
        until('the new session', lambda: widget.say_button.isEnabled()
              and widget.status.text() != session and 'session' in widget.status.text()
              and has(widget, 'system', 'navigate_to') and not has(widget, 'user'))
        say(widget, 'hello')
        until('an answer after the restart', lambda: has(widget, 'assistant', 'Hello'))
        seqs = [r.seq for r in widget.ledger.model.rows]
        assert seqs == list(range(len(seqs)))
