"""The window with a real agent: it talks, cancels one call, and outlives a restart of the agent."""
import os
import signal
import subprocess
import sys

from live_agent import LiveAgent
import pytest

pytest.importorskip('async_agent_ros.rqt.qt', exc_type=ImportError,
                    reason='needs Qt: pip install PyQt5, or rqt')

from async_agent_ros.rqt.agent_widget import AgentWidget  # noqa: E402
from async_agent_ros.watch.link import AgentLink  # noqa: E402


class ForgetfulAgent(LiveAgent):
    """Begins a new session with every start of the manager."""

    def _on_entry(self, message):
        if message.session != getattr(self, 'session', message.session):
            self.entries.clear()
        super()._on_entry(message)


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
    with ForgetfulAgent(tmp_path, more=more) as agent:
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


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_window_of_its_own_ends_with_a_signal_and_keeps_its_settings(tmp_path, app, number):
    env = {**os.environ, 'XDG_CONFIG_HOME': str(tmp_path), 'QT_QPA_PLATFORM': 'offscreen'}
    code = ('import sys\n'
            'from async_agent_ros.rqt import window\n'
            'class Shown(window.AgentWidget):\n'
            '    def showEvent(self, event): print("up", flush=True)\n'
            'window.AgentWidget = Shown\n'
            'sys.exit(window.run_window("/robot7/agent"))')
    process = subprocess.Popen([sys.executable, '-c', code], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == 'up\n'
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and 'Traceback' not in errors, errors
    kept = (tmp_path / 'async_agent_ros' / 'window.conf').read_text()
    assert 'namespace=/robot7/agent' in kept


def test_a_link_is_made_without_waiting_and_can_end_at_once():
    import time
    begin = time.monotonic()
    link = AgentLink('/quick/agent')
    link.say('nobody hears this')
    assert link.feed.take().state == ''
    link.close()
    assert time.monotonic() - begin < 5.0
    link.wait_closed(20.0)
    assert not link._thread.is_alive()
    with pytest.raises(ValueError, match='cannot be a namespace'):
        AgentLink('/bad name')
