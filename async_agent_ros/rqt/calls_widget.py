"""The running calls: progress, feedback, and a button that cancels one."""
from typing import Dict

from async_agent_ros.watch.feed import Snapshot
from async_agent_ros.rqt.qt import QtCore, QtWidgets, Signal
from async_agent_ros.watch.view import Call, compact


class CallRow(QtWidgets.QFrame):
    """One running call."""

    def __init__(self, call: Call, cancel, parent=None):
        super().__init__(parent)
        self.setFrameShape(QtWidgets.QFrame.StyledPanel)
        self.title = QtWidgets.QLabel(self)
        self.title.setTextFormat(QtCore.Qt.PlainText)
        self.detail = QtWidgets.QLabel(self)
        self.detail.setTextFormat(QtCore.Qt.PlainText)
        self.bar = QtWidgets.QProgressBar(self)
        self.bar.setMaximumHeight(16)
        self.button = QtWidgets.QPushButton('cancel', self)
        self.button.setToolTip(f'ask {call.call_id} to stop')
        self.button.clicked.connect(lambda: cancel(call.call_id))
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(6, 3, 6, 3)
        layout.setVerticalSpacing(1)
        layout.addWidget(self.title, 0, 0)
        layout.addWidget(self.bar, 1, 0)
        layout.addWidget(self.detail, 2, 0)
        layout.addWidget(self.button, 0, 1, 3, 1)
        layout.setColumnStretch(0, 1)

    def show_call(self, call: Call, elapsed_s: float) -> None:
        """Show how the call stands."""
        self.title.setText(f'{call.call_id}  {call.name}({compact(call.arguments or {}, 80)})')
        self.title.setEnabled(not call.early)    # pale: nobody has asked for it
        phase = 'early, on words that are not final' if call.early else call.phase
        self.detail.setText(f'{phase}, {elapsed_s:.0f} s'
                            + (f': {compact(call.feedback, 100)}' if call.feedback else ''))
        if call.progress >= 0:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(call.progress * 1000))
        else:    # nobody knows how far it is
            self.bar.setRange(0, 0 if call.phase == 'running' else 1)
        self.button.setEnabled(call.phase != 'cancelling')


class CallsWidget(QtWidgets.QScrollArea):
    """A row per running call, oldest first."""

    cancel_call = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.rows: Dict[str, CallRow] = {}
        inside = QtWidgets.QWidget(self)
        self._layout = QtWidgets.QVBoxLayout(inside)
        self._layout.setContentsMargins(2, 2, 2, 2)
        self.none = QtWidgets.QLabel('no call runs', inside)
        self.none.setEnabled(False)
        self._layout.addWidget(self.none)
        self._layout.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the calls of a snapshot."""
        running = {call.call_id: call for call in snapshot.calls}
        for call_id in [c for c in self.rows if c not in running]:
            row = self.rows.pop(call_id)
            self._layout.removeWidget(row)
            row.deleteLater()
        for call_id, call in running.items():
            row = self.rows.get(call_id)
            if row is None:
                row = self.rows[call_id] = CallRow(call, self.cancel_call.emit, self.widget())
                self._layout.insertWidget(self._layout.count() - 1, row)
            row.show_call(call, snapshot.elapsed_s.get(call_id, 0.0))
        self.none.setVisible(not running)
