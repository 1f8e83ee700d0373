"""Poses, twists and headers as people say them: x, y, yaw and frame, instead of quaternions."""
import math
from typing import Any, Callable, Dict, List

from geometry_msgs.msg import (Point, Pose, PoseWithCovariance, Quaternion, Transform, Twist,
                               TwistWithCovariance, Vector3)
from std_msgs.msg import Header

from async_agent_ros.tools.bridge.objects import Field, Object, UNSET
from async_agent_ros.tools.bridge.values import FieldError, Real, Shape, Stamp, Text

MAP, BASE = 'map', 'base_link'


def quaternion(roll: float, pitch: float, yaw: float) -> Quaternion:
    """Return the quaternion of fixed-axis angles in rad."""
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return Quaternion(x=sr * cp * cy - cr * sp * sy, y=cr * sp * cy + sr * cp * sy,
                      z=cr * cp * sy - sr * sp * cy, w=cr * cp * cy + sr * sp * sy)


def angles(q: Quaternion) -> Dict[str, float]:
    """Return roll, pitch and yaw in rad; empty for what is no rotation, as all zeros."""
    norm = math.sqrt(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w)
    if not math.isfinite(norm) or norm < 1e-6:
        return {}
    x, y, z, w = q.x / norm, q.y / norm, q.z / norm, q.w / norm
    return {'roll': math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
            'pitch': math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x)))),
            'yaw': math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))}


class _Rounded(Real):
    """A number computed here, without digits that mean nothing."""

    def to_json(self, value):
        return super().to_json(round(value, 6) + 0.0 if math.isfinite(value) else value)


def _number(name, description, required=False, default=UNSET):
    return Field(name, _Rounded(), description, required=required, shown_default=default)


def _turn_fields() -> List[Field]:
    return [_number('yaw', 'heading in rad, counter-clockwise, 0 is along x', default=0.0),
            _number('yaw_deg', 'heading in degrees, instead of yaw'),
            _number('roll', 'rad', default=0.0), _number('pitch', 'rad', default=0.0)]


def _check_turn(value, path):
    if 'yaw' in value and 'yaw_deg' in value:
        raise FieldError(path, 'give yaw or yaw_deg, not both')


def _turn(values: Dict[str, float]) -> Quaternion:
    yaw = values.get('yaw', math.radians(values.get('yaw_deg', 0.0)))
    given = [values.get('roll', 0.0), values.get('pitch', 0.0), yaw]
    if not all(map(math.isfinite, given)):
        raise FieldError('yaw', 'must be finite')
    return quaternion(*given)


def _split_turn(q: Quaternion) -> Dict[str, float]:
    turn = angles(q)
    if not turn:
        return {}
    shown = {'yaw': turn['yaw'], 'yaw_deg': round(math.degrees(turn['yaw']), 1)}
    if abs(turn['roll']) > 1e-6 or abs(turn['pitch']) > 1e-6:
        shown.update(roll=turn['roll'], pitch=turn['pitch'])
    return shown


def _quaternion_shape(**_) -> Shape:
    return Object(_turn_fields(), _turn, _split_turn, _check_turn)


def _place_fields(unit='m') -> List[Field]:
    return [_number('x', f'{unit}', required=True), _number('y', f'{unit}', required=True),
            _number('z', f'{unit}', default=0.0)]


def _pose_shape(make=Pose, place='position', turn='orientation', point=Point, **_) -> Object:
    def build(values):
        at = {k: values[k] for k in ('x', 'y', 'z') if k in values}
        return make(**{place: point(**at), turn: _turn(values)})

    def split(pose):
        at = getattr(pose, place)
        return {'x': at.x, 'y': at.y, 'z': at.z, **_split_turn(getattr(pose, turn))}

    return Object(_place_fields() + _turn_fields(), build, split, _check_turn)


def _transform_shape(**_) -> Object:
    return _pose_shape(Transform, 'translation', 'rotation', Vector3)


TWIST = (('x', 'linear', 'x', 'm/s, forward'), ('y', 'linear', 'y', 'm/s, to the left'),
         ('z', 'linear', 'z', 'm/s, upward'), ('yaw', 'angular', 'z', 'rad/s, to the left'),
         ('roll', 'angular', 'x', 'rad/s'), ('pitch', 'angular', 'y', 'rad/s'))


def _twist_shape(**_) -> Object:
    def build(values):
        twist = Twist()
        for key, part, axis, _ in TWIST:
            setattr(getattr(twist, part), axis, values.get(key, 0.0))
        return twist

    def split(twist):
        values = {key: getattr(getattr(twist, part), axis) for key, part, axis, _ in TWIST}
        return {k: v for k, v in values.items() if k in ('x', 'y', 'yaw') or v != 0.0}

    return Object([_number(key, text, default=0.0) for key, _, _, text in TWIST], build, split)


def _with_covariance(make, part, shape, names) -> Object:
    """Return the pose or twist itself; its covariance is told as standard deviations."""
    inner = shape()
    fields = [Field(part, inner, lifted=True)]
    fields += [_number(f'{name}_std', 'standard deviation') for name in names]

    def build(values):
        message = make(**{part: values[part]})
        for name, index in names.items():
            message.covariance[index] = values.get(f'{name}_std', 0.0) ** 2
        return message

    def split(message):
        values = {part: getattr(message, part)}
        for name, index in names.items():
            variance = float(message.covariance[index])
            if variance > 0.0:
                values[f'{name}_std'] = math.sqrt(variance)
        return values

    return Object(fields, build, split)


_SPREAD = {'x': 0, 'y': 7, 'yaw': 35}


def header_shape(arguments=False, **_) -> Object:
    """
    Return the shape of a header: frame, and the stamp, which is now where none is given.

    Among arguments the stamp is hidden: a model has nothing to say there.
    """
    return Object(
        [Field('frame_id', Text(), 'coordinate frame', key='frame', required=False),
         Field('stamp', Stamp(), "time in seconds or 'now'", required=False, default='now',
               hidden=arguments)],
        lambda values: Header(**values),
        lambda header: {'frame_id': header.frame_id, 'stamp': header.stamp})


MAKERS: Dict[str, Callable[..., Any]] = {
    'std_msgs/msg/Header': header_shape,
    'geometry_msgs/msg/Quaternion': _quaternion_shape,
    'geometry_msgs/msg/Pose': _pose_shape,
    'geometry_msgs/msg/Transform': _transform_shape,
    'geometry_msgs/msg/Twist': _twist_shape,
    'geometry_msgs/msg/PoseWithCovariance': lambda **_: _with_covariance(
        PoseWithCovariance, 'pose', _pose_shape, _SPREAD),
    'geometry_msgs/msg/TwistWithCovariance': lambda **_: _with_covariance(
        TwistWithCovariance, 'twist', _twist_shape, _SPREAD),
}
"""Shapes by interface name."""

_STAMPED = ('Pose', 'PoseWithCovariance', 'Twist', 'TwistWithCovariance', 'Transform', 'Point',
            'Vector3', 'Quaternion')


def lift(name: str, fields: List[Field], frame: str = '') -> None:
    """
    Put frame and stamp of a header, and the content of a *Stamped message, in its place.

    :param name: the interface, 'geometry_msgs/msg/PoseStamped'.
    :param frame: default frame; '' is map, or base_link for what moves with the robot.
    """
    package, short = name.split('/')[0], name.split('/')[-1]
    inner = short[:-len('Stamped')] if short.endswith('Stamped') else ''
    if package == 'geometry_msgs' and inner in _STAMPED:
        for field in fields:
            field.lifted = field.lifted or (field.name != 'header'
                                            and isinstance(field.shape, Object))
    for field in fields:
        if field.name == 'header' and isinstance(field.shape, Object):
            field.shape.fields[0].default = frame or (BASE if inner.startswith('Twist') else MAP)
            others = {key for other in fields if other is not field for key in _keys(other)}
            field.lifted = not others & {'frame', 'stamp'}


def _keys(field):
    return [key for key, _ in field.shape.entries()] if field.lifted else [field.key]
