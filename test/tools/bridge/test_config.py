"""The bridge's file: what it can say, and how it is told what is wrong with it."""
import importlib.util
import pathlib
import re
import textwrap

from builtin_interfaces.msg import Time
import pytest

from async_agent_ros.core.chatml_text import tool_line
from async_agent_ros.core.words import Busy, Effect
from async_agent_ros.tools.bridge.bridge import make_tool, TypeUnknown
from async_agent_ros.tools.bridge.config import BridgeFileError, load
from async_agent_ros.tools.bridge.feedback import FeedbackText
from async_agent_ros.tools.bridge.interfaces import InterfaceError
from async_agent_ros.tools.bridge.options import OptionError
from async_agent_ros.tools.bridge.values import Surroundings
from async_agent_ros.tools.context import InvalidArguments

NOW = Surroundings(lambda: Time(sec=7))


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / 'robot.yaml'
        path.write_text(textwrap.dedent(text))
        return load(path)
    return read


@pytest.fixture
def make(read):
    """Return the tool of a file with one tool, made without a graph."""
    def make(text):
        file = read(text)
        assert not file.problems, file.problems
        return make_tool(file.entries[0], NOW)
    return make


def test_everything_about_a_tool(make):
    tool = make("""
        frame: odom
        tools:
        - name: go
          description: Drive there.
          topic: goal_pose
          type: geometry_msgs/PoseStamped
          mode: publish
          effect: confirm
          motion: true
          resources: [base]
          when_busy: refuse
          max_per_minute: 6
          duplicates: replace
          cancel_on_barge_in: true
          wait_for_final: true
          arguments:
            pose.x: {description: metres to the east, minimum: -5, maximum: 5}
            pose.y: {rename: north, default: 1.5}
            pose.z: {hidden: true}
            pose.roll: {hidden: true}
            pose.pitch: {fixed: 0}
            pose.yaw_deg: {hidden: true}
          examples:
          - {say: Go three metres east., arguments: {x: 3, north: 0}}
    """)
    spec = tool.spec
    assert (spec.name, spec.description, spec.effect) == ('go', 'Drive there.', Effect.CONFIRM)
    assert spec.motion and spec.resources == ('base',) and spec.cancel_on_barge_in
    assert spec.wait_for_final
    assert spec.when_busy == Busy.REFUSE and spec.max_per_minute == 6.0
    assert spec.arguments_schema == {
        'type': 'object', 'required': ['x'], 'additionalProperties': False, 'properties': {
            'frame': {'type': 'string', 'description': 'coordinate frame', 'default': 'odom'},
            'x': {'type': 'number', 'description': 'metres to the east', 'minimum': -5,
                  'maximum': 5},
            'north': {'type': 'number', 'description': 'm', 'default': 1.5},
            'yaw': {'type': 'number', 'default': 0.0,
                    'description': 'heading in rad, counter-clockwise, 0 is along x'}}}
    pose = tool.parse('{"x": 2}').message
    assert pose.header.frame_id == 'odom' and pose.header.stamp.sec == 7
    assert (pose.pose.position.x, pose.pose.position.y) == (2.0, 1.5)
    with pytest.raises(InvalidArguments, match='x: must be at most 5, not 6'):
        tool.parse('{"x": 6}')
    with pytest.raises(InvalidArguments, match='z: is not known; there are frame, x, north, yaw'):
        tool.parse('{"x": 1, "z": 3}')


def test_flatten_enum_and_optional(make):
    tool = make("""
        tools:
        - name: arm
          action: arm
          type: test_msgs/action/NestedMessage
          arguments:
            nested_field: {flatten: true}
            nested_field.uint8_value: {rename: mode, enum: {park: 3, reach: 4}}
            nested_field.int8_value: {enum: [1, 2]}
            nested_field.bool_value: {optional: true}
            nested_field.byte_value: {fixed: 1}
            nested_field.char_value: {fixed: 1}
            nested_field.float32_value: {fixed: 1}
            nested_field.float64_value: {hidden: true, default: 2}
            nested_field.int16_value: {hidden: true}
            nested_field.uint16_value: {hidden: true}
            nested_field.int32_value: {hidden: true}
            nested_field.uint32_value: {hidden: true}
            nested_field.int64_value: {hidden: true}
            nested_field.uint64_value: {hidden: true}
            nested_field_no_pkg: {hidden: true}
            nested_different_pkg: {fixed: now}
    """)
    assert tool.spec.effect == Effect.STATE_CHANGING, 'undeclared'
    schema = tool.spec.arguments_schema
    assert set(schema['properties']) == {'bool_value', 'int8_value', 'mode'}
    assert schema['required'] == ['int8_value', 'mode']
    assert schema['properties']['mode'] == {'type': 'string', 'enum': ['park', 'reach']}
    goal = tool.parse('{"mode": "reach", "int8_value": 2}')
    assert goal.nested_field.uint8_value == 4 and goal.nested_field.float64_value == 2.0
    assert goal.nested_different_pkg.sec == 7
    with pytest.raises(InvalidArguments, match='mode: must be one of park, reach'):
        tool.parse('{"mode": "dance", "int8_value": 2}')


FIBONACCI = """
    tools:
    - name: count
      action: /fibonacci
      type: test_msgs/action/Fibonacci
"""


@pytest.mark.parametrize('more, message', [
    ('effect: harmless', "effect is 'harmless': it must be one of read_only, state_changing, "
                         'confirm'),
    ('mode: latest', 'mode is for topics, this is an action; remove it'),
    ('timeout: 3', 'timeout is not known; there are name, '),
    ('timeoutS: 3', 'timeoutS is not known; do you mean timeout_s?'),
    ('timeout_s: -1', 'timeout_s is -1: it must not be negative'),
    ('timeout_s: soon', "timeout_s is 'soon': it must be a number"),
    ('motion: 1', 'motion is 1: it must be true or false'),
    ('service: /other', 'name the one thing that it bridges: action: /name, service: /name or '),
    ('publish: {count: 3}', 'publish has no meaning for an action; remove it'),
    ('feedback: {progress: x}', 'feedback.progress is not known; there are text, fraction, '),
    ('result: {only: sequence}', "result.only is 'sequence': it must be a list"),
    ('examples: [hello]', 'examples[0] must be a table with say (a text) and arguments'),
])
def test_what_is_wrong_is_told_with_file_tool_and_field(read, more, message):
    file = read(FIBONACCI + f'      {more}\n    - {{name: other, service: /x}}\n')
    assert [e.name for e in file.entries] == ['other'], 'the other tool works'
    assert len(file.problems) == 1
    assert f'robot.yaml: tool count: {message}' in file.problems[0]


@pytest.mark.parametrize('entry, message', [
    ('{name: Count, action: /f}', "tool Count: name is 'Count': use lower case letters"),
    ('{name: look, topic: /f}', 'tool look: mode is missing: a topic needs one of latest, next, '),
    ('{action: /f}', "tool number 1: name is ''"),
    ('hello', 'tool number 1: must be a table'),
    ('{name: a, action: " "}', "tool a: action is ' ': give the name as on the graph, as /name"),
])
def test_entries_that_are_none(read, entry, message):
    file = read(f'tools:\n- {entry}\n')
    assert not file.entries and message in file.problems[0]


def test_a_name_twice(read):
    file = read('tools:\n- {name: a, action: /f}\n- {name: a, action: /g}\n')
    assert len(file.entries) == 1
    assert "there is another tool 'a' in this file; rename one of them" in file.problems[0]


def test_files_that_are_none(read, tmp_path):
    with pytest.raises(BridgeFileError, match='cannot read .*none.yaml: No such file'):
        load(tmp_path / 'none.yaml')
    with pytest.raises(BridgeFileError, match='is not YAML'):
        read('tools: [')
    with pytest.raises(BridgeFileError, match='needs a list `tools`'):
        read('hello')


@pytest.mark.parametrize('more, message', [
    ('arguments: {ordr: {fixed: 3}}',
     "arguments.ordr: there is no field 'ordr'; there are order"),
    ('arguments: {order: {fixed: many}}', 'arguments.order: fixed: must be a whole number'),
    ('arguments: {order: {default: 3000000000}}', 'arguments.order: default: must be between'),
    ('arguments: {order: {hide: true}}', "arguments.order: there is no option 'hide'; there are"),
    ('arguments: {order: {flatten: true}}', 'arguments.order: flatten is for messages'),
    ('arguments: {order: {enum: [a]}}', "arguments.order: enum value 'a' must be a whole number"),
    ('arguments: {order: {rename: 3d}}', 'arguments.order: rename must be a name'),
    ('result: {only: [sum]}', "result.sum: there is no field 'sum'; there are sequence"),
    ("feedback: {text: '{speed} m/s'}", "feedback.text: speed: there is no field 'speed'"),
    ('feedback: {fraction: sequence}', 'feedback.fraction: sequence is not a number'),
    ('examples: [{say: Count., arguments: {order: all}}]', "example 'Count.' does not fit: order"),
])
def test_what_does_not_fit_the_interface_is_told(make, more, message):
    with pytest.raises(OptionError) as caught:
        make(FIBONACCI + f'      {more}\n')
    assert str(caught.value).startswith(message)


def test_types_that_cannot_be_had(make):
    with pytest.raises(InterfaceError, match='the package nav2_msgs is not installed here; '
                                             'install it'):
        make('tools:\n- {name: a, action: /f, type: nav2_msgs/action/NavigateToPose}\n')
    with pytest.raises(InterfaceError, match='is not the type of a service: that is package/srv'):
        make('tools:\n- {name: a, service: /f, type: std_msgs/msg/String}\n')
    with pytest.raises(InterfaceError, match='has no such action type; there are Fibonacci'):
        make('tools:\n- {name: a, action: /f, type: test_msgs/action/fibonacci}\n')
    with pytest.raises(TypeUnknown, match='is not running and the file does not name its type'):
        make('tools:\n- {name: a, action: /f}\n')


def test_feedback_as_share_and_text():
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import BatteryState, Image
    text = FeedbackText(Odometry, {'text': '{pose.x:.1f} m at {frame}'})
    message = Odometry()
    message.pose.pose.position.x = 1.26
    message.header.frame_id = 'map'
    assert text.of(message) == (-1.0, '1.3 m at map')
    share = FeedbackText(BatteryState, {'fraction': 'percentage', 'text': 'location'})
    assert share.of(BatteryState(percentage=0.5, location='arm')) == (0.5, 'arm')
    assert share.of(BatteryState(percentage=float('nan')))[0] == -1.0
    percent = FeedbackText(BatteryState, {'percent': 'percentage'})
    assert percent.of(BatteryState(percentage=250.0))[0] == 1.0
    everything = FeedbackText(Image, {})
    assert everything.of(Image(data=bytes(10 ** 6), height=2))[1].endswith(
        'step: 0, data: 1000000 items')


@pytest.mark.parametrize('publish, message', [
    ('{duration_s: {longest: 3}}', 'publish.duration_s is a number of seconds, or a table'),
    ('{duration_s: 3, count: 4}', 'publish: give count or duration_s, not both'),
    ('{rate_hz: 0}', 'publish.rate_hz must be above 0'),
])
def test_publishing_that_makes_no_sense(make, publish, message):
    with pytest.raises(OptionError, match=message):
        make('tools:\n- {name: a, topic: /f, type: std_msgs/msg/String, mode: publish, '
             f'publish: {publish}}}\n')


def test_only_and_values_of_the_file_that_are_partial(make):
    tool = make("""
        tools:
        - name: a
          action: /f
          type: test_msgs/action/NestedMessage
          arguments:
            nested_field: {flatten: true, only: [int8_value]}
            nested_field_no_pkg: {fixed: {duration_value: 1.5}}
            nested_different_pkg: {hidden: true}
    """)
    assert list(tool.spec.arguments_schema['properties']) == ['int8_value']
    goal = tool.parse('{"int8_value": 5}')
    assert goal.nested_field.int8_value == 5
    assert goal.nested_field_no_pkg.duration_value.nanosec == 500_000_000


def test_the_prompt_tells_what_is_inside_of_a_message(make):
    tool = make("""
        tools:
        - name: point
          topic: /f
          type: test_msgs/msg/Arrays
          mode: publish
    """)
    line = tool_line(tool.spec)
    assert '"int8_values": "array of integer"' in line
    assert 'array of object {bool_value: boolean; byte_value: integer' in line
    assert 'characters of the prompt' in tool.burden
    assert make(FIBONACCI).burden == ''


def test_names_for_whole_messages(make):
    tool = make("""
        tools:
        - name: drive_to_place
          topic: /goal_pose
          type: geometry_msgs/msg/TransformStamped
          mode: publish
          arguments:
            transform: {rename: place, enum: {kitchen: {x: 3, y: 1, yaw_deg: 90}}}
            child_frame_id: {default: base_link}
            header: {hidden: true}
    """)
    schema = tool.spec.arguments_schema
    assert schema['properties']['place']['enum'] == ['kitchen']
    message = tool.parse('{"place": "kitchen"}').message
    assert message.transform.translation.x == 3.0 and message.child_frame_id == 'base_link'
    with pytest.raises(InvalidArguments, match='place: must be one of kitchen'):
        tool.parse('{"place": "attic"}')


@pytest.mark.parametrize('name', ['nav2', 'moveit'])
def test_the_examples_are_right_or_say_what_is_missing(name):
    path = pathlib.Path(__file__).resolve().parents[3] / 'config' / f'bridge_{name}.yaml'
    file = load(path)
    assert not file.problems and len(file.entries) >= 3
    for entry in file.entries:
        if importlib.util.find_spec(entry.type.split('/')[0]) is None:
            with pytest.raises(InterfaceError, match='is not installed here'):
                make_tool(entry, NOW)
        else:
            make_tool(entry, NOW)


def test_what_the_documentation_shows_is_right(tmp_path):
    text = (pathlib.Path(__file__).resolve().parents[3] / 'docs' / 'bridge.md').read_text()
    blocks = re.findall(r'```yaml\n(.*?)```', text, re.DOTALL)
    path = tmp_path / 'docs.yaml'
    path.write_text('tools:\n' + ''.join(b.replace('tools:\n', '') for b in blocks))
    file = load(path)
    assert not file.problems and len(file.entries) == 5
    for entry in file.entries:
        if importlib.util.find_spec(entry.type.split('/')[0]) is not None:
            make_tool(entry, NOW)
