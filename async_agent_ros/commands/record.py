"""`async-agent record`: record the running agent into a bag until Ctrl-C."""
import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import List, Optional


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('-o', '--output', type=Path, metavar='DIR',
                        help='new directory of the bag (default: bag_DATE_TIME)')
    parser.add_argument('--namespace', default='/agent', help='of the agent (default: /agent)')
    parser.add_argument('--no-audio', action='store_true',
                        help='leave out the sound of person and robot')
    parser.add_argument('-b', '--max-bag-size', type=int, default=0, metavar='BYTES',
                        help='begin another file at this size (default: one file)')
    parser.add_argument('--topic', action='append', default=[], metavar='NAME', dest='topics',
                        help='one more topic, full name; may be given several times')


def run(args: argparse.Namespace) -> int:
    """Record until SIGINT or SIGTERM; return 1 when the bag had to be closed early."""
    from async_agent_ros.nodes.node_base import run_node
    from async_agent_ros.record.bag import BagError
    from async_agent_ros.record.recorder import Recorder, summary

    output = args.output or Path(time.strftime('bag_%Y%m%d_%H%M%S'))
    made = []

    def stop(message: str) -> None:
        print(message, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    def make() -> Recorder:
        recorder = Recorder(output, namespace=args.namespace, audio=not args.no_audio,
                            extra=args.topics, max_file_bytes=args.max_bag_size, on_error=stop)
        made.append(recorder)
        print(f'recording {args.namespace} to {output}; Ctrl-C ends it', flush=True)
        return recorder

    try:
        run_node(make, [])
    except BagError as error:
        print(f'cannot record: {error}', file=sys.stderr, flush=True)
        return 1
    print(summary(made[0]), flush=True)
    return 1 if made[0].bag.error else 0


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command by itself."""
    parser = argparse.ArgumentParser(prog='async-agent record', description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
