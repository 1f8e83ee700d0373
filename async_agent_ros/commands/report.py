"""`async-agent report`: make the HTML report of a recorded run."""
import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('bag', type=Path, metavar='BAG',
                        help='bag, or the folder of a run that holds one')
    parser.add_argument('-o', '--output', type=Path, metavar='FILE',
                        help='HTML file to write (default: report.html beside the bag)')
    parser.add_argument('--title', default='', help='heading of the page')
    parser.add_argument('--no-sound', action='store_true', help='leave the recording out')


def run(args: argparse.Namespace) -> int:
    """Write the report; return 1 with a message when it cannot be."""
    from async_agent_ros.record.reader import BagReadError, find_bag
    from async_agent_ros.record.report import write_report

    try:
        bag = find_bag(args.bag)
        output = args.output or (args.bag if args.bag.is_dir() and args.bag != bag
                                 else bag.parent) / 'report.html'
        timeline = write_report(bag, output, title=args.title, sound=not args.no_sound)
    except BagReadError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f'cannot write the report: {error}', file=sys.stderr)
        return 1
    if not timeline.complete:
        print('the recording was cut off; the report shows what is there', file=sys.stderr)
    seconds = (timeline.end_ns - timeline.start_ns) / 1e9
    print(f'{output}: {seconds:.1f} s, {len(timeline.turns)} answers, '
          f'{len(timeline.view.ledger)} ledger entries')
    return 0
