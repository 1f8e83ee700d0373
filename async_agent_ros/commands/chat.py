"""`async-agent chat`: talk to the agent with the keyboard."""
import argparse
import os
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import List

from async_agent_ros import bringup
from async_agent_ros.commands.run import add_agent_arguments, node_parameters
from async_agent_ros.commands.run import terminate_as_interrupt
from async_agent_ros.demo.needs import chosen_model, have_models
from async_agent_ros.demo.session import AgentSession, choose_domain
from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.watch.view import AgentView, Line

ANSWER_S = 180.0
CALLS_S = 600.0
SHORT_CALL_S = 3.0
"""From a pipe, the next line waits this long for running calls: a look, but not a drive."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--voice', action='store_true',
                        help='let the answers be heard on the loudspeaker too')
    parser.add_argument('--verbose', action='store_true',
                        help='show calls, states and times besides what is said')
    parser.add_argument('-o', '--output', type=Path, metavar='DIR',
                        help='record into this new folder, with a report, as run does')
    parser.add_argument('--yes', action='store_true', help='download missing models unasked')
    add_agent_arguments(parser)


class _Printer:
    """Prints what the agent says, sentence by sentence, each answer on a line of its own."""

    def __init__(self, verbose: bool, prompt: str):
        self._verbose, self._prompt = verbose, prompt
        self._lock = threading.Lock()
        self._answer = None
        self._at_prompt = False

    def say(self, generation_id: int, text: str) -> None:
        """Print a sentence as soon as it is there."""
        with self._lock:
            if self._answer != generation_id or not generation_id:
                self._break()
                print('robot: ', end='')
            self._answer = generation_id
            print(text, end='' if text.endswith(' ') else ' ', flush=True)

    def lines(self, lines: List[Line]) -> None:
        """Print what happened: failures always, the rest when it was asked for."""
        for line in lines:
            if line.lane == 'robot' or (line.lane == 'person' and not self._verbose):
                continue
            if self._verbose or line.lane == 'error' or (
                    line.lane == 'call' and ' succeeded' not in line.text):
                self.tell(f'({line.text})')

    def tell(self, text: str) -> None:
        """Print a line of its own."""
        with self._lock:
            self._break()
            print(text, flush=True)

    def prompt(self) -> None:
        """Ask for input, on a terminal."""
        with self._lock:
            self._break()
            if self._prompt:
                print(self._prompt, end='', flush=True)
                self._at_prompt = True

    def typed(self) -> None:
        """Note that the person ended the line."""
        self._at_prompt = False

    def _break(self):
        if self._answer is not None or self._at_prompt:
            print(flush=True)
        self._answer, self._at_prompt = None, False


def _settled(view: AgentView, count: int) -> bool:
    """Tell whether that many texts were taken in, and these and all results are answered."""
    texts = [e.seq for e in view.ledger if e.kind == 'user' and e.name != 'partial']
    if len(texts) < count or not view.quiet:
        return False
    last = max(texts[-1:] + [e.seq for e in view.ledger if e.kind == 'result'])
    return any(e.kind == 'end' and e.generation_id and e.instance != DRAFT and e.seq > last
               for e in view.ledger)


class _Chat:
    """Sends lines to the agent; from a pipe, one after the other, each when the last is done."""

    def __init__(self, session: AgentSession, printer: _Printer):
        from std_msgs.msg import String

        from async_agent_ros.nodes import qos
        self._make = String
        self._session, self._printer = session, printer
        self._publisher = session.node.create_publisher(String, 'text_in', qos.EVENT)
        self._sent = 0

    def talk(self) -> None:
        """Read lines until there are no more, and wait for the last answer and its calls."""
        follower = self._session.follower
        # The publisher has to be known to the agent before its first message.
        follower.wait_for(lambda _: self._publisher.get_subscription_count() > 0, 20.0,
                          'the agent listens to text_in')
        piped = not sys.stdin.isatty()
        while True:
            self._printer.prompt()
            try:
                text = input().strip()
            except EOFError:
                break
            self._printer.typed()
            if not text:
                continue
            if piped:
                self._printer.tell(f'you: {text}')
            self._publisher.publish(self._make(data=text))
            self._sent += 1
            if piped:
                self._wait_for_answer()
        if piped and self._sent:
            follower.wait_for(self._all_done, CALLS_S, 'the end of the running calls')

    def _all_done(self, view: AgentView) -> bool:
        return not view.running_calls and _settled(view, self._sent)

    def _wait_for_answer(self) -> None:
        from async_agent_ros.record.follow import DeadlineError
        follower = self._session.follower
        follower.wait_for(lambda view: _settled(view, self._sent), ANSWER_S, 'the answer')
        try:
            follower.wait_for(self._all_done, SHORT_CALL_S, 'the end of short calls')
        except DeadlineError:
            pass    # something long runs: the conversation goes on meanwhile


def run(args: argparse.Namespace) -> int:
    """Chat until the end of the input or Ctrl-C."""
    settings = bringup.Settings(
        namespace=args.namespace, params_file=args.params_file, engine=args.engine,
        model=chosen_model(args), device=args.device, audio_out='device', bridge_file=args.bridge,
        nodes='tts,dialog_manager,dispatcher,sim_robot' if args.voice else 'text')
    if not have_models(settings, fetch=args.yes):
        return 1
    choose_domain(os.environ)
    terminate_as_interrupt()
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=False)
        folder = nullcontext(str(args.output))
    else:
        folder = tempfile.TemporaryDirectory(prefix='async_agent_chat_')
    with folder as path:
        return _chat(args, settings, Path(path))


def _chat(args, settings, folder: Path) -> int:
    from async_agent_ros.demo.recording import Recording
    from async_agent_ros.record.follow import DeadlineError

    printer = _Printer(args.verbose, 'you: ' if sys.stdin.isatty() else '')
    recording = (Recording(folder / 'bag', args.namespace, on_remark=printer.tell)
                 if args.output is not None else nullcontext())
    printer.tell('loading the model ...')
    code = 0
    try:
        with recording, AgentSession(
                settings, folder / 'nodes.log', parameters=node_parameters(folder),
                on_lines=printer.lines, on_remark=printer.tell) as session:
            if args.voice:
                from async_agent_ros.msg import Say
                from async_agent_ros.nodes import qos
                session.node.create_subscription(
                    Say, 'say', lambda m: m.prepare or printer.say(m.generation_id, m.text),
                    qos.COMMAND)
            else:
                from async_agent_ros.demo.screen import Screen
                Screen(session.node, printer.say)
            session.wait_ready()
            session.follower.wait_for(lambda view: any(view.tools.values()), 20.0,
                                      'tools of the robot')
            printer.tell('ready; end with Ctrl-D' if sys.stdin.isatty() else 'ready')
            try:
                _Chat(session, printer).talk()
            except DeadlineError as error:
                printer.tell(f'no: {error}')
                code = 1
    except KeyboardInterrupt:
        pass
    printer.tell('')
    if args.output is not None:
        from async_agent_ros.demo.outcome import Outcome, print_folder
        outcome = Outcome(folder, list(session.follower.view.ledger))
        outcome.write()
        print_folder(outcome, print)
    return code
