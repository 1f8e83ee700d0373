"""A Qt application without a screen, or the reason why there is none."""
import os
import time

import pytest

os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')


@pytest.fixture(scope='session')
def app():
    try:
        from async_agent_ros.rqt.qt import QtCore, QtWidgets
    except ImportError as error:
        pytest.skip(f'needs Qt (rqt, or: pip install PyQt5): {error}')
    QtCore.QStandardPaths.setTestModeEnabled(True)
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(['test'])


@pytest.fixture
def until(app):
    """Return a function that lets Qt work until a condition holds, and fails naming it."""
    from async_agent_ros.rqt.qt import QtCore

    def wait(what, condition, timeout_s=30.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f'{what}: not within {timeout_s} s'
            app.processEvents(QtCore.QEventLoop.AllEvents, 20)
            time.sleep(0.005)
    return wait
