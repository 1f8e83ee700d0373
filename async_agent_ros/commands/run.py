"""`async-agent run`: hold a whole spoken conversation with a simulated robot, and report on it."""
import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import List, Optional

from async_agent_ros import bringup, models
from async_agent_ros.demo.needs import chosen_model, have_models, needed_models
from async_agent_ros.demo.outcome import Outcome, print_checks, print_folder, print_lines
from async_agent_ros.demo.outcome import print_turns
from async_agent_ros.demo.session import AgentSession, choose_domain

ROBOT_SPEED_M_S = 0.1
"""Slow, so that there is time to talk on the way, also on a slow machine."""

HURRY_SPEED_M_S = 2.0
"""Once everything is said that is to be said on the way."""

HOUSE = Path(__file__).resolve().parent.parent / 'demo' / 'house.yaml'

EPILOGUE_S = 1.0
HOPELESS_S = 2.0
"""A cue is given up when it has been hopeless for so long."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('-o', '--output', type=Path, metavar='DIR',
                        help='new folder of the run (default: runs/DATE_TIME)')
    parser.add_argument('--mic', action='store_true',
                        help='microphone and loudspeaker instead of the simulated person, '
                             'until Ctrl-C')
    parser.add_argument('--keep', action='store_true',
                        help='leave the agent running after the conversation, until Ctrl-C')
    parser.add_argument('--plain', action='store_true',
                        help='lines instead of the live view (as in a pipe)')
    parser.add_argument('--yes', action='store_true', help='download missing models unasked')
    add_agent_arguments(parser)


def add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is passed on to the nodes."""
    parser.add_argument('--engine', default='', help='llama, transformers, openai or scripted')
    parser.add_argument('--model', default='', help='language model: name or path (default: '
                        'the one that was trained for the simulated robot; with --params-file '
                        'or --bridge that of the parameter file)')
    parser.add_argument('--device', default='', help='where the language model runs: cpu, cuda')
    parser.add_argument('--bridge', default='', metavar='FILE', help='YAML file that names '
                        'actions, services and topics of the graph as tools (docs/bridge.md)')
    parser.add_argument('--params-file', default='', help='parameter file (YAML) of the nodes')
    parser.add_argument('--namespace', default='/agent', help='of the agent (default: /agent)')


def new_folder(wanted: Optional[Path]) -> Path:
    """Make the folder of a run; raises OSError naming it when it is there or cannot be made."""
    folder = wanted or Path('runs') / time.strftime('%Y%m%d_%H%M%S')
    folder.mkdir(parents=True, exist_ok=False)
    return folder


class Conversation:
    """The simulated person: speaks lines into the microphone and waits for cues."""

    def __init__(self, session: AgentSession, person, remark):
        from async_agent_ros.demo.microphone import SpeechMicrophone
        from async_agent_ros.demo.scenario import LINES
        self._session = session
        self._follower = session.follower
        self._remark = remark
        # Before the conversation, so that synthesis takes no time from it.
        self._speech = {text: person.say(text) for text in LINES}
        self._microphone = SpeechMicrophone(session.node)
        self.lines: List[object] = []
        self.broke: Optional[str] = None
        """None while it goes on, '' when it was held to its end, else why it broke off."""

    def hold(self) -> str:
        """Hold the conversation; return '' or why it broke off."""
        from async_agent_ros.demo.scenario import converse, CueError
        self._microphone.start()
        try:
            converse(self._say, self._wait, self._hurry)
            time.sleep(EPILOGUE_S)    # of silence, for the recording to end with
            self.broke = ''
        except CueError as error:
            self.broke = str(error)
        finally:
            self._microphone.close()
        return self.broke

    def _say(self, text):
        self._remark(f'the person says: "{text}"')
        line = self._microphone.say(text, self._speech[text])
        line.done.wait()
        self.lines.append(line)
        return line

    def _hurry(self):
        self._remark(f'the robot drives faster now: {HURRY_SPEED_M_S:g} m/s')
        self._session.set_parameter('sim_robot', 'speed', HURRY_SPEED_M_S)

    def _wait(self, cue):
        from async_agent_ros.demo.scenario import CueError, situation
        from async_agent_ros.record.follow import DeadlineError
        reasons = []
        steady = {}

        def lasts(name, holds, for_s):
            # Looked at again with every message; diagnostics alone come five times a second.
            if not holds:
                steady.pop(name, None)
                return False
            return time.monotonic() - steady.setdefault(name, time.monotonic()) >= for_s

        def over(view):
            reasons.clear()
            if lasts('cue', cue.holds(view), cue.steady_s):
                return True
            reason = cue.hopeless(view) if cue.hopeless else ''
            if lasts('hopeless', bool(reason), HOPELESS_S):
                reasons.append(reason)
            return bool(reasons)

        try:
            self._follower.wait_for(over, cue.timeout_s, cue.what)
        except DeadlineError as error:
            with self._follower.changed:
                raise CueError(f'expected: {error}; got: '
                               f'{situation(self._follower.view)}') from None
        if reasons:
            with self._follower.changed:
                raise CueError(f'expected: {cue.what}; got: {reasons[0]}; '
                               f'{situation(self._follower.view)}')


def terminate_as_interrupt() -> None:
    """Let SIGTERM end the command like Ctrl-C: with everything written and every node gone."""
    def on_signal(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)


def _settings(args) -> bringup.Settings:
    audio = 'device' if args.mic else 'topic'
    return bringup.Settings(
        namespace=args.namespace, params_file=args.params_file, engine=args.engine,
        model=chosen_model(args), device=args.device, audio_in=audio, audio_out=audio,
        bridge_file=args.bridge)


def node_parameters(folder: Path):
    """Return what differs from the parameter file: a ledger of this run, a prefilled prompt."""
    return {'dialog_manager': {'ledger_dir': str((folder / 'journal').resolve()),
                               'resume': 'never'},
            'dispatcher': {'prefix_folder': str(models.root().parent / 'prompts')}}


def run(args: argparse.Namespace) -> int:
    """Hold the conversation; 0 when it held, 1 when it did not."""
    from async_agent_ros.demo.recording import Recording
    from async_agent_ros.watch.plain import open_watch

    settings = _settings(args)
    if not have_models(settings, fetch=args.yes):
        return 1
    person = None
    if not args.mic:
        from async_agent_ros.speech.person import Person
        person = Person()
    try:
        folder = new_folder(args.output)
    except OSError as error:
        print(f'cannot make the folder of the run: {error}', file=sys.stderr)
        return 1
    parameters = node_parameters(folder)
    if not args.mic:
        parameters['sim_robot'] = {'speed': ROBOT_SPEED_M_S, 'map_file': str(HOUSE)}
        # The drive is long, and every report of it is read by the model.
        parameters['dialog_manager']['kernel.progress_period_s'] = 10.0
    domain = choose_domain(os.environ)
    outcome, conversation, session, broke, checks = Outcome(folder), None, None, '', None
    terminate_as_interrupt()
    with open_watch(plain=args.plain) as watch:
        watch.tell(f'run in {folder}, ROS_DOMAIN_ID={domain}; models: '
                   f'{", ".join(needed_models(settings))}')
        try:
            with Recording(folder / 'bag', args.namespace, on_remark=watch.tell), AgentSession(
                    settings, folder / 'nodes.log', parameters=parameters,
                    on_lines=watch.show, on_remark=watch.tell) as session:
                watch.follow(session.follower.view, session.follower.changed)
                watch.tell('loading models ...')
                if not args.mic:
                    conversation = Conversation(session, person, watch.tell)
                session.wait_ready()
                watch.tell('the agent is ready')
                try:
                    broke = _talk(args, conversation, watch)
                finally:
                    outcome.entries = _ledger(session)
        except KeyboardInterrupt:
            broke = '' if args.mic else 'interrupted from the keyboard'
            if conversation is not None and conversation.broke is not None:
                broke = conversation.broke    # it was over; --keep left the agent running
        if session is not None and outcome.entries:
            # The end of the session was written while the nodes ended.
            last = outcome.entries[-1].seq
            outcome.entries += [e for e in session.follower.view.ledger if e.seq > last]
        watch.tell('writing the report ...')
        outcome.write()
    if outcome.timeline is None:
        print_folder(outcome, print)
        return 1
    if conversation is not None:
        from async_agent_ros.demo.checks import evaluate
        print_lines(outcome, conversation.lines, print)
        checks = evaluate(outcome.timeline.view, conversation.lines, outcome.sounds,
                          outcome.entries)
    print_turns(outcome.timeline, print)
    print_checks(checks or (), print)
    print_folder(outcome, print)
    if broke:
        print(f'\nThe conversation broke off: {broke}')
    held = not broke and not outcome.problems and all(c.ok for c in checks or ())
    print('\nThe conversation held.' if held and not args.mic else '', flush=True)
    return 0 if held else 1


def _talk(args, conversation, watch) -> str:
    broke = conversation.hold() if conversation is not None else ''
    if args.mic:
        watch.tell('speak; Ctrl-C ends it')
    elif args.keep:
        watch.tell(f'the agent goes on (export ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]} to '
                   'join it); Ctrl-C ends it')
    else:
        return broke
    while True:
        signal.pause()


def _ledger(session: AgentSession):
    from async_agent_ros.record.follow import DeadlineError, fetch_ledger
    from async_agent_ros.srv import GetLedger
    client = session.node.create_client(GetLedger, 'get_ledger')
    try:
        return fetch_ledger(client)
    except DeadlineError:
        # A dead manager serves nothing; what it published is here.
        with session.follower.changed:
            return list(session.follower.view.ledger)
