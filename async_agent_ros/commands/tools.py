"""`async-agent tools`: list, describe and call tools by hand; make tools of what runs."""
import json
import pathlib
import re
import signal
import sys
import time
from typing import Any, Dict, List, Sequence, Tuple

from async_agent_ros.core.tools import ToolSpec


class ToolsError(Exception):
    """What was asked for cannot be done; the message names the thing and the remedy."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent tools`."""
    parser.add_argument('--namespace', default='/agent', help='namespace of the agent')
    parser.add_argument('--wait', type=float, default=3.0, metavar='SECONDS',
                        help='how long to look for tool servers at most (default: 3)')
    actions = parser.add_subparsers(dest='action', metavar='ACTION')
    actions.add_parser('list', help='every tool, its effect and what it does')
    describe = actions.add_parser('describe', help='all about one tool')
    describe.add_argument('name')
    call = actions.add_parser(
        'call', help='call a tool and follow it; Ctrl-C cancels the call',
        epilog='example: async-agent tools call navigate_to place=kitchen, or with JSON: '
               'async-agent tools call navigate_to \'{"place": "kitchen"}\'')
    call.add_argument('name')
    call.add_argument('arguments', nargs='*', help='key=value pairs, or one JSON object')
    importing = actions.add_parser(
        'import', help='write a file for the bridge that makes tools of the actions, services '
                       'and topics that run now')
    importing.add_argument('-o', '--output', metavar='FILE', type=pathlib.Path,
                           help='write here instead of to the terminal')
    importing.add_argument('--match', default='', metavar='REGEX',
                           help='only what has a name that contains this')
    importing.add_argument('--force', action='store_true', help='overwrite the file')
    check = actions.add_parser('check', help='check a file for the bridge: says for each tool what '
                                             'is wrong with it')
    check.add_argument('file', type=pathlib.Path)


def run(args) -> int:
    """Run the command; return its exit code."""
    if args.action == 'check':
        return _check(args.file)
    import rclpy
    import rclpy.executors
    context = rclpy.Context()
    context.init(args=None)
    node = rclpy.create_node('_async_agent_tools', namespace=args.namespace, context=context,
                             enable_rosout=False, start_parameter_services=False)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        if args.action == 'call':
            return _call(args, node, executor)
        if args.action == 'import':
            return _import(args, node, executor)
        catalogue = _look(args, node, executor, wanted=getattr(args, 'name', ''))
        if args.action == 'describe':
            _describe(*_find(catalogue, args))
        else:
            _list(catalogue, args.namespace)
        return 0
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


Found = Tuple[ToolSpec, str]
"""A tool and the name of its server."""


def _look(args, node, executor, *, wanted: str = '') -> List[Found]:
    """Return the tools that are announced; returns early once the wanted one is among them."""
    from async_agent_ros.msg import ToolAnnouncement
    from async_agent_ros.tools.msgs import ANNOUNCEMENTS, spec_from_msg
    servers: Dict[str, Any] = {}
    heard_s = [0.0]

    def on_announcement(message):
        if message.server not in servers:
            heard_s[0] = time.monotonic()
        servers[message.server] = message
        if message.stopping:
            del servers[message.server]

    subscription = node.create_subscription(
        ToolAnnouncement, 'tools', on_announcement, ANNOUNCEMENTS)
    end_s = time.monotonic() + args.wait
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.05)
        if wanted and any(t.name == wanted for s in servers.values() for t in s.tools):
            break
        if servers and time.monotonic() - heard_s[0] > 1.0:
            break    # one second without another server
    node.destroy_subscription(subscription)
    found = []
    for server in servers.values():
        for message in server.tools:
            try:
                found.append((spec_from_msg(message), server.server))
            except ValueError as error:
                print(f'{server.server}: {error}', file=sys.stderr)
    return sorted(found, key=lambda item: (item[0].name, item[1]))


def _find(catalogue: List[Found], args) -> Found:
    matches = [item for item in catalogue if item[0].name == args.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ToolsError(f'tool {args.name!r} is offered by ' + ' and '.join(
            server for _, server in matches) + ': rename one of them')
    if not catalogue:
        raise ToolsError(f'no tool server is running in namespace {args.namespace}; start one, '
                         'e.g. the simulated robot: ros2 run async_agent_ros sim_robot')
    raise ToolsError(f'there is no tool {args.name!r}; there are '
                     + ', '.join(spec.name for spec, _ in catalogue))


def _list(catalogue, namespace):
    if not catalogue:
        print(f'no tool server is running in namespace {namespace}')
    width = max((len(spec.name) for spec, _ in catalogue), default=0)
    for spec, server in catalogue:
        print(f'{spec.name:{width}}  {spec.effect:14}  {spec.description}  [{server}]')


def _describe(spec, server):
    print(f'{spec.name}: {spec.description}')
    print(f'  server      {server}\n  action      {spec.action_name}')
    print(f'  effect      {spec.effect}{", moves the robot" if spec.motion else ""}')
    if spec.wait_for_final:
        print('  waits until the person has finished, also while the agent speculates')
    print(f'  duplicates  {spec.duplicate_policy}')
    print(f'  timeout     {f"{spec.timeout_s:g} s" if spec.timeout_s else "none"}')
    if spec.resources:
        print(f'  holds       {", ".join(spec.resources)}; when busy: {spec.when_busy}')
    if spec.max_per_minute:
        print(f'  at most     {spec.max_per_minute:g} a minute')
    if spec.cancel_on_barge_in:
        print('  cancelled when the person interrupts')
    for example in spec.examples:
        print(f'  example     "{example.say}" -> {json.dumps(dict(example.arguments))}')
    for title, schema in (('arguments', spec.arguments_schema), ('result', spec.result_schema)):
        if schema is not None:
            print(f'  {title}:')
            print('    ' + json.dumps(schema, indent=2, ensure_ascii=False)
                  .replace('\n', '\n    '))


def parse_arguments(words: Sequence[str]) -> Dict[str, Any]:
    """
    Return the arguments given as key=value words, or as one JSON object.

    A value that is JSON is taken as such, else as text. Raises ToolsError.
    """
    if len(words) == 1 and words[0].lstrip().startswith('{'):
        try:
            return json.loads(words[0])
        except ValueError as error:
            raise ToolsError(f'the arguments are not JSON: {error}') from None
    arguments = {}
    for word in words:
        key, equals, value = word.partition('=')
        if not equals or not key:
            raise ToolsError(f'argument {word!r} is not of the form key=value')
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments


def _call(args, node, executor) -> int:
    import uuid

    from async_agent_ros.msg import CallCommand, CallEvent
    from async_agent_ros.tools.executor import CallExecutor
    arguments = parse_arguments(args.arguments)
    ended: List[CallEvent] = []

    def on_event(event):
        if event.event == CallEvent.ENDED:
            ended.append(event)
        elif event.event == CallEvent.FEEDBACK:
            share = f'{event.progress:4.0%}  ' if event.progress >= 0 else ''
            print(f'  {share}{event.text}', file=sys.stderr, flush=True)

    calls = CallExecutor(node, on_event)
    spec, _ = _find(_look(args, node, executor, wanted=args.name), args)
    problem = spec.check_arguments(arguments)
    if problem:
        raise ToolsError(f'{args.name}: {problem}')
    order = dict(session=f'by hand {uuid.uuid4()}', call_id='c1', name=spec.name,
                 action_name=spec.action_name, arguments_json=json.dumps(arguments),
                 timeout_s=spec.timeout_s)
    calls.handle(CallCommand(command=CallCommand.EXECUTE, **order))
    # Only noted: an exception in the middle of spin_once() leaves a callback group closed for good.
    presses: List[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: presses.append(number))
    try:
        cancelled = False
        while not ended:
            executor.spin_once(timeout_sec=0.1)
            if len(presses) > 1:
                raise KeyboardInterrupt
            if presses and not cancelled:
                cancelled = True
                print('cancelling; Ctrl-C again to leave it alone', file=sys.stderr, flush=True)
                calls.handle(CallCommand(command=CallCommand.CANCEL, **order))
    finally:
        signal.signal(signal.SIGINT, before)
    event = ended[0]
    calls.close()
    if event.result_json != 'null':
        print(event.result_json)
    if event.status != 'succeeded':
        print(f'{event.status}: {event.error_msg} (error {event.error_code})', file=sys.stderr)
        return 1
    return 0


def _import(args, node, executor) -> int:
    from async_agent_ros.tools.bridge import importer
    if args.output is not None and args.output.exists() and not args.force:
        raise ToolsError(f'{args.output} is there already; name another file, or add --force')

    def look():
        return importer.look(node, agent=args.namespace.rstrip('/'), match=args.match)

    try:
        re.compile(args.match)
        importer.settle(node, lambda seconds: executor.spin_once(timeout_sec=seconds), args.wait,
                        found=look)
        found = look()
    except re.error as error:
        raise ToolsError(f'--match {args.match!r} is no regular expression: {error}') from None
    if not found:
        print('nothing runs that could be a tool'
              + (f' and has {args.match!r} in its name' if args.match else '')
              + '; is the robot running, and is ROS_DOMAIN_ID the same?', file=sys.stderr)
        return 1
    text = importer.write(found)
    if args.output is None:
        print(text)
        return 0
    try:
        args.output.write_text(text, encoding='utf-8')
    except OSError as error:
        raise ToolsError(f'cannot write {args.output}: {error.strerror}') from None
    print(f'{args.output}: {len(found)} tools. Read it, delete what the agent shall not do, and '
          f'start the agent with --bridge {args.output}')
    return 0


def _check(path) -> int:
    from async_agent_ros.tools.bridge.bridge import make_tool, TypeUnknown
    from async_agent_ros.tools.bridge.config import BridgeFileError, load
    from async_agent_ros.tools.bridge.interfaces import InterfaceError
    from async_agent_ros.tools.bridge.options import OptionError
    from async_agent_ros.tools.bridge.values import Surroundings
    try:
        file = load(path)
    except BridgeFileError as error:
        raise ToolsError(str(error)) from None
    problems = list(file.problems)
    for entry in file.entries:
        try:
            item = make_tool(entry, Surroundings())
        except TypeUnknown:
            print(f'{entry.name}: {entry.what}; its type is looked up when the agent runs')
        except (InterfaceError, OptionError, ValueError) as error:
            problems.append(f'{path}: tool {entry.name}: {error}')
        else:
            arguments = ', '.join(item.spec.arguments_schema['properties']) or 'no arguments'
            print(f'{entry.name}: {entry.what}, {item.spec.effect}; {arguments}')
            if item.burden:
                print(f'  warning: {item.burden}')
    for problem in problems:
        print(f'refused: {problem}', file=sys.stderr)
    return 1 if problems else 0
