"""
Situations: does a model do the right thing in the middle of a conversation.

Each situation is a ledger up to the point where the model must answer, and what a right answer
is: which calls, and what its words must or must not say. The prompt is rendered by the agent's own
renderer, over the simulated robot's own tools, so that a change of either shows here.
"""
import json
import pathlib
import re
import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.bench.common.rows import distribution, single
from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.chatml import Call, Parser, PromptFormat, Rejected, Renderer, Text
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Kind
from async_agent_ros.llm.engine import GenerationRequest

S = 1_000_000_000


class Scene:
    """Writes the entries of a conversation, one second apart unless told otherwise."""

    def __init__(self, specs: Sequence[ToolSpec], persona: str = ''):
        self.entries: List[Entry] = []
        self.clock_s = 0.0
        self._generation = 0
        if persona:
            self._add(Kind.SYSTEM, persona)
        self._add(Kind.SYSTEM, {'added': [s.to_json() for s in specs], 'removed': [],
                                'server': '/agent/sim_robot'}, name='tools')
        self.clock_s = 4.0

    def _add(self, kind, content, **fields) -> 'Scene':
        text = content if isinstance(content, str) else json.dumps(content)
        self.entries.append(Entry(len(self.entries), int(self.clock_s * S), kind, text, **fields))
        return self

    def after(self, seconds: float) -> 'Scene':
        """Let time pass."""
        self.clock_s += seconds
        return self

    def user(self, text: str) -> 'Scene':
        """Let the person say something."""
        self.after(1.0)
        return self._add(Kind.USER, text, name='speech')

    def says(self, *texts: str, calls: Sequence[Tuple[str, str, Mapping[str, Any]]] = ()
             ) -> 'Scene':
        """Let the model write text, then calls (id, tool, arguments), which are committed."""
        self.after(1.0)
        self._generation += 1
        for text in texts:
            self._add(Kind.ASSISTANT, text, generation_id=self._generation)
        for call_id, name, arguments in calls:
            self._add(Kind.CALL, {'arguments': arguments}, call_id=call_id, name=name,
                      generation_id=self._generation)
        self._add(Kind.END, {'finish_reason': 'stop'}, status='succeeded',
                  generation_id=self._generation)
        for call_id, name, _ in calls:
            self._add(Kind.COMMIT, {}, call_id=call_id, name=name)
        return self

    def calls(self, call_id: str, name: str, **arguments) -> 'Scene':
        """Let the model call one tool and nothing else."""
        return self.says(calls=[(call_id, name, arguments)])

    def accepted(self, call_id: str) -> 'Scene':
        """Let the server take the call."""
        return self._add(Kind.NOTIFICATION, {'progress': -1.0, 'text': 'accepted'},
                         name='accepted', call_id=call_id)

    def progress(self, call_id: str, value: float, text: str) -> 'Scene':
        """Let the call report."""
        return self.after(1.0)._add(Kind.NOTIFICATION, {'progress': value, 'text': text},
                                    name='progress', call_id=call_id)

    def result(self, call_id: str, status: str, value: Any = None, error: str = '') -> 'Scene':
        """End the call."""
        return self._add(Kind.RESULT, {'error_code': 0 if not error else 702, 'error_msg': error,
                                       'result': value, 'elapsed_s': 5.0},
                         call_id=call_id, status=status)

    def heard(self, text: str) -> 'Scene':
        """Cut off the last assistant text: only `text` of it was heard."""
        spoken = [e for e in self.entries if e.kind == Kind.ASSISTANT][-1]
        return self._add(Kind.INTERRUPT, {'heard': text, 'intended': spoken.content,
                                          'reason': 'barge-in', 'scope': 'speech'},
                         about_seq=spoken.seq, generation_id=spoken.generation_id)

    def driving(self, place: str = 'kitchen', left: str = '3.2 m left', done: float = 0.55,
                call_id: str = 'c1') -> 'Scene':
        """Order a drive that goes on."""
        return (self.user(f'Go to the {place}.').calls(call_id, 'navigate_to', place=place)
                .accepted(call_id).says('I am on my way.').progress(call_id, done, left))


@dataclass(frozen=True)
class Situation:
    """What happened, and what a right answer is."""

    name: str
    group: str
    build: Callable[[Scene], Scene]
    calls: Tuple[Tuple[str, Mapping[str, Any]], ...] = ()
    """The calls that the answer must hold, no others."""
    must: str = ''
    """Regular expression that the spoken words must match, case ignored."""
    must_not: str = ''
    text: Optional[bool] = None
    """Whether words are required (True), or forbidden (False)."""
    longest_words: int = 30
    refused: bool = False
    """A call that the check of arguments refuses is right too: the person is told then."""


NAV, BATTERY, POSE, LOOK = 'navigate_to', 'get_battery', 'get_pose', 'look_around'
UNTRUE_ARRIVAL = (r'\bdone\b|it took|\b(have|has|\'ve) (now )?(arrived|reached)|^arrived|'
                  r'\bi am (now )?(in|at) the')
REFUSAL = (r"\b(can(no|')t|can not|cannot|unable|not able|no tool|don't have|do not have|"
           r"don't know|do not know|not equipped|sorry|not possible|only)\b")


def _nav(place):
    return ((NAV, {'place': place}),)


def situations() -> List[Situation]:
    """Return the whole set."""
    return _commands() + _questions() + _running() + _results() + _talk() + _interrupts()


def _commands():
    def order(name, text, *calls):
        return Situation(name, 'command', lambda s: s.user(text), calls)
    return [
        order('go', 'Go to the kitchen.', *_nav('kitchen')),
        order('go polite', 'Could you please drive to the living room?', *_nav('living room')),
        order('go disfluent', 'Um, so, can you, uh, head over to the bedroom for me?',
              *_nav('bedroom')),
        order('go corrected', 'Go to the kitchen, no wait, to the garage.', *_nav('garage')),
        order('go lower case', 'okay robot move to the hallway', *_nav('hallway')),
        order('pick up', 'Pick up the apple.', ('pick_up', {'object': 'apple'})),
        order('grab', 'Grab that book, will you?', ('pick_up', {'object': 'book'})),
        order('place', 'Put the cup on the table.', ('place', {'object': 'cup', 'where': 'table'})),
        order('dock', 'Go back to your charger and dock.', ('dock', {})),
        order('two', 'Drive to the bedroom and tell me how much battery you have.',
              (NAV, {'place': 'bedroom'}), (BATTERY, {})),
        order('two questions', 'Where are you, and how full is your battery?', (POSE, {}),
              (BATTERY, {})),
        Situation('second order', 'command', lambda s: s.driving('garage').result(
            'c1', 'succeeded', {'place': 'garage', 'distance_m': 8.1, 'duration_s': 10.4})
            .says('I am in the garage now.').user('Now come to the kitchen.'), _nav('kitchen')),
        Situation('after small talk', 'command', lambda s: s.user('Hi there!').says(
            'Hello, I am ready.').user('Please go to the bedroom.'), _nav('bedroom')),
    ]


def _questions():
    def ask(name, text, *calls):
        return Situation(name, 'question', lambda s: s.user(text), calls)
    return [
        ask('battery', 'How much battery is left?', (BATTERY, {})),
        ask('power', 'Are you running low on power?', (BATTERY, {})),
        ask('where', 'Where are you right now?', (POSE, {})),
        ask('see', 'What can you see around you?', (LOOK, {})),
        ask('find', 'Do you know where the screwdriver is?',
            ('find_object', {'object': 'screwdriver'})),
        Situation('battery again', 'question', lambda s: s.user('What is your battery?').calls(
            'c1', BATTERY).result('c1', 'succeeded', {'percent': 81.0, 'charging': False})
            .says('My battery is at 81 percent.').after(60).user('And how is the battery now?'),
            ((BATTERY, {}),)),
    ]


def _running():
    return [
        Situation('accepted', 'running', lambda s: s.user('Go to the kitchen.').calls(
            'c1', NAV, place='kitchen').accepted('c1'), (), r'\w', UNTRUE_ARRIVAL, True, 14),
        Situation('pick accepted', 'running', lambda s: s.user('Pick up the cup.').calls(
            'c1', 'pick_up', object='cup').accepted('c1'), (), r'\w',
            r'\b(have|has|\'ve) (picked|got|grasped)', True, 14),
        Situation('battery while driving', 'running', lambda s: s.driving().user(
            'How much battery do you have?'), ((BATTERY, {}),)),
        Situation('see while driving', 'running', lambda s: s.driving('bedroom').user(
            'What do you see?'), ((LOOK, {}),)),
        Situation('are we there', 'running', lambda s: s.driving().user('Are we there yet?'), (),
                  r'\b(not|still|almost|soon|3\.2|met(er|re)|55|half|on (my|the|our) way|driving)',
                  UNTRUE_ARRIVAL, True),
        Situation('how far', 'running', lambda s: s.driving('garage', '6.0 m left', 0.2).user(
            'How far is it?'), (), r'6(\.0)?\b|six', '', True),
        Situation('what doing', 'running', lambda s: s.driving('garage').user(
            'What are you doing?'), (), r'garage', UNTRUE_ARRIVAL, True),
        Situation('joke while driving', 'running', lambda s: s.driving().user(
            'Tell me something funny.'), (), r'\w', UNTRUE_ARRIVAL, True, 40),
        Situation('change goal', 'running', lambda s: s.driving('kitchen').user(
            'Actually, go to the garage instead.'), _nav('garage')),
        Situation('cancel', 'running', lambda s: s.driving('kitchen').user(
            'Never mind, cancel the drive.'), (('cancel', {'call': NAV}),)),
        Situation('thanks while driving', 'running', lambda s: s.driving().user('Thanks!'), (),
                  r'\w', UNTRUE_ARRIVAL, True),
    ]


def _results():
    def battery(s):
        return s.user('How much battery is left?').calls('c1', BATTERY)
    return [
        Situation('arrived', 'result', lambda s: s.driving().after(4).result(
            'c1', 'succeeded', {'place': 'kitchen', 'distance_m': 7.1, 'duration_s': 9.0}), (),
            r'kitchen|there|arrived', 'on my way|sorry', True, 20),
        Situation('battery told', 'result', lambda s: battery(s).result(
            'c1', 'succeeded', {'percent': 63.0, 'charging': False}), (), r'\b(63|sixty)', '',
            True, 20),
        Situation('battery told while driving', 'result', lambda s: s.driving().user(
            'How much battery do you have?').calls('c2', BATTERY).result(
            'c2', 'succeeded', {'percent': 47.0, 'charging': False}), (), r'\b(47|forty)',
            UNTRUE_ARRIVAL, True, 24),
        Situation('arrived after question', 'result', lambda s: s.driving().user(
            'How much battery do you have?').calls('c2', BATTERY).result(
            'c2', 'succeeded', {'percent': 47.0, 'charging': False}).says(
            'My battery is at 47 percent.').after(3).result(
            'c1', 'succeeded', {'place': 'kitchen', 'distance_m': 7.1, 'duration_s': 9.0}), (),
            r'kitchen|arrived', r'47|on my way', True, 20),
        Situation('seen', 'result', lambda s: s.user('What do you see?').calls('c1', LOOK).result(
            'c1', 'succeeded', {'place': 'living room', 'objects': [
                {'object': 'book', 'on': 'coffee table'}]}), (), r'book', r'cup|apple', True, 24),
        Situation('found', 'result', lambda s: s.user('Where is the charger?').calls(
            'c1', 'find_object', object='charger').result('c1', 'succeeded', {
                'object': 'charger', 'place': 'bedroom', 'on': 'desk'}), (), r'bedroom|desk',
            '', True, 20),
        Situation('pose told', 'result', lambda s: s.user('Where are you?').calls(
            'c1', POSE).result('c1', 'succeeded', {
                'place': 'hallway', 'x_m': 1.2, 'y_m': 0.3, 'driving': False}), (), r'hallway',
            '', True, 20),
        Situation('refused room', 'result', lambda s: s.user('Go to the swimming pool.').calls(
            'c1', NAV, place='swimming pool').result(
            'c1', 'failed', None, "place: 'swimming pool' is not one of ['hallway', 'kitchen', "
            "'living room', 'bedroom', 'garage']"), (), r'pool', UNTRUE_ARRIVAL, True, 40),
        Situation('drive failed', 'result', lambda s: s.driving('bedroom').result(
            'c1', 'failed', None, 'the bedroom door is blocked; the robot stopped in the hallway'),
            (), r'block|stopped|could ?n.t|can.?n?.t|fail|not reach|unable|hallway',
            r'\b(have|has|\'ve) (now )?(arrived|reached)|am in the bedroom', True, 30),
        Situation('pick failed', 'result', lambda s: s.user('Pick up the apple.').calls(
            'c1', 'pick_up', object='apple').accepted('c1').says('I am on it.').result(
            'c1', 'failed', None, 'the apple is not in this room; it was last seen in the kitchen'),
            (), r"not|n't|kitchen|fail|sorry", r'\b(have|\'ve) (the|picked)|got the', True, 30),
        Situation('cancelled', 'result', lambda s: s.driving('garage').user(
            'Cancel the drive.').says(calls=[('c2', 'cancel', {'call': NAV})]).result(
            'c2', 'succeeded', {'cancelling': ['c1']}).result(
            'c1', 'cancelled', {'stopped': 'in the hallway', 'distance_m': 2.0}, 'cancelled'), (),
            r'stop|cancel|hallway', r'arrived|on my way', True, 20),
    ]


def _talk():
    def talk(name, text, must=r'\w', must_not='', longest=30):
        return Situation(name, 'talk', lambda s: s.user(text), (), must, must_not, True, longest)
    return [
        talk('hello', 'Hello, how are you?'),
        talk('thanks', 'Thank you very much.'),
        talk('name', 'What is your name?'),
        talk('joke', 'Tell me a joke.', longest=45),
        talk('abilities', 'What can you do?', r'driv|navigat|go to|move|pick|battery|find', '', 70),
        talk('yourself', 'Tell me about yourself.', r'robot', '', 90),
        talk('cannot cook', 'Please cook me dinner.', REFUSAL),
        talk('cannot fly', 'Fly to the moon.', REFUSAL),
        talk('weather', 'What is the weather like tomorrow?', REFUSAL),
        Situation('unknown room', 'talk', lambda s: s.user('Go to the swimming pool.'), (),
                  REFUSAL + r'|no swimming pool|not a (place|room)|which room', '', refused=True),
        Situation('unknown thing', 'talk', lambda s: s.user('Bring me the newspaper.'), (),
                  REFUSAL + r'|no newspaper', '', refused=True),
        talk('good night', 'Good night!'),
    ]


def _interrupts():
    story = ('I am a robot that drives through the house. I can pick things up and put them '
             'down. I can also look around and tell you what I see.')

    def cut(s):
        return s.user('Tell me about yourself.').says(story).heard(
            'I am a robot that drives through the house.')
    return [
        Situation('interrupt order', 'interrupt', lambda s: cut(s).user(
            'Stop. Go to the kitchen.'), _nav('kitchen')),
        Situation('interrupt question', 'interrupt', lambda s: cut(s).user(
            'Wait, how is your battery?'), ((BATTERY, {}),)),
        Situation('interrupt talk', 'interrupt', lambda s: cut(s).user('Okay, thanks.'), (), r'\w',
                  '', True),
        Situation('interrupt while driving', 'interrupt', lambda s: s.driving('garage').user(
            'Tell me about yourself.').says(story).heard('I am a robot').user(
            'No, what is your battery level?'), ((BATTERY, {}),)),
    ]


@dataclass(frozen=True)
class Verdict:
    """What a model wrote in a situation, and what is wrong with it ('' when right)."""

    situation: Situation
    output: str
    problem: str
    first_text_s: float
    """Seconds to the first whole sentence or call."""
    whole_s: float
    prompt_tokens: int
    new_tokens: int


def judge(situation: Situation, output: str, prompt_format: PromptFormat = PromptFormat(),
          specs: Sequence[ToolSpec] = ()) -> str:
    """Return what is wrong with an output, or ''."""
    parser = Parser(prompt_format)
    events = parser.feed(output) + parser.finish()
    rejected = [e for e in events if isinstance(e, Rejected)]
    if rejected:
        return f'not parsable: {rejected[0].reason}'
    made = [(e.name, dict(e.arguments)) for e in events if isinstance(e, Call)]
    known = {s.name: s for s in specs}
    for name, arguments in made:
        if known and name not in known:
            return f'unknown tool {name}'
        wrong = known[name].check_arguments(arguments) if known else None
        if wrong and situation.refused:
            return ''
        if wrong:
            return f'wrong arguments of {name}: {wrong}'
    if sorted(map(repr, made)) != sorted(repr((n, dict(a))) for n, a in situation.calls):
        return f'called {made or "nothing"}'
    text = ''.join(e.text for e in events if isinstance(e, Text)).strip()
    if situation.text and not text:
        return 'said nothing'
    if situation.text is False and text:
        return f'said {text!r}'
    if situation.must and not re.search(situation.must, text, re.I):
        return f'did not say /{situation.must[:24]}/'
    if situation.must_not:
        found = re.search(situation.must_not, text, re.I)
        if found:
            return f'said {found.group(0)!r}'
    if len(text.split()) > situation.longest_words:
        return f'{len(text.split())} words'
    return ''


def sim_tools() -> List[ToolSpec]:
    """Return the catalogue of the simulated robot, and the built-in tools."""
    from async_agent_ros.tools.sim.map import load_map
    from async_agent_ros.tools.sim.simulation import Simulation
    from async_agent_ros.tools.sim.tools import build_tools
    from async_agent_ros.tools.sim.world import World

    class Clock:
        def now_s(self):
            return 0.0
    world = World(load_map(_config('sim_map.yaml')))
    return [t.spec for t in build_tools(Simulation(world, Clock()))] + list(BUILT_IN.values())


def _config(name) -> pathlib.Path:
    beside = pathlib.Path(__file__).resolve().parents[2] / 'config' / name
    if beside.is_file():
        return beside
    from ament_index_python.packages import get_package_share_directory
    return pathlib.Path(get_package_share_directory('async_agent_ros')) / 'config' / name


def load_prompt(path: Optional[str] = None) -> Tuple[str, PromptFormat]:
    """Return persona and format of a prompt file (the package's own when None)."""
    import yaml
    value = yaml.safe_load(pathlib.Path(path or _config('prompt.yaml')).read_text()) or {}
    return value.get('persona', ''), PromptFormat.from_mapping(value.get('format'))


def run_one(engine, situation: Situation, persona: str, prompt_format: PromptFormat,
            specs: Sequence[ToolSpec], constrained: bool = True) -> Verdict:
    """Put one situation to the engine."""
    scene = situation.build(Scene(specs, persona))
    renderer = Renderer(prompt_format)
    # what came before was read while it happened: only the last event is new to the model
    renderer.feed(scene.entries[:-1])
    if renderer.kept:
        list(engine.stream(GenerationRequest('main', renderer.kept, 1), threading.Event()))
    renderer.feed(scene.entries[-1:])
    request = GenerationRequest('main', renderer.prompt(int((scene.clock_s + 0.5) * S)), 160,
                                tools=tuple(specs) if constrained else ())
    parser, first_s, output, started = Parser(prompt_format), -1.0, '', time.monotonic()
    for piece in engine.stream(request, threading.Event()):
        output += piece
        if parser.feed(piece) and first_s < 0.0:
            first_s = time.monotonic() - started
        if parser.done:
            break
    whole_s = time.monotonic() - started
    stats = request.stats
    return Verdict(situation, output, judge(situation, output, prompt_format, specs),
                   first_s if first_s >= 0.0 else whole_s, whole_s, stats.prompt_tokens,
                   stats.prompt_tokens - stats.cached_tokens)


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench situations`."""
    parser.add_argument('--engine', default='llama_cpp', choices=('llama_cpp', 'transformers'))
    parser.add_argument('--model', action='append',
                        help='packaged model or path; may be given several times')
    parser.add_argument('--prompt', help="prompt file; default: the package's own")
    parser.add_argument('--only', default='', help='groups or names to run, comma-separated')
    parser.add_argument('--unconstrained', action='store_true', help='without the grammar')
    parser.add_argument('--show', action='store_true', help='print every answer')
    parser.add_argument('--threads', type=int, default=2)


def run(args) -> List[Dict[str, Any]]:
    """Run the set on each model, print a table, return rows."""
    persona, prompt_format = load_prompt(args.prompt)
    specs = sim_tools()
    only = set(filter(None, args.only.split(',')))
    chosen = [s for s in situations() if not only or {s.group, s.name} & only]
    rows: List[Dict[str, Any]] = []
    for model in args.model or ['qwen2.5-coder-1.5b']:
        engine = _engine(args, model)
        engine.load()
        try:
            head = Renderer(prompt_format)
            head.feed(Scene(specs, persona).user('Hello!').entries)
            engine.warm('main', head.kept)
            verdicts = []
            for situation in chosen:
                verdicts.append(run_one(engine, situation, persona, prompt_format, specs,
                                        not args.unconstrained))
                if args.show or verdicts[-1].problem:
                    print(_line(verdicts[-1]), flush=True)
        finally:
            engine.close()
        mode = 'free' if args.unconstrained else 'constrained'
        rows += _report(model, mode, verdicts)
    return rows


def _engine(args, model):
    if args.engine == 'transformers':
        from async_agent_ros.llm.transformers_engine import TransformersEngine
        return TransformersEngine(model, threads=args.threads)
    from async_agent_ros.llm.llama_cpp import LlamaCppEngine
    return LlamaCppEngine(model, threads=args.threads)


def _line(v):
    return (f'{"X" if v.problem else " "} {v.situation.group:10}{v.situation.name:28}'
            f'{v.first_text_s:5.1f} s  {v.output!r}' + (f'   <- {v.problem}' if v.problem else ''))


def _report(model, mode, verdicts):
    rows = []
    print(f'\n{model}, {mode}, prompt of '
          f'{max((v.prompt_tokens for v in verdicts), default=0)} tokens')
    for group in [*dict.fromkeys(v.situation.group for v in verdicts), 'all']:
        of = [v for v in verdicts if group in (v.situation.group, 'all')]
        right = sum(not v.problem for v in of)
        first = statistics.median(v.first_text_s for v in of)
        new = statistics.median(v.new_tokens for v in of)
        print(f'  {group:12}{right:3} of {len(of):3} right   first sentence or call '
              f'{first:5.2f} s   {new:4.0f} new tokens')
        rows.append(single('situations', 'right_percent', group, f'{model} {mode}', '%', len(of),
                           100.0 * right / len(of)))
        rows.append(distribution('situations', 'first_output_s', group, f'{model} {mode}', 's',
                                 [v.first_text_s for v in of]))
    return rows


def main(argv=None) -> None:
    """Run it as a module, without the command line of the agent."""
    import argparse
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args(argv))


if __name__ == '__main__':
    main()
