"""
The voice side in conversation: answers, ends of turns, interruptions, backchannels, echo.

The real nodes and models over DDS; a script takes the place of the language model. A generated
person speaks into a microphone that also picks up the robot. Times are taken at the ends: of the
person's sound as it was generated, and of the robot's as it left the sink.
"""
from collections import Counter
from pathlib import Path
import random
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from async_agent_ros import bringup, models as packaged
from async_agent_ros.bench.common import rows
from async_agent_ros.bench.common.agent import MeasuredAgent
from async_agent_ros.bench.common.scenes import BACKCHANNELS, INTERRUPTIONS, QUESTIONS, STORY
from async_agent_ros.bench.common.words import plain_words, word_errors, words_told
from async_agent_ros.nodes.node_base import to_ns

BENCH = 'voice'
NAMESPACE = '/agent'
VOICE, RECOGNISER = 'piper-joe', 'whisper-tiny.en'
PARTS = ('questions', 'stories')
OFFLINE = ('detection', 'recognisers')
"""Without nodes, in the time that it takes."""
SCRIPT = f"""\
fallback: Certainly, I will do that for you.
rules:
- user: '^a story'
  say: >-
    {STORY}
- user: '.'
  say: Certainly, I will do that for you.
- notification: '.'
  say: ''
"""


class VoiceError(Exception):
    """An option cannot be used. The message names it and the remedy."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench voice`."""
    parser.add_argument('--n', type=int, default=10, metavar='COUNT',
                        help='questions, and stories with a backchannel and an interruption '
                        '(default: %(default)s: about four minutes)')
    parser.add_argument('--only', default=','.join(PARTS), metavar='PARTS',
                        help='what to hold, with commas between (default: %(default)s); detection '
                        'and recognisers measure without nodes and without a clock')
    parser.add_argument('--echo-db', default='-20', metavar='DB',
                        help="level of the robot's voice at the microphone, relative to what it "
                        'plays, or none (default: %(default)s)')
    parser.add_argument('--echo-delay-ms', type=float, default=80.0, metavar='MS',
                        help='delay of it (default: %(default)s)')
    parser.add_argument('--recogniser', default=RECOGNISER, metavar='MODEL',
                        help='speech recogniser (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1, help='of the moments (default: %(default)s)')


def models(args) -> Dict[str, str]:
    """Return the models that take part."""
    return {'language': 'none (script)', 'voice': VOICE, 'recogniser': args.recogniser}


def run(args) -> List[rows.Row]:
    """Hold the conversations; return rows."""
    if args.n < 1:
        raise VoiceError('--n must be above zero')
    only = {part.strip() for part in args.only.split(',') if part.strip()}
    if not only or only - {*PARTS, *OFFLINE}:
        raise VoiceError(f'--only {args.only!r}: it must be some of '
                         f'{", ".join(PARTS + OFFLINE)}')
    try:
        echo_db = None if args.echo_db == 'none' else float(args.echo_db)
    except ValueError:
        raise VoiceError(f'--echo-db {args.echo_db!r}: it must be a number or none') from None
    for name in (VOICE, args.recogniser):
        packaged.find(name)    # said now, by name and remedy, and not by a node's log
    found = _offline(args, only, echo_db)
    if not only & set(PARTS):
        return found
    with TemporaryDirectory(prefix='async_agent_bench_') as folder:
        conversation = _Conversation(args, echo_db, Path(folder))
        try:
            conversation.hold(only)
        finally:
            conversation.close()
    mode = 'headset' if echo_db is None else f'echo {echo_db:g} dB'
    return found + conversation.found.rows(mode, conversation.heard_words())


def _offline(args, only: Set[str], echo_db: Optional[float]) -> List[rows.Row]:
    made: List[rows.Row] = []
    if 'detection' in only:
        from async_agent_ros.bench.common import onsets
        made += onsets.measure(BENCH, VOICE, echo_db, args.echo_delay_ms / 1e3, args.seed)
    if 'recognisers' in only:
        from async_agent_ros.bench.common import recognisers
        names = list(dict.fromkeys([args.recogniser, RECOGNISER, 'whisper-base']))
        for name in names:
            packaged.find(name)
        made += recognisers.measure(BENCH, names, VOICE, args.seed)
    return made


# -- what is measured -----------------------------------------------------------------------------
class Found:
    """Samples by metric and part."""

    PARTS = ('end_of_turn_s', 'recognition_s', 'to_generate_s', 'first_token_s',
             'first_sentence_s', 'first_audio_s')

    def __init__(self):
        self.times: Dict[Tuple[str, str], List[float]] = {}
        self.events: Dict[str, List[bool]] = {}
        self.errors = self.words = self.missed = 0
        self.interruptions: Counter = Counter()
        """Stories by what became of the interruption of them."""

    def time(self, metric: str, part: str, ms: float) -> None:
        """Take a sample, milliseconds."""
        self.times.setdefault((metric, part), []).append(ms)

    def event(self, metric: str, happened: bool) -> None:
        """Take one of the events that a share is made of."""
        self.events.setdefault(metric, []).append(happened)

    def rows(self, mode: str, truncation: Sequence[float]) -> List[rows.Row]:
        """Return the rows."""
        made = [rows.distribution(BENCH, metric, part, mode, 'ms', samples)
                for (metric, part), samples in self.times.items()]
        made += [rows.single(BENCH, metric, 'conversation', mode, '%', len(events),
                             100.0 * sum(events) / len(events))
                 for metric, events in self.events.items()]
        if self.words:
            made.append(rows.single(BENCH, 'wer_percent', 'questions', mode, '%', self.words,
                                    100.0 * self.errors / self.words))
            made.append(rows.single(BENCH, 'missed_utterances', 'questions', mode, 'count',
                                    len(self.events.get('early_cut_percent', ())), self.missed))
        made += [rows.single(BENCH, 'interruptions', outcome, mode, 'count',
                             self.interruptions.total(), count)
                 for outcome, count in self.interruptions.items()]
        if truncation:
            made.append(rows.distribution(BENCH, 'truncation_error_words', 'interruptions', mode,
                                          'words', truncation))
        return made


class _Cut(NamedTuple):
    """What was heard of an interrupted answer, and what the ledger says of it."""

    pcm: Any
    rate: int
    intended: str
    heard: str


class _Conversation:
    """An agent, a room and a person."""

    def __init__(self, args, echo_db: Optional[float], folder: Path):
        from async_agent_ros.bench.common.room import People, Room
        from async_agent_ros.bench.common.voice_probe import VoiceProbe
        import numpy as np
        self.found = Found()
        self._args, self._random = args, random.Random(args.seed)
        self._rng = np.random.default_rng(args.seed)
        self._cuts: List[_Cut] = []
        script = folder / 'script.yaml'
        script.write_text(SCRIPT, encoding='utf-8')
        self._agent = MeasuredAgent(
            bringup.Settings(namespace=NAMESPACE, engine='scripted', sim_robot=False),
            {'dispatcher': {'script': str(script)},
             'tts': {'sinks': ['topic'], 'voice': VOICE},
             'asr': {'source': 'topic', 'model': args.recogniser}})
        self._people = People()
        self._probe = VoiceProbe(NAMESPACE)
        self._agent.__enter__()
        self._room = None
        try:
            self._agent.wait_ready(self._probe.spin, self._probe.missing)
            self._room = self._probe.room = Room(
                self._probe.audio_in, echo_db=echo_db, echo_delay_s=args.echo_delay_ms / 1e3,
                seed=args.seed)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the agent."""
        if self._room is not None:
            self._room.close()
        self._agent.__exit__()
        self._probe.close()

    def hold(self, only: Set[str]) -> None:
        """Hold all of it, or some of PARTS."""
        # The first answer warms up what has never run, and teaches asr the way of the echo.
        self._question(0, count=False)
        for number in range(self._args.n):
            self._agent.check()
            self._room.noise = (10.0, 30.0, 80.0)[number % 3]
            if 'questions' in only:
                self._question(number)
            if 'stories' in only:
                self._story(number)

    # -- questions ----------------------------------------------------------------------------
    def _question(self, number: int, *, count: bool = True) -> None:
        probe, found = self._probe, self.found
        line = QUESTIONS[number % len(QUESTIONS)]
        samples = self._people.say(line, number)
        probe.quiet()
        probe.forget()
        start_ns, end_ns = self._room.speak(samples)
        probe.until('the end of a question', lambda: probe.now_ns() > end_ns + 300_000_000, 30.0)
        answered = probe.waits(lambda: probe.first_sound_ns(end_ns) and probe.finals, 8.0)
        probe.waits(lambda: probe.idle and not probe.speaking, 15.0)
        if not count:
            return
        if not answered:
            found.missed += 1
            return
        found.time('response_ms', 'all', (probe.first_sound_ns(end_ns) - end_ns) / 1e6)
        # Nobody speaks over the answer: a pause in it is about the robot's own voice.
        found.event('own_voice_pause_percent', any(
            m.action == m.ACTION_PAUSE and to_ns(m.stamp) > probe.first_sound_ns(end_ns)
            for m in probe.interrupts))
        cut = any(ns < end_ns - 100_000_000 for ns in probe.stops_ns)
        found.event('early_cut_percent', cut)
        if not cut:
            pause = 'finished sentence' if len(line) == 1 else 'with a pause'
            declared_ns = [ns for ns in probe.stops_ns if ns < probe.first_sound_ns(end_ns)]
            found.time('end_of_turn_ms', pause, (declared_ns[-1] - end_ns) / 1e6)
            metrics = [m for m in probe.metrics if m.trigger == 'speech' and m.response_s >= 0.0]
            for part in Found.PARTS if metrics else ():
                found.time('response_part_ms', part[:-2], getattr(metrics[-1], part) * 1e3)
        said = plain_words(' '.join(text for text, _ in line))
        found.words += len(said)
        found.errors += word_errors(said, plain_words(' '.join(t.text for t in probe.finals)))
        for period_ms in probe.partial_periods_ms(samples, start_ns):
            found.time('partial_period_ms', 'speech', period_ms)
        first_ms = probe.first_partial_ms(start_ns)
        if first_ms is not None:
            found.time('first_partial_ms', 'speech', first_ms)

    # -- stories ------------------------------------------------------------------------------
    def _story(self, number: int) -> None:
        """Let the robot talk, put in a backchannel or a cough, then interrupt it."""
        from async_agent_ros.bench.common.room import cough
        probe = self._probe
        probe.quiet()
        probe.forget()
        asked_ns = probe.say('a story please')
        probe.until('a story', lambda: probe.first_sound_ns(asked_ns), 15.0)
        probe.spin(self._random.uniform(0.8, 1.6))
        word = BACKCHANNELS[number % len(BACKCHANNELS)]
        sound = self._people.say(((word, 0.0),), number + 1) if word else cough(self._rng)
        stopped = self._overtake(sound, 'backchannel' if word else 'cough')
        outcome = 'not held: stopped before' if stopped else self._interrupt(number)
        self.found.interruptions[outcome] += 1
        probe.waits(lambda: probe.idle and not probe.speaking, 20.0)

    def _overtake(self, sound, what: str) -> bool:
        """Say something that is no interruption; return whether the robot gave way."""
        probe, found = self._probe, self.found
        # Nobody has said anything yet: a pause now is about the robot's own voice.
        found.event('own_voice_pause_percent', bool(probe.interrupts))
        probe.forget_commands()
        start_ns, end_ns = self._room.speak(sound)
        probe.waits(lambda: probe.stopped, (end_ns - probe.now_ns()) / 1e9 + 2.5)
        # It goes on: heard again after the sound has ended.
        found.event('false_yield_percent', probe.stopped or not probe.speaking)
        paused_ns = probe.paused_ns(start_ns)
        found.event('false_pause_percent', bool(paused_ns))
        resumed_ns = probe.resumed_ns(paused_ns)
        if paused_ns and resumed_ns and not probe.stopped:
            found.time('false_pause_ms', what, (resumed_ns - paused_ns) / 1e6)
        return bool(probe.stopped)

    def _interrupt(self, number: int) -> str:
        """Speak over the robot; return what became of it."""
        probe = self._probe
        probe.waits(lambda: probe.sounding, 3.0)
        text = INTERRUPTIONS[number % len(INTERRUPTIONS)]
        samples = self._people.say(((text, 0.0),), number)
        probe.spin(self._random.uniform(0.2, 1.2))
        if not probe.speaking:
            return 'not held: the story was over'
        probe.forget_commands()
        onset_ns, end_ns = self._room.speak(samples)
        probe.waits(lambda: probe.stopped, (end_ns - probe.now_ns()) / 1e9 + 3.0)
        outcome = self._measure(onset_ns)
        # It answers; the next question must not come in between.
        probe.waits(lambda: probe.first_sound_ns(end_ns), 5.0)
        return outcome

    def _measure(self, onset_ns: int) -> str:
        probe, found = self._probe, self.found
        found.event('yield_percent', bool(probe.stopped))
        paused_ns = probe.paused_ns(onset_ns)
        if not (probe.stopped and paused_ns):
            return 'not heard'
        probe.spin(0.06)    # blocks that are still on the way
        last_ns = probe.last_sound_before(probe.answer_ns())
        if last_ns < onset_ns:
            return 'between two words'    # there was no sound to cut
        found.time('interrupt_to_pause_ms', 'all', (paused_ns - onset_ns) / 1e6)
        found.time('interrupt_to_silence_ms', 'all', (last_ns - onset_ns) / 1e6)
        started_ns, ordered_ns = probe.started_ns(onset_ns), probe.pause_order_ns(onset_ns)
        if started_ns and ordered_ns:
            found.time('interrupt_part_ms', 'detection', (started_ns - onset_ns) / 1e6)
            found.time('interrupt_part_ms', 'decision', (ordered_ns - started_ns) / 1e6)
            found.time('interrupt_part_ms', 'to the sink', (paused_ns - ordered_ns) / 1e6)
        cut = probe.waits(lambda: probe.cut, 3.0)
        if cut:
            pcm, rate = probe.played(last_ns)
            self._cuts.append(_Cut(pcm, rate, *probe.cut))
        return 'measured'

    def heard_words(self) -> List[float]:
        """
        Return by how many words the ledger is off about what was heard, for each interruption.

        A recogniser listens to what was played; it runs after the conversation.
        """
        from async_agent_ros.speech.audio import RATE, resample
        from async_agent_ros.speech.recognizer import make_recognizer
        recognizer = make_recognizer(self._args.recogniser, packaged.find)
        recognizer.load()
        errors = []
        for cut in self._cuts:
            text = recognizer.transcribe(resample(cut.pcm, cut.rate, RATE)).text
            told = words_told(plain_words(cut.intended), plain_words(text))
            errors.append(float(abs(told - len(plain_words(cut.heard)))))
        recognizer.close()
        return errors
