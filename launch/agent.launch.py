"""
Starts the agent: `ros2 launch async_agent_ros agent.launch.py`.

What nodes there are and what the arguments mean stands in async_agent_ros/bringup.py.
"""
from async_agent_ros import bringup
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def _parameter(value):
    # A text must stay a text even if it reads "1" or "on".
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def _node(spec):
    return Node(
        package=spec.package, executable=spec.executable, namespace=spec.namespace,
        # Only when it differs: a remapped name would rename every node of the process.
        name=spec.name if spec.rename else None,
        parameters=[spec.params_file,
                    {key: _parameter(value) for key, value in spec.parameters.items()}],
        remappings=list(spec.remappings),
        ros_arguments=['--log-level', spec.log_level],
        output='screen', emulate_tty=True, respawn=True, respawn_delay=2.0)


def _nodes(context):
    settings = bringup.Settings.from_text({
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in bringup.ARGUMENTS})
    return [_node(spec) for spec in bringup.agent_nodes(settings)]


def generate_launch_description():
    """Return the arguments, and the nodes that follow from their values."""
    declared = []
    for argument in bringup.ARGUMENTS:
        choices = {'choices': list(argument.choices)} if argument.choices else {}
        declared.append(DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description,
            **choices))
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])
