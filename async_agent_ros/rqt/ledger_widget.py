"""The live ledger as a table: coloured by kind and instance, filtered by both and by words."""
from typing import List, Set

from async_agent_ros.rqt import colours
from async_agent_ros.watch.feed import KINDS, Row
from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.rqt.qt import QtCore, QtGui, QtWidgets, Signal

COLUMNS = ('seq', 's', 'kind', 'instance', 'call', 'name', 'status', 'content')
_WIDTHS = (48, 64, 92, 70, 44, 110, 84)
ALL_INSTANCES = 'all instances'
NO_DRAFTS = 'all but drafts'


class LedgerModel(QtCore.QAbstractTableModel):
    """The rows, in order of seq."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.rows: List[Row] = []

    def extend(self, rows: List[Row]) -> None:
        """Append rows."""
        if rows:
            first = len(self.rows)
            self.beginInsertRows(QtCore.QModelIndex(), first, first + len(rows) - 1)
            self.rows.extend(rows)
            self.endInsertRows()

    def clear(self) -> None:
        """Forget all rows."""
        self.beginResetModel()
        self.rows.clear()
        self.endResetModel()

    def rowCount(self, parent=QtCore.QModelIndex()):  # noqa: N802, B008 (Qt's name and default)
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent=QtCore.QModelIndex()):  # noqa: N802, B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section, orientation, role=QtCore.Qt.DisplayRole):  # noqa: N802
        """Return the name of a column."""
        if orientation == QtCore.Qt.Horizontal and role == QtCore.Qt.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index, role=QtCore.Qt.DisplayRole):
        """Return text, colour or tooltip of a cell."""
        row = self.rows[index.row()]
        column = COLUMNS[index.column()]
        if role == QtCore.Qt.DisplayRole:
            return _cell(row, column)
        if role == QtCore.Qt.ForegroundRole:
            if row.instance == DRAFT:
                return QtGui.QColor(colours.EARLY)
            if column == 'status' and row.status in colours.STATUS:
                return QtGui.QColor(colours.STATUS[row.status])
            if column in ('kind', 'content') or row.kind in ('user', 'assistant'):
                return QtGui.QColor(colours.KIND.get(row.kind, '#7f8c8d'))
        if role == QtCore.Qt.BackgroundRole and column == 'instance':
            return QtGui.QBrush(colours.instance(row.instance))
        if role == QtCore.Qt.ToolTipRole:
            return f'{row.seq}  {row.kind} {row.call_id} {row.name} {row.status}\n{row.content}'
        return None


def _cell(row: Row, column: str) -> str:
    if column == 's':
        return f'{row.seconds:.2f}'
    if column == 'call':
        return row.call_id
    if column == 'content':
        return ' '.join(row.content.split())[:400]
    return str(getattr(row, column))


class LedgerFilter(QtCore.QSortFilterProxyModel):
    """Shows the rows that match."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.hidden_kinds: Set[str] = set()
        self.instance = ''
        self.words = ''

    def filterAcceptsRow(self, source_row, parent):  # noqa: N802 (Qt's name)
        """Tell whether a row is shown."""
        return self.sourceModel().rows[source_row].matches(
            self.hidden_kinds, self.instance, self.words)


class LedgerWidget(QtWidgets.QWidget):
    """The table with its filters; follows the end unless the person has scrolled up."""

    changed = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.model = LedgerModel(self)
        self.proxy = LedgerFilter(self)
        self.proxy.setSourceModel(self.model)
        self.table = QtWidgets.QTableView(self)
        self.table.setModel(self.proxy)
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self.table.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(20)
        self.table.horizontalHeader().setStretchLastSection(True)
        for column, width in enumerate(_WIDTHS):
            self.table.setColumnWidth(column, width)
        self.kind_buttons = {}
        bar = QtWidgets.QHBoxLayout()
        bar.setSpacing(2)
        for kind in KINDS:
            button = QtWidgets.QToolButton(self)
            button.setText(kind)
            button.setCheckable(True)
            button.setChecked(True)
            button.setAutoRaise(True)
            button.setStyleSheet(f'QToolButton:checked {{color: {colours.KIND[kind]}; '
                                 'font-weight: bold}')
            button.setToolTip(f'show entries of the kind {kind}')
            button.toggled.connect(self._apply)
            self.kind_buttons[kind] = button
            bar.addWidget(button)
        bar.addStretch(1)
        self.instances = QtWidgets.QComboBox(self)
        self.instances.addItem(ALL_INSTANCES)
        self.instances.currentTextChanged.connect(lambda _: self._apply())
        self.search = QtWidgets.QLineEdit(self)
        self.search.setPlaceholderText('filter: words')
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _: self._apply())
        second = QtWidgets.QHBoxLayout()
        second.addWidget(self.instances)
        second.addWidget(self.search, 1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(bar)
        layout.addLayout(second)
        layout.addWidget(self.table, 1)

    def show_rows(self, rows: List[Row], cleared: bool = False) -> None:
        """Append rows; `cleared` when they belong to another session."""
        if cleared:
            self.model.clear()
        if not rows:
            return
        bar = self.table.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 1
        self.model.extend(rows)
        for name in dict.fromkeys(row.instance for row in rows):
            if self.instances.findText(name) < 0:
                if name == DRAFT:
                    self.instances.addItem(NO_DRAFTS)
                self.instances.addItem(name)
        if at_end:
            self.table.scrollToBottom()

    def _apply(self, *_):
        self.proxy.hidden_kinds = self.hidden_kinds
        chosen = self.instances.currentText()
        self.proxy.instance = {ALL_INSTANCES: '', NO_DRAFTS: f'!{DRAFT}'}.get(chosen, chosen)
        self.proxy.words = self.search.text()
        self.proxy.invalidateFilter()
        self.changed.emit()

    @property
    def hidden_kinds(self) -> Set[str]:
        """Kinds whose button is up."""
        return {kind for kind, button in self.kind_buttons.items() if not button.isChecked()}

    @hidden_kinds.setter
    def hidden_kinds(self, kinds) -> None:
        for kind, button in self.kind_buttons.items():
            button.setChecked(kind not in kinds)

    @property
    def shown(self) -> List[int]:
        """The seq of every row that is shown."""
        column = COLUMNS.index('seq')
        return [int(self.proxy.index(row, column).data()) for row in range(self.proxy.rowCount())]
