"""The latency of the last answers as stacked bars, one colour per stage."""
from typing import List, Optional

from async_agent_ros.rqt import colours
from async_agent_ros.watch.feed import nice_ceiling, STAGES, TurnBar
from async_agent_ros.rqt.qt import QtCore, QtGui, QtWidgets

_LEFT, _BOTTOM, _TOP, _LINE = 52, 18, 6, 16
_WIDEST = 34


class LatencyPlot(QtWidgets.QWidget):
    """Bars from the person's true end of speech (or the trigger) to the first audible sample."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.turns: List[TurnBar] = []
        self.setMinimumSize(240, 150)
        self._legend_lines = 1
        self.setMouseTracking(True)

    def show_turns(self, turns: List[TurnBar]) -> None:
        """Show these answers."""
        if turns != self.turns:
            self.turns = turns
            self.update()

    @property
    def ceiling_s(self) -> float:
        """The upper end of the axis, seconds."""
        return nice_ceiling(max((t.response_s for t in self.turns), default=0.0))

    def _area(self) -> QtCore.QRectF:
        top = _TOP + _LINE * self._legend_lines + 4
        return QtCore.QRectF(_LEFT, top, max(1, self.width() - _LEFT - 6),
                             max(1, self.height() - top - _BOTTOM))

    def _bar(self, index: int) -> QtCore.QRectF:
        area = self._area()
        step = min(_WIDEST, area.width() / max(1, len(self.turns)))
        return QtCore.QRectF(area.left() + index * step + 1, area.top(), max(1.0, step - 2),
                             area.height())

    def turn_at(self, position: QtCore.QPointF) -> Optional[TurnBar]:
        """Return the answer at a position of the widget, if any."""
        for index, turn in enumerate(self.turns):
            if self._bar(index).contains(QtCore.QPointF(position)):
                return turn
        return None

    def event(self, event):
        """Show the stages of the answer under the pointer."""
        if event.type() == QtCore.QEvent.ToolTip:
            turn = self.turn_at(QtCore.QPointF(event.pos()))
            if turn is not None:
                QtWidgets.QToolTip.showText(event.globalPos(), describe(turn), self)
                return True
        return super().event(event)

    def paintEvent(self, event):  # noqa: N802 (Qt's name)
        """Draw everything."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        painter.setFont(font)
        self._legend(painter)
        area, ceiling = self._area(), self.ceiling_s
        text, grid = self.palette().color(QtGui.QPalette.Text), self.palette().color(
            QtGui.QPalette.Midlight)
        for part in range(5):
            y = area.bottom() - area.height() * part / 4
            painter.setPen(grid)
            painter.drawLine(QtCore.QPointF(area.left(), y), QtCore.QPointF(area.right(), y))
            painter.setPen(text)
            painter.drawText(QtCore.QRectF(0, y - 8, _LEFT - 5, 16),
                             QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter,
                             f'{ceiling * part / 4:g} s')
        for index, turn in enumerate(self.turns):
            self._draw_bar(painter, self._bar(index), turn, ceiling, text)

    def _draw_bar(self, painter, box, turn, ceiling, text):
        y = box.bottom()
        painter.setPen(QtCore.Qt.NoPen)
        for seconds, colour in zip(turn.stages_s, colours.STAGE):
            height = box.height() * seconds / ceiling
            painter.setBrush(QtGui.QColor(colour))
            painter.drawRect(QtCore.QRectF(box.left(), y - height, box.width(), height))
            y -= height
        if turn.interrupted:
            painter.setBrush(QtGui.QColor('#e74c3c'))
            painter.drawRect(QtCore.QRectF(box.left(), y - 3, box.width(), 3))
        if turn.speculation.made:    # filled: the answer itself was begun early
            middle = box.center().x()
            painter.setPen(QtGui.QColor(colours.EARLY))
            painter.setBrush(QtGui.QColor(colours.EARLY) if turn.speculation.early
                             else QtCore.Qt.NoBrush)
            painter.drawEllipse(QtCore.QPointF(middle, max(box.top() + 4, y - 7)), 3.0, 3.0)
        painter.setPen(text)
        painter.drawText(QtCore.QRectF(box.left() - 10, box.bottom() + 2, box.width() + 20, 14),
                         QtCore.Qt.AlignCenter, str(turn.turn_id))

    def _legend(self, painter):
        x, line = float(_LEFT), 0
        metrics = painter.fontMetrics()
        for (_, name), colour in zip(STAGES, colours.STAGE):
            width = 12 + metrics.boundingRect(name).width() + 12
            if x + width > self.width() and x > _LEFT:
                x, line = float(_LEFT), line + 1
            top = _TOP + line * _LINE
            painter.fillRect(QtCore.QRectF(x, top, 9, 9), QtGui.QColor(colour))
            painter.setPen(self.palette().color(QtGui.QPalette.Text))
            painter.drawText(QtCore.QPointF(x + 12, top + 9), name)
            x += width
        self._legend_lines = line + 1


def describe(turn: TurnBar) -> str:
    """Return an answer's latency in words."""
    lines = [f'answer {turn.turn_id} to {turn.trigger}: {turn.response_s:.3f} s'
             + (', interrupted' if turn.interrupted else '')]
    lines += [f'{name}: {seconds:.3f} s' for (_, name), seconds in zip(STAGES, turn.stages_s)
              if seconds > 0]
    if turn.speculation.made:
        lines.append(turn.speculation.text())
    return '\n'.join(lines)
