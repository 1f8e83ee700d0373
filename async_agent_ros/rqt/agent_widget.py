"""The whole window: state, conversation, calls, latency, ledger, and the controls."""
from typing import Any, Callable, Dict, List

from async_agent_ros.rqt.calls_widget import CallsWidget
from async_agent_ros.rqt.latency_widget import LatencyPlot
from async_agent_ros.rqt.ledger_widget import ALL_INSTANCES, LedgerWidget
from async_agent_ros.watch.feed import Snapshot
from async_agent_ros.rqt.qt import QtCore, QtWidgets, Signal
from async_agent_ros.rqt.state_widget import StateWidget

PERIOD_MS = 100
DEFAULT_NAMESPACE = '/agent'


class AgentWidget(QtWidgets.QWidget):
    """
    Watches and addresses the agent of a namespace.

    `make_link(namespace, on_agents=...)` returns an AgentLink. Snapshots are taken by a timer, so
    that the thread of the GUI waits for nobody and a flood of messages is drawn ten times a
    second.
    """

    agents_found = Signal(list)

    def __init__(self, make_link: Callable[..., Any], namespace: str = DEFAULT_NAMESPACE,
                 parent=None):
        super().__init__(parent)
        self.setObjectName('AsyncAgent')
        self.setWindowTitle('Async agent')
        self._make_link = make_link
        self._link = None
        self._build()
        self.agents_found.connect(self._on_agents)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(PERIOD_MS)
        self._timer.timeout.connect(self.refresh)
        self.connect_to(namespace)
        self._timer.start()

    # -- building ---------------------------------------------------------------------------------
    def _build(self):
        self.namespaces = QtWidgets.QComboBox(self)
        self.namespaces.setEditable(True)
        self.namespaces.setToolTip('namespace of the agent; those that are found are listed')
        self.namespaces.setMinimumWidth(160)
        self.namespaces.lineEdit().editingFinished.connect(self._namespace_edited)
        self.namespaces.activated.connect(lambda _: self._namespace_edited())
        self.status = QtWidgets.QLabel(self)
        self.person = _line(self, 'person')
        self.robot = _line(self, 'robot')
        self.text = QtWidgets.QLineEdit(self)
        self.text.setPlaceholderText('say something to the agent')
        self.text.returnPressed.connect(self._say)
        self.say_button = QtWidgets.QPushButton('say', self)
        self.say_button.clicked.connect(self._say)
        self.interrupt_button = QtWidgets.QPushButton('interrupt', self)
        self.interrupt_button.setToolTip('stop voice and answer; the work goes on')
        self.interrupt_button.clicked.connect(lambda: self._link.interrupt())
        self.stop_button = QtWidgets.QPushButton('STOP', self)
        self.stop_button.setToolTip('stop voice, answer and every running call')
        self.stop_button.setStyleSheet(
            'QPushButton:enabled {background: #c0392b; color: white; font-weight: bold}')
        self.stop_button.clicked.connect(lambda: self._link.stop())
        self.state = StateWidget(self)
        self.calls = CallsWidget(self)
        self.calls.cancel_call.connect(lambda call_id: self._link.cancel_call(call_id))
        self.latency = LatencyPlot(self)
        self.ledger = LedgerWidget(self)
        top = QtWidgets.QHBoxLayout()
        for widget, stretch in ((self.namespaces, 0), (self.status, 1)):
            top.addWidget(widget, stretch)
        talk = QtWidgets.QHBoxLayout()
        for widget, stretch in ((self.text, 1), (self.say_button, 0), (self.interrupt_button, 0),
                                (self.stop_button, 0)):
            talk.addWidget(widget, stretch)
        heard = QtWidgets.QGridLayout()
        heard.setColumnStretch(1, 1)
        for row, (name, widget) in enumerate((('person', self.person), ('robot', self.robot))):
            heard.addWidget(QtWidgets.QLabel(name, self), row, 0)
            heard.addWidget(widget, row, 1)
        self.upper = QtWidgets.QSplitter(QtCore.Qt.Horizontal, self)
        for title, widget in (('state', self.state), ('running calls', self.calls),
                              ('latency of the last answers', self.latency)):
            self.upper.addWidget(_box(title, widget))
        self.upper.setSizes([300, 340, 420])
        self.whole = QtWidgets.QSplitter(QtCore.Qt.Vertical, self)
        self.whole.addWidget(self.upper)
        self.whole.addWidget(_box('ledger', self.ledger))
        self.whole.setSizes([300, 340])
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(top)
        layout.addLayout(heard)
        layout.addWidget(self.whole, 1)
        layout.addLayout(talk)
        self.setFocusProxy(self.text)
        self.text.setFocus()

    # -- the agent --------------------------------------------------------------------------------
    @property
    def namespace(self) -> str:
        """The namespace of the agent that is shown."""
        return self._link.namespace if self._link is not None else ''

    def connect_to(self, namespace: str) -> None:
        """Show the agent of another namespace."""
        namespace = '/' + namespace.strip().strip('/')
        if namespace == '/' or namespace == self.namespace:
            self.namespaces.setEditText(self.namespace or DEFAULT_NAMESPACE)
            return
        try:
            link = self._make_link(namespace, on_agents=self.agents_found.emit)
        except Exception as error:    # an impossible name, above all
            self.status.setText(f'{namespace}: {error}'.splitlines()[0])
            return
        if self._link is not None:
            self._link.close()
        self._link = link
        self.namespaces.setEditText(namespace)
        self.ledger.show_rows([], cleared=True)
        self.refresh()

    def _namespace_edited(self):
        self.connect_to(self.namespaces.currentText())

    def _on_agents(self, namespaces: List[str]):
        known = [self.namespaces.itemText(i) for i in range(self.namespaces.count())]
        if namespaces != known and not self.namespaces.lineEdit().hasFocus():
            self.namespaces.blockSignals(True)
            self.namespaces.clear()
            self.namespaces.addItems(namespaces)
            self.namespaces.setEditText(self.namespace)
            self.namespaces.blockSignals(False)

    def _say(self):
        text = self.text.text().strip()
        if text:
            self._link.say(text)
            self.text.clear()

    def refresh(self) -> None:
        """Show how it stands now."""
        snapshot: Snapshot = self._link.feed.take()
        self.state.show_snapshot(snapshot)
        self.calls.show_snapshot(snapshot)
        self.latency.show_turns(snapshot.turns)
        self.ledger.show_rows(snapshot.rows, snapshot.cleared)
        self.person.setText(snapshot.person or '—')
        heard, rest = snapshot.robot[:snapshot.heard_chars], snapshot.robot[snapshot.heard_chars:]
        self.robot.setText(f'{heard}|{rest}' if heard and rest.strip() else snapshot.robot or '—')
        self.status.setText(
            f'session {snapshot.session}, epoch {snapshot.epoch}, {len(self.ledger.model.rows)} '
            'entries' if snapshot.alive else f'no agent runs in {self.namespace}'
            + (f' (last session {snapshot.session})' if snapshot.session else ''))
        self.interrupt_button.setEnabled(snapshot.alive)
        self.stop_button.setEnabled(snapshot.alive)
        self.say_button.setEnabled(snapshot.alive)

    def shut_down(self) -> None:
        """End the connection; the widget shows nothing new after it."""
        self._timer.stop()
        if self._link is not None:
            self._link.close()

    # -- settings ---------------------------------------------------------------------------------
    def settings(self) -> Dict[str, Any]:
        """Return what is to be kept, as values that QSettings takes."""
        return {'namespace': self.namespace, 'hidden_kinds': sorted(self.ledger.hidden_kinds),
                'instance': self.ledger.instances.currentText(),
                'words': self.ledger.search.text(), 'upper': self.upper.saveState(),
                'whole': self.whole.saveState()}

    def restore(self, value: Callable[[str], Any]) -> None:
        """Take over kept settings; value(name) returns None for what was not kept."""
        namespace = value('namespace')
        if namespace:
            self.connect_to(str(namespace))
        hidden = value('hidden_kinds')
        if hidden is not None:
            # QSettings gives a list of one back as a text.
            self.ledger.hidden_kinds = [hidden] if isinstance(hidden, str) else list(hidden)
        self.ledger.search.setText(str(value('words') or ''))
        instance = str(value('instance') or ALL_INSTANCES)
        if self.ledger.instances.findText(instance) < 0:
            self.ledger.instances.addItem(instance)
        self.ledger.instances.setCurrentText(instance)
        for name in ('upper', 'whole'):
            if value(name) is not None:
                getattr(self, name).restoreState(value(name))


def _line(parent, name):
    label = QtWidgets.QLabel('—', parent)
    label.setObjectName(name)
    label.setTextFormat(QtCore.Qt.PlainText)
    label.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
    return label


def _box(title, widget):
    box = QtWidgets.QGroupBox(title)
    layout = QtWidgets.QVBoxLayout(box)
    layout.setContentsMargins(4, 4, 4, 4)
    layout.addWidget(widget)
    return box
