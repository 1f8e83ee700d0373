"""`async-agent watch`: watch and address a running agent in the terminal."""
import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--namespace', default='/agent', help='of the agent (default: /agent)')
    parser.add_argument('--plain', action='store_true',
                        help='lines instead of the live view (as in a pipe)')


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C; the agent may come and go meanwhile."""
    from async_agent_ros.watch.link import check_namespace
    check_namespace(args.namespace)
    if not args.plain and sys.stdout.isatty() and sys.stdin.isatty():
        try:
            from async_agent_ros.watch.app import run_app
        except ImportError:
            pass    # without Textual there are the lines, or what Rich makes of them
        else:
            from async_agent_ros.watch.link import AgentLink
            run_app(lambda: AgentLink(args.namespace, reason='watch'))
            return 0
    return _lines(args)


def _lines(args) -> int:
    import os

    from async_agent_ros.nodes.node_base import run_node
    from async_agent_ros.record.follow import AgentFollower
    from async_agent_ros.watch.plain import open_watch
    from rclpy.node import Node

    with open_watch(plain=args.plain) as watch:
        def make() -> Node:
            node = Node(f'watch_{os.getpid()}', namespace=args.namespace, enable_rosout=False)
            follower = AgentFollower(node, on_lines=watch.show)
            watch.follow(follower.view, follower.changed)
            watch.tell(f'watching {args.namespace}; Ctrl-C ends it')
            return node

        run_node(make, [])
    return 0
