"""The launch file, read by the real launch system where it is installed."""
import pathlib

from async_agent_ros import bringup
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / 'launch' / 'agent.launch.py'


def _launch():
    """Return the launch system, or skip."""
    launch = pytest.importorskip('launch', reason='the launch system of ROS 2 is not installed')
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    if not hasattr(launch, 'LaunchDescription'):
        pytest.skip('the module `launch` is not the one of ROS 2')
    return launch


def _description():
    _launch()
    from launch.launch_description_sources import get_launch_description_from_python_launch_file
    return get_launch_description_from_python_launch_file(str(FILE))


def _nodes(**values):
    launch = _launch()
    context = launch.LaunchContext()
    for argument in bringup.ARGUMENTS:
        context.launch_configurations[argument.name] = values.get(argument.name, argument.default)
    function = next(e for e in _description().entities
                    if isinstance(e, launch.actions.OpaqueFunction))
    return function.execute(context)


def test_arguments_have_descriptions_and_defaults():
    declared = {a.name: a for a in _description().get_launch_arguments()}
    assert set(declared) == {a.name for a in bringup.ARGUMENTS}
    for argument in bringup.ARGUMENTS:
        assert declared[argument.name].description.startswith(argument.description)


def test_the_nodes_are_those_of_the_bringup():
    assert [n.node_executable for n in _nodes()] == list(bringup.ALL_NODES)
    assert [n.node_executable for n in _nodes(nodes='text', sim_robot='false')] == [
        'dialog_manager', 'dispatcher']


def test_a_wrong_argument_is_named():
    with pytest.raises(bringup.BringupError, match="nodes is 'nobody'"):
        _nodes(nodes='nobody')
