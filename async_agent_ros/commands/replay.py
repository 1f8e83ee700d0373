"""`async-agent replay`: verify a recorded run, show it again, or let another model answer."""
import argparse
import os
import signal
import sys
import threading
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three kinds of replay."""
    kinds = parser.add_subparsers(dest='kind', metavar='KIND', required=True)
    verify = kinds.add_parser(
        'verify', help='step the recorded events through the kernel and compare the ledger')
    verify.add_argument('source', type=Path, metavar='BAG|JOURNAL|RUN_FOLDER')
    verify.set_defaults(run_kind=_verify)
    show = kinds.add_parser('show', help='publish the topics again with their timing')
    show.add_argument('bag', type=Path, metavar='BAG')
    show.add_argument('--rate', type=_positive, default=1.0, help='times as fast (default: 1)')
    show.add_argument('--start', type=float, default=0.0, metavar='SECONDS',
                      help='skip so much of the beginning')
    show.add_argument('--clock', action='store_true', help='publish the recorded time on /clock')
    show.add_argument('--topics', nargs='+', default=[], metavar='NAME',
                      help='only these, full names or relative to the recorded namespace')
    show.add_argument('--namespace', default='', help='publish under this in place of the '
                      'recorded one')
    show.add_argument('--delay', type=float, default=1.0, metavar='SECONDS',
                      help='wait so long for subscribers first (default: 1)')
    show.set_defaults(run_kind=_show)
    what_if = kinds.add_parser(
        'what-if', help='let another model or other parameters answer the recorded person')
    what_if.add_argument('bag', type=Path, metavar='BAG|JOURNAL|RUN_FOLDER')
    what_if.add_argument('--engine', default='', help='engine of the language model')
    what_if.add_argument('--model', default='', help='language model')
    what_if.add_argument('--device', default='', help="'cpu', 'cuda', ...")
    what_if.add_argument('--params', default='', metavar='FILE', dest='params_file',
                         help='parameter file; without it, the recorded settings of the kernel '
                         'are kept')
    what_if.add_argument('--speech', action='store_true', help="let the agent's own recogniser "
                         'hear the recorded sound, in place of the recorded transcripts')
    what_if.add_argument('--json', action='store_true', help='print the comparison as JSON')
    what_if.add_argument('-o', '--output', type=Path, metavar='DIR',
                         help='keep journal and logs of the new run in this new folder')
    what_if.set_defaults(run_kind=_what_if)


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


def run(args: argparse.Namespace) -> int:
    """Run the chosen kind."""
    return args.run_kind(args)


def _verify(args) -> int:
    """Print one verdict per recorded session; 1 when a ledger differs."""
    from async_agent_ros.record.history import load
    from async_agent_ros.record.verify import describe, describe_disagreement, verify

    verdicts = [verify(history) for history in load(args.source)]
    for verdict in verdicts:
        print(describe(verdict))
    disagreement = describe_disagreement(verdicts)
    if disagreement:
        print(disagreement)
    return 0 if all(v.same for v in verdicts) and not disagreement else 1


def _show(args) -> int:
    """Publish until the end or SIGINT."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from async_agent_ros.record.reader import BagReader
    from async_agent_ros.record.show import Player

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    reader = BagReader(args.bag)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'replay_{os.getpid()}', enable_rosout=False,
                             start_parameter_services=False)
    try:
        player = Player(node, reader, rate=args.rate, start_s=args.start, clock=args.clock,
                        topics=args.topics, namespace=args.namespace,
                        on_remark=lambda text: print(text, file=sys.stderr, flush=True))
        print(f'showing {reader.path}; Ctrl-C ends it', flush=True)
        player.play(stop, args.delay)
        print(f'{player.published} messages published'
              + (', ended early' if stop.is_set() else ''), flush=True)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _what_if(args) -> int:
    """Hold the conversation again with another model, and compare."""
    import json

    from async_agent_ros import bringup
    from async_agent_ros.commands.run import node_parameters, terminate_as_interrupt
    from async_agent_ros.demo.needs import have_models
    from async_agent_ros.record.whatif import NODES, run_what_if

    settings = bringup.Settings(nodes=f'asr,{NODES}' if args.speech else NODES,
                                audio_in='topic' if args.speech else '', engine=args.engine,
                                model=args.model, device=args.device,
                                params_file=args.params_file)
    if not have_models(settings):
        return 1
    terminate_as_interrupt()
    prefilled = {'dispatcher': node_parameters(Path('.'))['dispatcher']}
    comparison = run_what_if(
        args.bag, settings, folder=args.output, parameters=prefilled, speech=args.speech,
        on_remark=lambda text: print(text, file=sys.stderr, flush=True))
    if args.output is not None:
        (args.output / 'comparison.json').write_text(
            json.dumps(comparison.to_json(), ensure_ascii=False, indent=1), encoding='utf-8')
    print(json.dumps(comparison.to_json(), ensure_ascii=False) if args.json
          else comparison.table())
    return 0
