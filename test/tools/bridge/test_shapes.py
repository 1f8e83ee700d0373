"""Interfaces as JSON Schemas, and messages as JSON and back."""
import json
import math

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Quaternion, TransformStamped, Twist, TwistStamped
from hypothesis import given, settings, strategies as st
import jsonschema
from nav_msgs.msg import OccupancyGrid, Odometry
import pytest
from sensor_msgs.msg import BatteryState, JointState, LaserScan, PointCloud2
from test_msgs import msg as test_msgs
from test_msgs.action import Fibonacci, NestedMessage
from visualization_msgs.msg import Marker

from async_agent_ros.tools.bridge.friendly import angles, quaternion
from async_agent_ros.tools.bridge.shapes import groups, message_shape
from async_agent_ros.tools.bridge.values import FieldError, Surroundings

NOW = Surroundings(lambda: Time(sec=1234, nanosec=500_000_000))
MESSAGES = [getattr(test_msgs, name) for name in dir(test_msgs) if name[0].isupper()]


def to_ros(cls, value, **options):
    return message_shape(cls, arguments=True, **options).to_ros(value, '', NOW)


def to_json(message, **options):
    return message_shape(type(message), **options).to_json(message)


def problem(cls, value, **options):
    with pytest.raises(FieldError) as caught:
        to_ros(cls, value, **options)
    return str(caught.value)


def test_types_bounds_and_defaults():
    properties = message_shape(test_msgs.Defaults).schema()['properties']
    assert properties['uint16_value'] == {
        'type': 'integer', 'minimum': 0, 'maximum': 65535, 'default': 2000}
    assert properties['byte_value']['default'] == 50
    assert 'required' not in message_shape(test_msgs.Defaults).schema()
    properties = message_shape(test_msgs.BoundedSequences).schema()['properties']
    assert properties['string_values'] == {
        'type': 'array', 'items': {'type': 'string'}, 'maxItems': 3}
    properties = message_shape(test_msgs.Arrays).schema()['properties']
    assert properties['char_values'] == {
        'type': 'array', 'items': {'type': 'integer', 'minimum': 0, 'maximum': 255},
        'minItems': 3, 'maxItems': 3}
    nested = properties['basic_types_values']['items']
    assert nested['properties']['uint8_value']['maximum'] == 255
    strings = message_shape(test_msgs.Strings).schema()
    assert strings['properties']['bounded_string_value'] == {'type': 'string', 'maxLength': 22}
    assert strings['required'] == ['string_value', 'bounded_string_value']
    assert message_shape(test_msgs.Empty).schema() == {
        'type': 'object', 'properties': {}, 'additionalProperties': False}


def test_comments_are_descriptions_and_constants_are_names():
    properties = message_shape(BatteryState).schema()['properties']
    assert properties['voltage']['description'] == 'Voltage in Volts (Mandatory)'
    assert properties['power_supply_status']['enum'] == [
        'UNKNOWN', 'CHARGING', 'DISCHARGING', 'NOT_CHARGING', 'FULL']
    assert message_shape(LaserScan).schema()['properties']['angle_min']['description'] == (
        'start angle of the scan [rad]')
    # ARROW, ADD and so on begin with no field's name
    assert groups(Marker, ['type', 'action']) == {}


@pytest.mark.parametrize('cls', MESSAGES, ids=lambda c: c.__name__)
def test_every_kind_of_field_goes_there_and_back(cls):
    message = cls()
    value = to_json(message)
    json.dumps(value, allow_nan=False)
    shape = message_shape(cls)
    jsonschema.Draft202012Validator.check_schema(shape.schema())
    jsonschema.validate(value, shape.schema())
    assert shape.to_ros(value, '', NOW) == message


def test_pose_as_people_say_it():
    pose = to_ros(PoseStamped, {'x': 1, 'y': 2.5, 'yaw_deg': 90})
    assert pose.header.frame_id == 'map' and pose.header.stamp == NOW.now()
    assert (pose.pose.position.x, pose.pose.position.y) == (1.0, 2.5)
    assert math.isclose(pose.pose.orientation.z, math.sin(math.pi / 4))
    assert to_json(pose) == {'frame': 'map', 'stamp': 1234.5, 'x': 1.0, 'y': 2.5, 'z': 0.0,
                             'yaw': 1.570796, 'yaw_deg': 90.0}
    assert to_ros(PoseStamped, {'x': 1, 'y': 2, 'frame': 'odom'}).header.frame_id == 'odom'
    assert to_ros(PoseStamped, {'x': 1, 'y': 2}, frame='world').header.frame_id == 'world'
    raw = to_ros(PoseStamped, {'position': {'x': 1, 'y': 2, 'z': 3}, 'orientation': {
        'x': 0, 'y': 0, 'z': 0, 'w': 1}}, raw={'pose'})
    assert raw.pose.position.z == 3.0 and raw.header.frame_id == 'map'


def test_twist_transform_odometry_and_covariance():
    twist = to_ros(TwistStamped, {'x': 0.2, 'yaw': -1})
    assert twist.header.frame_id == 'base_link' and twist.twist.angular.z == -1.0
    assert to_ros(Twist, {}) == Twist()
    transform = to_ros(TransformStamped, {'child_frame_id': 'cup', 'x': 1, 'y': 2, 'yaw': 0.5})
    assert transform.header.frame_id == 'map' and transform.transform.translation.y == 2.0
    odometry = Odometry()
    odometry.pose.covariance[0] = 0.25
    assert to_json(odometry)['pose']['x_std'] == 0.5


@pytest.mark.parametrize('cls, value, message', [
    (PoseStamped, {'x': 'far', 'y': 1}, 'x: must be a number'),
    (PoseStamped, {'x': True, 'y': 1}, 'x: must be a number'),
    (PoseStamped, {'x': 1}, 'y: is required'),
    (PoseStamped, {'x': 1, 'y': 1, 'yaw': 1, 'yaw_deg': 2},
     'arguments: give yaw or yaw_deg, not both'),
    (PoseStamped, {'x': 1, 'y': 1, 'w': 1},
     'w: is not known; there are frame, x, y, z, yaw, yaw_deg, roll, pitch'),
    (Fibonacci.Goal, {'order': 2 ** 31},
     'order: must be between -2147483648 and 2147483647, not 2147483648'),
    (Fibonacci.Goal, {'order': 1.5}, 'order: must be a whole number'),
    (Fibonacci.Goal, [], 'arguments: must be an object'),
    (test_msgs.Empty, {'a': 1}, 'a: is not known; there are no arguments'),
    (JointState, {'name': ['a', 3]}, 'name[1]: must be a text'),
    (BatteryState, {'voltage': 1, 'temperature': 1, 'current': 1, 'charge': 1, 'capacity': 1,
                    'design_capacity': 1, 'percentage': 1e300},
     'percentage: is too large a number for 32 bits'),
])
def test_what_does_not_fit_is_named_by_its_path(cls, value, message):
    assert problem(cls, value) == message


def test_errors_inside_nested_messages_and_lists():
    value = to_json(test_msgs.Nested())
    value['basic_types_value']['int8_value'] = 128
    assert problem(test_msgs.Nested, value) == (
        'basic_types_value.int8_value: must be between -128 and 127, not 128')
    value = to_json(test_msgs.Arrays())
    value['basic_types_values'][2]['bool_value'] = 'yes'
    assert problem(test_msgs.Arrays, value) == (
        'basic_types_values[2].bool_value: must be true or false')
    value['basic_types_values'] = []
    assert problem(test_msgs.Arrays, value) == (
        'basic_types_values: must have 3 items, not 0')
    value = to_json(test_msgs.Strings())
    assert problem(test_msgs.Strings, {**value, 'bounded_string_value': 'x' * 23}) == (
        'bounded_string_value: must not be longer than 22')
    assert problem(test_msgs.Strings, {**value, 'string_value': 'a\0b'}) == (
        'string_value: must not contain a zero character')


def test_times_are_seconds_or_now():
    value = to_json(NestedMessage.Goal())
    goal = to_ros(NestedMessage.Goal, {**value, 'nested_different_pkg': 'now'})
    assert goal.nested_different_pkg == NOW.now()
    goal = to_ros(NestedMessage.Goal, {**value, 'nested_different_pkg': 2.25})
    assert goal.nested_different_pkg == Time(sec=2, nanosec=250_000_000)
    for wrong in ('soon', -1, math.nan, None):
        assert problem(NestedMessage.Goal, {**value, 'nested_different_pkg': wrong}).startswith(
            'nested_different_pkg: must be ')


def test_large_data_is_summarised_and_not_a_number_is_a_word():
    scan = LaserScan(ranges=[1.5] * 500 + [math.inf, math.nan], intensities=[math.nan, 0.1])
    value = to_json(scan)
    assert value['ranges'] == {'length': 502, 'note': 'summarised: 502 values are not shown',
                               'minimum': 1.5, 'maximum': 1.5, 'not_finite': 2}
    assert value['intensities'] == ['nan', 0.1]
    json.dumps(value, allow_nan=False)
    cloud = to_json(PointCloud2(data=bytes(1_000_000)))
    assert cloud['data'] == {'length': 1000000, 'note': 'summarised: 1000000 bytes are not shown'}
    grid = to_json(OccupancyGrid(data=[-1] * 100 + [100] * 100))
    assert (grid['data']['minimum'], grid['data']['maximum']) == (-1, 100)
    joints = to_json(JointState(name=[f'j{i}' for i in range(100)]))
    assert joints['name']['first'] == ['j0', 'j1', 'j2'] and joints['name']['length'] == 100
    assert len(to_json(scan, longest=1000)['ranges']) == 502


ANGLE = st.floats(-math.pi + 1e-3, math.pi - 1e-3)


@given(ANGLE, st.floats(-1.5, 1.5), ANGLE)
def test_angles_of_a_quaternion(roll, pitch, yaw):
    q = quaternion(roll, pitch, yaw)
    found = angles(q)
    again = quaternion(found['roll'], found['pitch'], found['yaw'])
    dot = q.x * again.x + q.y * again.y + q.z * again.z + q.w * again.w
    assert math.isclose(abs(dot), 1.0, abs_tol=1e-9), 'the same rotation'


def test_no_rotation_at_all_has_no_angles():
    assert angles(Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)) == {}
    assert angles(Quaternion(x=math.nan, y=0.0, z=0.0, w=0.0)) == {}


def values_of(schema):
    """Return a strategy of the JSON values that a schema allows."""
    kind = schema.get('type')
    if 'enum' in schema:
        return st.sampled_from(schema['enum'])
    if 'anyOf' in schema:
        return st.integers(0, 2 ** 31 - 1)
    if kind == 'object':
        return st.fixed_dictionaries({k: values_of(v) for k, v in schema['properties'].items()})
    if kind == 'array':
        return st.lists(values_of(schema['items']), min_size=schema.get('minItems', 0),
                        max_size=min(schema.get('maxItems', 3), 3))
    if kind == 'string':
        return st.text('ab\u00e9\u4e2d \n"', max_size=min(7, schema.get('maxLength', 7)))
    if kind == 'integer':
        return st.integers(schema['minimum'], schema['maximum'])
    if kind == 'number':
        return st.one_of(st.integers(-2 ** 20, 2 ** 20), st.floats(-1e38, 1e38),
                         st.sampled_from(['inf', '-inf', 'nan']))
    return {'boolean': st.booleans()}[kind]


@pytest.mark.parametrize('cls', [test_msgs.BasicTypes, test_msgs.Strings, test_msgs.WStrings,
                                 test_msgs.BoundedPlainSequences, test_msgs.UnboundedSequences,
                                 test_msgs.Nested, BatteryState, JointState],
                         ids=lambda c: c.__name__)
def test_json_that_fits_the_schema_comes_back_from_the_message(cls):
    shape = message_shape(cls)
    strategy = values_of({**shape.schema()})

    @settings(max_examples=15, deadline=None, database=None)
    @given(strategy)
    def goes_round(value):
        message = shape.to_ros(value, '', NOW)
        back = shape.to_json(message)
        json.dumps(back, allow_nan=False)
        again = shape.to_ros(back, '', NOW)
        assert repr(again) == repr(message)    # not ==: a NaN is not equal to itself
    goes_round()


@settings(max_examples=200, deadline=None, database=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['x', 'y', 'yaw', 'frame', 'z', 'stamp']), inner, max_size=4)))
def test_whatever_comes_ends_in_a_message_or_a_named_field(value):
    try:
        to_ros(PoseStamped, value)
    except FieldError as error:
        assert error.path or error.problem
