"""The widgets, driven without a screen and without ROS."""
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip('async_agent_ros.rqt.qt', exc_type=ImportError,
                    reason='needs Qt: pip install PyQt5, or rqt')

from async_agent_ros.msg import AgentState, LedgerEntry, RunningCall, TurnMetrics  # noqa: E402
from async_agent_ros.rqt.agent_widget import AgentWidget  # noqa: E402
from async_agent_ros.rqt.ledger_widget import COLUMNS  # noqa: E402
from async_agent_ros.watch.feed import Feed  # noqa: E402
from async_agent_ros.rqt.qt import QtCore, QtGui  # noqa: E402
from async_agent_ros.watch.view import AgentView  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402


class Link:
    """Stands where an AgentLink would: a feed, and a note of what was asked."""

    def __init__(self, namespace, on_agents=None):
        self.namespace, self.on_agents = namespace, on_agents
        self.view, self.alive, self.asked = AgentView(), True, []
        self.feed = Feed(self.view, threading.Lock(), alive=lambda: self.alive)

    def put(self, topic, message):
        self.feed.on_lines(self.view.apply(topic, message))

    def __getattr__(self, name):
        if name not in ('say', 'interrupt', 'stop', 'cancel_call', 'close'):
            raise AttributeError(name)
        return lambda *args: self.asked.append((name, *args))


@pytest.fixture
def window(app):
    links = []

    def make(namespace, on_agents=None):
        if 'bad name' in namespace:
            raise ValueError('no such name')
        links.append(Link(namespace, on_agents))
        return links[-1]
    widget = AgentWidget(make)
    widget.resize(1000, 700)
    yield SimpleNamespace(widget=widget, links=links, link=links[0])
    widget.shut_down()


def entry(seq, kind, session='s1', instance='main', **fields):
    return LedgerEntry(session=session, seq=seq, stamp=Time(sec=seq), instance=instance,
                       kind=kind, **fields)


def fill(link):
    for seq, (kind, instance, content) in enumerate((
            ('system', 'main', 'You are a robot.'), ('user', 'main', 'go to the kitchen'),
            ('assistant', 'main', 'On my way.'), ('call', 'helper', '{"arguments": {}}'),
            ('notification', 'main', '{"text": "a door is shut"}'))):
        link.put('ledger', entry(seq, kind, instance=instance, content=content, call_id='c1',
                                 name='navigate_to' if kind == 'call' else ''))


def cell(widget, row, column, role=QtCore.Qt.DisplayRole):
    return widget.ledger.proxy.index(row, COLUMNS.index(column)).data(role)


def test_the_ledger_is_filtered_by_kind_instance_and_words(window):
    fill(window.link)
    window.widget.refresh()
    ledger = window.widget.ledger
    assert ledger.shown == [0, 1, 2, 3, 4]
    ledger.kind_buttons['system'].click()
    assert ledger.shown == [1, 2, 3, 4]
    ledger.instances.setCurrentText('helper')
    assert ledger.shown == [3]
    ledger.instances.setCurrentIndex(0)
    ledger.search.setText('DOOR shut')
    assert ledger.shown == [4]
    ledger.search.clear()
    window.link.put('ledger', entry(5, 'system'))
    window.link.put('ledger', entry(6, 'user'))
    window.widget.refresh()
    assert ledger.shown == [1, 2, 3, 4, 6], 'new rows are filtered too'


def test_kinds_and_instances_have_colours(window):
    fill(window.link)
    window.link.put('ledger', entry(5, 'result', status='failed', content='{"result": null}'))
    window.widget.refresh()
    kinds = [cell(window.widget, row, 'kind', QtCore.Qt.ForegroundRole) for row in range(4)]
    assert all(isinstance(c, QtGui.QColor) for c in kinds) and len({c.name() for c in kinds}) == 4
    backgrounds = [cell(window.widget, row, 'instance', QtCore.Qt.BackgroundRole).color()
                   for row in (0, 3)]
    assert backgrounds[0].alpha() == 0 and backgrounds[1].alpha() > 0
    assert cell(window.widget, 5, 'status', QtCore.Qt.ForegroundRole) is not None
    assert 'a door is shut' in cell(window.widget, 4, 'seq', QtCore.Qt.ToolTipRole)


def test_drafts_are_pale_and_can_be_hidden(window):
    fill(window.link)
    window.link.put('ledger', entry(5, 'call', instance='draft', content='{"arguments": {}}'))
    window.link.put('state', AgentState(state='listening', stamp=Time(sec=5), calls=[RunningCall(
        call_id='s1', name='get_battery', instance='draft', phase='running')]))
    window.widget.refresh()
    ledger = window.widget.ledger
    assert cell(window.widget, 5, 'kind', QtCore.Qt.ForegroundRole).name() == '#85929e'
    ledger.instances.setCurrentText('draft')
    assert ledger.shown == [5]
    ledger.instances.setCurrentText('all but drafts')
    assert ledger.shown == [0, 1, 2, 3, 4]
    row = window.widget.calls.rows['s1']
    assert not row.title.isEnabled() and row.detail.text().startswith('early, on words that')


def test_another_session_empties_the_table(window):
    fill(window.link)
    window.widget.refresh()
    window.link.put('ledger', entry(0, 'user', session='s2', content='hello again'))
    window.widget.refresh()
    assert window.widget.ledger.shown == [0]
    assert 'session s2' in window.widget.status.text()


def test_running_calls_show_progress_and_can_be_cancelled(window):
    call = RunningCall(call_id='c7', name='navigate_to', phase='running', progress=0.4,
                       feedback='3 m left', arguments_json='{"place": "kitchen"}',
                       since=Time(sec=1))
    window.link.put('state', AgentState(state='idle', stamp=Time(sec=4), calls=[call]))
    window.widget.refresh()
    calls = window.widget.calls
    row = calls.rows['c7']
    assert row.bar.value() == 400 and 'place=kitchen' in row.title.text()
    assert row.detail.text() == 'running, 3 s: 3 m left'
    assert calls.none.isHidden()
    row.button.click()
    assert window.link.asked == [('cancel_call', 'c7')]
    call.phase = 'cancelling'
    window.link.put('state', AgentState(state='idle', stamp=Time(sec=5), calls=[call]))
    window.widget.refresh()
    assert not row.button.isEnabled()
    window.link.put('ledger', entry(0, 'result', call_id='c7', status='cancelled',
                                    content='{"result": null}'))
    window.widget.refresh()
    assert calls.rows == {} and not calls.none.isHidden()


def test_the_controls_reach_the_agent(window):
    window.widget.refresh()
    window.widget.text.setText('  hello there ')
    window.widget.text.returnPressed.emit()
    assert window.widget.text.text() == ''
    window.widget.say_button.click()
    window.widget.interrupt_button.click()
    window.widget.stop_button.click()
    assert window.link.asked == [('say', 'hello there'), ('interrupt',), ('stop',)]


def test_the_state_machine_shows_where_it_is(window):
    for second, state in ((1, 'idle'), (2, 'listening'), (5, 'generating')):
        window.link.put('state', AgentState(state=state, stamp=Time(sec=second)))
    window.widget.refresh()
    state = window.widget.state
    assert state.diagram.state == 'generating' and state.diagram.last == ('listening',
                                                                          'generating')
    assert 'listening → generating   after 3.00 s' in state.list.item(0).text()
    assert state.list.count() == 2
    image = window.widget.state.diagram.grab().toImage()
    box = state.diagram._box('generating').toRect()
    inside = {image.pixelColor(box.left() + 8, y).name() for y in range(box.top() + 10,
                                                                        box.bottom() - 10)}
    assert '#d68910' in inside, 'the current state is filled'


def test_latencies_are_drawn_and_explained(window):
    for turn in range(1, 4):
        window.link.put('metrics', TurnMetrics(
            turn_id=turn, trigger='speech', response_s=1.2, end_of_turn_s=0.5, recognition_s=0.2,
            to_generate_s=0.01, first_token_s=0.2, first_sentence_s=0.2, first_audio_s=0.09,
            interrupted=turn == 3, early=turn == 2, drafts=turn - 1))
    window.widget.refresh()
    plot = window.widget.latency
    plot.resize(400, 200)
    assert plot.ceiling_s == 2.0
    image = plot.grab().toImage()
    box = plot._bar(0)
    # 0.5 s end of turn at the bottom of an axis of 2 s.
    low = image.pixelColor(int(box.center().x()), int(box.bottom() - box.height() * 0.1))
    assert low.name() == '#5dade2'
    turn = plot.turn_at(plot._bar(2).center())
    assert turn.turn_id == 3 and turn.interrupted
    from async_agent_ros.rqt.latency_widget import describe
    assert 'answer 3 to speech: 1.200 s, interrupted' in describe(turn)
    early, late = plot._bar(1), plot._bar(0)
    above = int(early.bottom() - early.height() * 0.6 - 7)
    assert image.pixelColor(int(early.center().x()), above).name() == '#85929e'
    assert image.pixelColor(int(late.center().x()), above).name() != '#85929e'
    assert 'answer begun early; 1 draft' in describe(plot.turns[1])


def test_without_an_agent_it_says_so(window):
    window.link.alive = False
    window.widget.refresh()
    assert 'no agent runs in /agent' in window.widget.status.text()
    assert not window.widget.stop_button.isEnabled()
    assert not window.widget.grab().isNull()


def test_another_namespace_is_another_link(window, until):
    window.links[0].on_agents(['/agent', '/robot2/agent'])
    until('names of the agents', lambda: window.widget.namespaces.count() == 2)
    window.widget.connect_to('robot2/agent/')
    assert window.widget.namespace == '/robot2/agent'
    assert window.links[0].asked == [('close',)] and len(window.links) == 2
    window.widget.connect_to('/bad name')
    assert 'no such name' in window.widget.status.text()
    assert window.widget.namespace == '/robot2/agent'


def test_settings_are_kept(window, app, tmp_path):
    window.widget.ledger.kind_buttons['system'].click()
    window.widget.ledger.search.setText('kitchen')
    window.widget.upper.setSizes([100, 200, 600])
    window.widget.connect_to('/other')
    kept = QtCore.QSettings(str(tmp_path / 'kept.ini'), QtCore.QSettings.IniFormat)
    for name, value in window.widget.settings().items():
        kept.setValue(name, value)
    kept.sync()
    again = QtCore.QSettings(str(tmp_path / 'kept.ini'), QtCore.QSettings.IniFormat)
    other = AgentWidget(Link)
    other.restore(again.value)
    assert other.namespace == '/other'
    assert other.ledger.hidden_kinds == {'system'}
    assert other.ledger.search.text() == 'kitchen'
    other.restore(lambda name: None)    # nothing was ever kept
    other.shut_down()


def test_ten_thousand_entries_do_not_hold_up_the_window(window):
    import time
    for seq in range(10_000):
        window.link.put('ledger', entry(seq, 'notification', content='{"text": "x"}'))
    begin = time.monotonic()
    window.widget.refresh()
    first_s = time.monotonic() - begin
    window.link.put('ledger', entry(10_000, 'user', content='hello'))
    begin = time.monotonic()
    window.widget.refresh()
    assert window.widget.ledger.shown[-1] == 10_000
    # Only new rows are handled; the bounds are far off, for busy machines.
    assert time.monotonic() - begin < 3.0 and first_s < 10.0


def test_the_plugin_keeps_to_what_rqt_asks_for(app, monkeypatch, tmp_path):
    """The interface of rqt_gui_py, played by hand where rqt is not installed."""
    import importlib
    import sys
    import types
    import xml.etree.ElementTree as ElementTree
    from pathlib import Path
    try:
        importlib.import_module('rqt_gui_py.plugin')
    except ImportError:
        package, module = types.ModuleType('rqt_gui_py'), types.ModuleType('rqt_gui_py.plugin')

        class Plugin(QtCore.QObject):
            def __init__(self, context):
                super().__init__()
        module.Plugin = Plugin
        monkeypatch.setitem(sys.modules, 'rqt_gui_py', package)
        monkeypatch.setitem(sys.modules, 'rqt_gui_py.plugin', module)
    root = Path(__file__).resolve().parents[2]
    exported = ElementTree.parse(root / 'package.xml').find('export/rqt_gui').get('plugin')
    description = ElementTree.parse(exported.replace('${prefix}', str(root))).getroot()
    module, _, name = description.find('class').get('type').rpartition('.')
    assert description.find('class').get('base_class_type') == 'rqt_gui_py::Plugin'
    loaded = importlib.import_module(module)
    monkeypatch.setattr(loaded, 'AgentLink', Link)
    shown = []
    context = SimpleNamespace(serial_number=lambda: 2, add_widget=shown.append)
    plugin = getattr(loaded, name)(context)
    assert shown == [plugin.widget] and plugin.widget.windowTitle() == 'Async agent (2)'
    kept = QtCore.QSettings(str(tmp_path / 'kept.ini'), QtCore.QSettings.IniFormat)
    instance = SimpleNamespace(set_value=kept.setValue, value=kept.value)
    plugin.save_settings(None, instance)
    plugin.restore_settings(None, instance)
    plugin.shutdown_plugin()
    assert plugin.widget._link.asked == [('close',)]
