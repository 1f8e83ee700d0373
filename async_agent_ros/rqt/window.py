"""The same as a window of its own, where rqt is not installed."""
import signal
import sys

from async_agent_ros.rqt.agent_widget import AgentWidget
from async_agent_ros.watch.link import AgentLink
from async_agent_ros.rqt.qt import QtCore, QtWidgets


def run_window(namespace: str = '') -> int:
    """Show the window until it is closed, or until SIGINT or SIGTERM; settings are kept."""
    app = QtWidgets.QApplication(sys.argv[:1])
    links = []

    def make_link(*args, **options):
        links.append(AgentLink(*args, **options))
        return links[-1]

    kept = QtCore.QSettings('async_agent_ros', 'window')
    widget = AgentWidget(make_link, namespace or kept.value('namespace') or '/agent')
    widget.restore(lambda name: None if name == 'namespace' else kept.value(name))
    widget.resize(kept.value('size') or QtCore.QSize(1100, 760))
    for number in (signal.SIGINT, signal.SIGTERM):
        # By a timer: a quit before the loop runs would be forgotten.
        signal.signal(number, lambda *_: QtCore.QTimer.singleShot(0, app.quit))
    widget.show()    # its timer lets Python see the signals
    code = app.exec_()
    for name, value in {**widget.settings(), 'size': widget.size()}.items():
        kept.setValue(name, value)
    kept.sync()
    widget.shut_down()
    for link in links:
        link.wait_closed()
    return code
