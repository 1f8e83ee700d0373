"""Qt, from rqt's binding where it is installed, else from PyQt5."""
try:
    from python_qt_binding import QtCore, QtGui, QtWidgets
except ImportError:
    from PyQt5 import QtCore, QtGui, QtWidgets

Signal = getattr(QtCore, 'Signal', None) or QtCore.pyqtSignal

__all__ = ['QtCore', 'QtGui', 'QtWidgets', 'Signal']
