"""`async-agent nodes`: what nodes make up the agent, and which of them run."""
import time
from typing import Dict

from async_agent_ros import bringup


def add_arguments(parser) -> None:
    """Declare the options of `async-agent nodes`."""
    parser.add_argument('--namespace', default='/agent', help='namespace of the agent')
    parser.add_argument('--wait', type=float, default=3.0, metavar='SECONDS',
                        help='how long to look for nodes at most (default: 3)')


def discover(namespace: str, wait_s: float) -> Dict[str, str]:
    """
    Return the nodes that run in a namespace, each with its lifecycle state ('' when it has none).

    Needs rclpy. Discovery takes time: looks for as long as `wait_s`, less once all are found.
    """
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('_async_agent_look', context=context, enable_rosout=False,
                             start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        found = set()
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s and not found.issuperset(bringup.ALL_NODES):
            found |= {name for name, space in node.get_node_names_and_namespaces()
                      if space == namespace and not name.startswith('_')}
            executor.spin_once(timeout_sec=0.05)
        return {name: _lifecycle_state(node, executor, namespace, name) for name in sorted(found)}
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def _lifecycle_state(node, executor, namespace, name):
    from lifecycle_msgs.srv import GetState
    service = f'{namespace}/{name}/get_state'
    if not any(known == service for known, _ in node.get_service_names_and_types()):
        return ''
    client = node.create_client(GetState, service)
    if not client.wait_for_service(1.0):
        return 'does not answer'
    future = client.call_async(GetState.Request())
    executor.spin_until_future_complete(future, 1.0)
    return future.result().current_state.label if future.done() else 'does not answer'


def run(args) -> int:
    """Print one line per node; 0 also when none runs."""
    running = discover(args.namespace, args.wait)
    for name in dict.fromkeys([*bringup.ALL_NODES, *running]):
        state = running.get(name)
        shown = 'not running' if state is None else f'running, {state}' if state else 'running'
        part = '' if name in bringup.ALL_NODES else '  (not one of the five of this package)'
        print(f'{args.namespace}/{name:<16} {shown}{part}')
    if not running:
        print('\nstart them with `async-agent up`, `ros2 launch async_agent_ros agent.launch.py`, '
              'or one by one with `ros2 run async_agent_ros NAME`')
    return 0
