"""`async-agent rqt`: watch and address the agent in a window; the rqt plugin without rqt."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--namespace', default='',
                        help='of the agent (default: the last one, at first /agent)')


def run(args: argparse.Namespace) -> int:
    """Show the window until it is closed."""
    from async_agent_ros.rqt.window import run_window
    return run_window(args.namespace)
