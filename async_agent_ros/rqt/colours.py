"""Colours of states, kinds, instances and stages, for light and dark desktops alike."""
from async_agent_ros.rqt.qt import QtGui
from async_agent_ros.watch.speculation import DRAFT

STATE = {'idle': '#7f8c8d', 'listening': '#2e86c1', 'generating': '#d68910',
         'emitting': '#239b56'}
KIND = {'system': '#7f8c8d', 'user': '#2e86c1', 'assistant': '#239b56', 'call': '#8e44ad',
        'commit': '#a569bd', 'retract': '#cb4335', 'result': '#6c3483', 'notification': '#b7950b',
        'interrupt': '#e74c3c', 'fork': '#117a65', 'spawn': '#117a65', 'end': '#909497'}
STATUS = {'failed': '#cb4335', 'lost': '#cb4335', 'cancelled': '#ca6f1e', 'retracted': '#ca6f1e'}
STAGE = ('#5dade2', '#2874a6', '#aab7b8', '#f5b041', '#b9770e', '#52be80')
EARLY = '#85929e'
"""Of what was done on words that were not final."""
_INSTANCES = ('#16a085', '#c0392b', '#2c3e99', '#d35400', '#7d3c98', '#1e8449')


def instance(name: str) -> QtGui.QColor:
    """Return the colour of an agent instance; that of main is transparent."""
    if name == 'main':
        return QtGui.QColor(0, 0, 0, 0)
    colour = QtGui.QColor(EARLY if name == DRAFT else
                          _INSTANCES[sum(map(ord, name)) % len(_INSTANCES)])
    colour.setAlpha(50 if name == DRAFT else 110)
    return colour
