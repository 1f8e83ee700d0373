"""The layout for Foxglove names topics and fields that there are, and every panel is placed."""
import json
from pathlib import Path

from async_agent_ros.record.topics import absolute, message_class, TOPICS
import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = json.loads((ROOT / 'config' / 'foxglove_layout.json').read_text())
TYPES = {absolute(t.name, '/agent'): message_class(t.msgtype) for t in TOPICS}


def paths():
    for panel, config in LAYOUT['configById'].items():
        for each in config.get('paths', ()):
            yield panel, each['value']
        for key in ('topicPath', 'topicName', 'topicToRender'):
            if config.get(key):
                yield panel, config[key]


@pytest.mark.parametrize('panel, path', list(paths()), ids=lambda value: str(value))
def test_paths_exist(panel, path):
    topic, _, field = path.partition('.')
    assert topic in TYPES
    if field:
        assert field in TYPES[topic].get_fields_and_field_types()
    if panel.startswith('Plot'):
        kind = TYPES[topic].get_fields_and_field_types()[field]
        assert kind.startswith(('float', 'double', 'uint', 'int')), 'a plot needs numbers'


def test_what_is_published_fits_its_type():
    for config in LAYOUT['configById'].values():
        if 'datatype' in config:
            message = message_class(config['datatype'])(**json.loads(config['value']))
            assert isinstance(message, TYPES[config['topicName']])


def test_every_panel_is_placed_once_and_is_one_of_foxglove():
    placed = []

    def walk(node):
        if isinstance(node, str):
            placed.append(node)
        else:
            walk(node['first'])
            walk(node['second'])
    walk(LAYOUT['layout'])
    assert sorted(placed) == sorted(LAYOUT['configById'])
    assert {p.split('!')[0] for p in placed} == {
        'StateTransitions', 'Plot', 'RawMessages', 'RosOut', 'DiagnosticSummary', 'Publish'}


def test_all_numbers_of_the_metrics_can_be_plotted():
    from async_agent_ros.msg import TurnMetrics
    kinds = TurnMetrics.get_fields_and_field_types()
    page = (ROOT / 'docs' / 'rqt.md').read_text()
    for name, kind in kinds.items():
        if kind in ('float', 'uint32'):
            assert f'`{name}`' in page, f'{name} is not documented for rqt_plot'
