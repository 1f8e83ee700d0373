"""The state machine with its current state, and the last transitions."""
import time
from typing import List

from async_agent_ros.rqt import colours
from async_agent_ros.watch.feed import Snapshot, STATES, Transition
from async_agent_ros.rqt.qt import QtCore, QtGui, QtWidgets

_PLACES = {'idle': (0.0, 0.0), 'listening': (1.0, 0.0), 'generating': (1.0, 1.0),
           'emitting': (0.0, 1.0)}
_EDGES = (('idle', 'listening'), ('listening', 'generating'), ('generating', 'emitting'),
          ('emitting', 'idle'), ('emitting', 'listening'), ('idle', 'generating'))
_BOX = QtCore.QSizeF(104, 34)


class StateDiagram(QtWidgets.QWidget):
    """Draws the four states; the current one is filled, the last transition is thick."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.state, self.seconds, self.note = '', 0.0, ''
        self.last = ('', '')
        self.setMinimumSize(290, 136)

    def show_state(self, snapshot: Snapshot) -> None:
        """Take over what a snapshot says."""
        self.state = snapshot.state if snapshot.alive or snapshot.state else ''
        self.seconds = snapshot.state_s
        self.note = ('' if snapshot.alive else 'no agent') or ('voice held' if snapshot.paused
                                                               else '')
        if snapshot.transitions:
            self.last = (snapshot.transitions[-1].before, snapshot.transitions[-1].after)
        else:
            self.last = ('', '')
        self.update()

    def _box(self, name: str) -> QtCore.QRectF:
        x, y = _PLACES[name]
        left = 6 + x * max(0.0, self.width() - 12 - _BOX.width())
        top = 6 + y * max(0.0, self.height() - 12 - _BOX.height())
        return QtCore.QRectF(QtCore.QPointF(left, top), _BOX)

    def paintEvent(self, event):  # noqa: N802 (Qt's name)
        """Draw everything."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        line = self.palette().color(QtGui.QPalette.Mid)
        for before, after in _EDGES:
            self._arrow(painter, self._box(before), self._box(after), line, 1.2)
        if self.last[0] in _PLACES and self.last[1] in _PLACES:
            self._arrow(painter, self._box(self.last[0]), self._box(self.last[1]),
                        QtGui.QColor(colours.STATE[self.last[1]]), 3.0)
        for name in STATES:
            self._draw_box(painter, name)
        if self.note:
            painter.setPen(QtGui.QColor('#cb4335'))
            painter.drawText(self.rect(), QtCore.Qt.AlignCenter, self.note)

    def _draw_box(self, painter, name):
        box, colour = self._box(name), QtGui.QColor(colours.STATE[name])
        current = name == self.state
        painter.setPen(QtGui.QPen(colour, 2))
        painter.setBrush(colour if current else self.palette().color(QtGui.QPalette.Base))
        painter.drawRoundedRect(box, 8, 8)
        painter.setPen(QtGui.QColor('white') if current
                       else self.palette().color(QtGui.QPalette.Text))
        font = painter.font()
        font.setBold(current)
        painter.setFont(font)
        text = f'{name}\n{self.seconds:.1f} s' if current else name
        painter.drawText(box, QtCore.Qt.AlignCenter, text)

    @staticmethod
    def _arrow(painter, start_box, end_box, colour, width):
        start, end = start_box.center(), end_box.center()
        whole = QtCore.QLineF(start, end)
        if whole.length() < 1:
            return
        # From border to border: cut off what lies in the boxes.
        start = _leave(start_box, whole)
        end = _leave(end_box, QtCore.QLineF(whole.p2(), whole.p1()))
        painter.setPen(QtGui.QPen(colour, width))
        painter.drawLine(start, end)
        head = QtCore.QLineF(end, start)
        head.setLength(9)
        wings = []
        for turn in (25, -25):
            wing = QtCore.QLineF(head)
            wing.setAngle(head.angle() + turn)
            wings.append(wing.p2())
        painter.setBrush(colour)
        painter.drawPolygon(QtGui.QPolygonF([end, *wings]))


def _leave(box: QtCore.QRectF, line: QtCore.QLineF) -> QtCore.QPointF:
    """Return where a line from the centre of a box leaves it."""
    dx, dy = line.dx(), line.dy()
    scale = min(box.width() / 2 / abs(dx) if dx else 1e9, box.height() / 2 / abs(dy) if dy else 1e9)
    return QtCore.QPointF(line.x1() + dx * scale, line.y1() + dy * scale)


class StateWidget(QtWidgets.QWidget):
    """The diagram, and below it the last transitions, newest first."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.diagram = StateDiagram(self)
        self.list = QtWidgets.QListWidget(self)
        self.list.setObjectName('transitions')
        self.list.setFocusPolicy(QtCore.Qt.NoFocus)
        self._shown: List[Transition] = []
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.diagram)
        layout.addWidget(self.list, 1)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the state of a snapshot."""
        self.diagram.show_state(snapshot)
        if snapshot.transitions == self._shown:
            return
        self._shown = snapshot.transitions
        self.list.clear()
        for change in reversed(snapshot.transitions):
            clock = time.strftime('%H:%M:%S', time.localtime(change.stamp_ns / 1e9))
            item = QtWidgets.QListWidgetItem(
                f'{clock}.{change.stamp_ns // 1_000_000 % 1000:03d}  {change.before} → '
                f'{change.after}   after {change.lasted_s:.2f} s')
            item.setForeground(QtGui.QColor(colours.STATE.get(change.after, '#7f8c8d')))
            self.list.addItem(item)
