"""The rules of the design, for any order of events: hypothesis plays the world."""
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings, strategies as st
from kernel_world import generates, of, SERVER, TOOLS, World

from async_agent_ros.core import effects, events
from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.words import Busy, Effect, Kind, Phase

# Commands as plain data; what they point at (which call, which segment) is chosen by index when
# they are played, so that most are plausible, and some come too late, twice or for nobody.
MORE_TOOLS = (
    replace(TOOLS['navigate_to'], name='lift', motion=False, resources=('arm',)),
    replace(TOOLS['navigate_to'], name='wave', resources=('arm',), when_busy=Busy.REPLACE),
    replace(TOOLS['look'], name='beep', cancel_on_barge_in=False, max_per_minute=2.0))
ALL_TOOLS = {**TOOLS, **{t.name: t for t in MORE_TOOLS}}
BUILT_IN = {
    'cancel': {'call': 'navigate_to'}, 'wait': {}, 'now': {}, 'set_timer': {'after': '5 s'},
    'fork': {'task': 'look'}, 'spawn': {'brief': 'look', 'tools': ['look', 'lift']}}
PLACES = ('kitchen', 'hall', '$c1.n', '$look', '$c2')
HELPER = 4
"""As the number of a generation's output: that of a helper, where there is one."""
DRAFTED = 3
"""As the number of a generation's output: that of a draft, where there is one."""
MODES = st.sampled_from(('off', 'revise', 'stream'))
GOING_ON = ('what is', 'what is it', 'drive to the', 'drive to the kitchen')

TEXTS = ('drive to the kitchen', 'stop', 'mm-hm', 'yes', 'no', 'what is it', '')
NUMBER = st.integers(0, 5)
MOVES = st.one_of(
    st.tuples(st.just('say'), st.sampled_from(TEXTS)),
    st.tuples(st.just('converse'), st.sampled_from(TEXTS), st.booleans()),
    st.tuples(st.just('speech_started'), NUMBER),
    st.tuples(st.just('speech_stopped'), NUMBER),
    st.tuples(st.just('transcript'), NUMBER, st.sampled_from(TEXTS), st.booleans()),
    st.tuples(st.just('partial'), NUMBER, st.sampled_from(GOING_ON), st.booleans()),
    st.tuples(st.just('text'), st.sampled_from(('Well, ', 'I am there. ', 'Sure?')), NUMBER),
    st.tuples(st.just('call'), st.sampled_from((*ALL_TOOLS, *BUILT_IN, 'fly')),
              st.sampled_from(('', 'c1', 'c2', 'c9')), NUMBER, st.sampled_from(PLACES)),
    st.tuples(st.just('begun'), st.sampled_from(('', 'c1', 'c2'))),
    st.tuples(st.just('remove'), st.sampled_from(('c1', 'c2', 'c9'))),
    st.tuples(st.just('rejected')),
    st.tuples(st.just('finish'), st.sampled_from((0, 0, 0, 601, 602, 606)), NUMBER),
    st.tuples(st.just('progress'), NUMBER, st.sampled_from(
        ('started', 'playing', 'paused', 'finished', 'stopped', 'failed')), st.integers(0, 20)),
    st.tuples(st.just('accepted'), NUMBER),
    st.tuples(st.just('feedback'), NUMBER),
    st.tuples(st.just('ended'), NUMBER, st.sampled_from(
        ('succeeded', 'failed', 'cancelled', 'lost', 'nonsense'))),
    st.tuples(st.just('interrupt'), st.sampled_from(('speech', 'motion', 'all', 'odd'))),
    st.tuples(st.just('timer'), NUMBER),
    st.tuples(st.just('peer'), st.sampled_from(('asr', 'tts', 'dispatcher')), st.booleans()),
    st.tuples(st.just('server_lost')), st.tuples(st.just('server_back')),
    st.tuples(st.just('storage'), st.booleans()),
    st.tuples(st.just('restart')),
)
# Stretches of an ordinary conversation, so that random orders happen in the middle of one.
SCENES = st.sampled_from((
    (('say', 'drive to the kitchen'), ('text', 'Well, ', 0),
     ('call', 'navigate_to', '', 0, 'kitchen'), ('finish', 0, 0), ('accepted', 0)),
    (('say', 'what is it'), ('call', 'get_battery', '', 0, ''), ('finish', 0, 0)),
    (('say', 'drive to the kitchen'), ('call', 'open_door', '', 0, 'hall'), ('finish', 0, 0),
     ('say', 'yes')),
    (('ended', 0, 'succeeded'), ('text', 'I am there. ', 0), ('progress', 0, 'started', 0)),
    (('text', 'I am there. ', 0), ('finish', 0, 0), ('progress', 0, 'finished', 0)),
    (('speech_started', 0), ('speech_stopped', 0), ('transcript', 0, 'what is it', True),
     ('progress', 0, 'stopped', 3), ('progress', 0, 'stopped', 0)),
    (('speech_started', 1), ('text', 'Well, ', 0), ('transcript', 1, 'mm-hm', True)),
    (('say', 'what is it'), ('call', 'fork', '', 0, ''), ('finish', 0, 0),
     ('call', 'lift', '', HELPER, 'hall'), ('finish', 0, HELPER)),
    (('say', 'what is it'), ('call', 'lift', '', 0, 'hall'), ('call', 'wave', '', 0, '$lift.n'),
     ('call', 'lift', '', 0, 'kitchen'), ('finish', 0, 0)),
    (('partial', 0, 'what is it', True), ('call', 'get_battery', '', DRAFTED, ''),
     ('call', 'lift', '', DRAFTED, 'hall'), ('finish', 0, DRAFTED)),
    (('partial', 1, 'drive to the', False), ('call', 'navigate_to', 'c1', DRAFTED, 'hall'),
     ('call', 'beep', 'c2', DRAFTED, '$c1.n'), ('finish', 0, DRAFTED),
     ('partial', 1, 'drive to the kitchen', True),
     ('call', 'navigate_to', 'c1', DRAFTED, 'kitchen'), ('text', 'Well, ', DRAFTED)),
    (('partial', 0, 'what is it', True), ('call', 'get_battery', 'c1', DRAFTED, ''),
     ('call', 'get_battery', 'c1', DRAFTED, ''), ('finish', 0, DRAFTED),
     ('ended', 0, 'succeeded'), ('call', 'beep', 'c1', DRAFTED, 'hall'),
     ('finish', 0, DRAFTED), ('ended', 0, 'succeeded')),
    (('speech_stopped', 0), ('transcript', 0, 'what is it', True)),
    (('speech_stopped', 1), ('transcript', 1, 'drive to the kitchen', True)),
    (('partial', 1, 'drive to the', False), ('call', 'navigate_to', 'c1', DRAFTED, 'hall'),
     ('finish', 0, DRAFTED), ('partial', 1, 'drive to the kitchen', True), ('begun', 'c2'),
     ('speech_stopped', 1), ('transcript', 1, 'drive to the kitchen', True)),
    (('partial', 0, 'what is', True), ('call', 'lift', 'c1', DRAFTED, 'hall'),
     ('finish', 0, DRAFTED), ('speech_stopped', 0), ('transcript', 0, 'what is it', True),
     ('begun', ''), ('call', 'lift', 'c1', 0, 'kitchen')),
    (('interrupt', 'speech'), ('text', 'Well, ', 5), ('call', 'navigate_to', 'c9', 0, 'hall')),
))


def conversations(length):
    """Return lists of moves: scenes, with single moves in between."""
    part = st.one_of(SCENES, st.tuples(MOVES))
    return st.lists(part, min_size=length // 2, max_size=length).map(
        lambda parts: [move for moves in parts for move in moves])


def pick(ids, number):
    """Return one of the ids, or one that does not exist."""
    ids = sorted(ids)
    return ids[number % len(ids)] if ids and number < 5 else None


class Player:
    """Plays moves and checks the rules after every step."""

    def __init__(self, **options):
        self.world = World(Settings(max_chain=1000, **options), tools=tuple(ALL_TOOLS.values()))
        self.passed = set()
        self.helpers = set()
        self.assumed = {}
        self.final = set()
        """Generations on assumed words that have become final (ids of utterances come again)."""
        self.begun = {}
        self.went_on = set()
        """Generations that have begun a line which edits nothing."""
        self.timers = {}
        self.executed = Counter()
        self.released = {}
        self.generations = {}
        self.restarts = 0
        self.requests = 0
        for out in self.world.effects:
            self.check(None, out)

    def play(self, move):
        event, out = self._play(*move)
        self.check(event, out)

    def _step(self, kind, **fields):
        out = self.world.step(kind, **fields)
        return self.world.events[-1], out

    def _play(self, name, *args):
        state = self.world.state
        current = {'generation_id': state.active or 99, 'epoch': state.epoch}
        helper = next((i.active for i in state.instances.values() if i.active), None)
        if helper and name in ('text', 'call', 'finish') and args[-2 if name == 'call' else -1] \
                == HELPER:
            current['generation_id'] = helper
        if state.draft and name in ('text', 'call', 'finish') and (
                args[-2 if name == 'call' else -1] == DRAFTED):
            current['generation_id'] = state.draft.answers[-1]
        if name == 'say':
            return self._step(events.UserText, text=args[0])
        if name == 'converse':
            self.requests += 1
            return self._step(events.UserText, text=args[0], source='converse',
                              request_id=f'r{self.requests}', wait_for_calls=args[1])
        if name in ('speech_started', 'speech_stopped'):
            kind = events.SpeechStarted if name == 'speech_started' else events.SpeechStopped
            return self._step(kind, utterance_id=f'u{args[0]}')
        if name == 'partial':
            if f'u{args[0]}' not in state.speaking:
                self.check(*self._step(events.SpeechStarted, utterance_id=f'u{args[0]}'))
            return self._step(events.TranscriptUpdated, after_ms=400, utterance_id=f'u{args[0]}',
                              text=args[1] + '' if args[2] else args[1] + ' and',
                              stable_chars=len(args[1]))
        if name == 'transcript':
            return self._step(events.TranscriptUpdated, utterance_id=f'u{args[0]}', text=args[1],
                              final=args[2])
        if name == 'text':
            if args[1] == 5:    # what an interrupted generation sends late
                current = {'generation_id': 1, 'epoch': 0}
            return self._step(events.TextGenerated, text=args[0], **current)
        if name == 'call':
            arguments = {} if args[2] == 5 or args[0] == 'get_battery' else {'place': args[3]}
            arguments = BUILT_IN.get(args[0], arguments)
            if args[0] == 'cancel':
                arguments = {'call': pick(state.calls, args[2]) or 'navigate_to'}
            return self._step(events.CallGenerated, name=args[0], call_id=args[1],
                              arguments=arguments, **current)
        if name == 'begun':
            if state.stream is None or args[0] not in state.stream.ids:
                self.went_on.add(current['generation_id'])
            return self._step(events.LineBegun, call_id=args[0], **current)
        if name == 'remove':
            return self._step(events.CallRemoved, call_id=args[0], **current)
        if name == 'rejected':
            return self._step(events.OutputRejected, raw='CALL {', reason='broken', **current)
        if name == 'finish':
            return self._step(events.GenerationEnded, error_code=args[0],
                              finish_reason='error' if args[0] else 'stop', **current)
        if name == 'progress':
            return self._step(events.SpeechProgressed, state=args[1], heard_chars=args[2],
                              segment_id=pick(state.segments, args[0]) or 0)
        if name == 'accepted':
            return self._step(events.CallAccepted, call_id=pick(state.calls, args[0]) or 'x')
        if name == 'feedback':
            return self._step(events.CallProgressed, call_id=pick(state.calls, args[0]) or 'x',
                              progress=0.5, text='half way')
        if name == 'ended':
            return self._step(events.CallEnded, call_id=pick(state.calls, args[0]) or 'c1',
                              status=args[1], result={'n': 1})
        if name == 'interrupt':
            return self._step(events.InterruptRequested, scope=args[0])
        if name == 'timer':
            timer_id = pick(self.timers, args[0])
            self.timers.pop(timer_id, None)
            return self._step(events.TimerFired, timer_id=timer_id or 'nothing')
        if name == 'peer':
            return self._step(events.PeerChanged, peer=args[0], alive=args[1])
        if name == 'server_lost':
            return self._step(events.ToolServerLost, server=SERVER)
        if name == 'server_back':
            return self._step(events.ToolsAnnounced, server=SERVER,
                              tools=tuple(t.to_json() for t in ALL_TOOLS.values()))
        if name == 'storage':
            return self._step(events.StorageChanged, writable=args[0], message='disk')
        self.restarts += 1
        self.generations.clear()
        self.assumed.clear()
        self.timers.clear()
        out = self.world.restart()
        return self.world.events[-1], out

    def owed(self, result):
        """Tell whether a generation that was asked for must tell it: not what a draft has told."""
        call = self.world.ledger[result.about_seq]
        return 'taken_from' not in result.data and call.generation_id not in self.assumed

    # -- the rules --------------------------------------------------------------------------------
    def check(self, event, out):
        state = self.world.state
        if isinstance(event, events.GenerationEnded) and not event.error_code:
            self.passed.add(event.generation_id)
        if isinstance(event, events.TranscriptUpdated) and event.final and event.text:
            self.final |= {g for g, u in self.assumed.items() if u == event.utterance_id}
        for effect in out:
            if isinstance(effect, effects.SetTimer):
                self.timers[effect.timer_id] = effect.at_ns
            elif isinstance(effect, effects.ClearTimer):
                self.timers.pop(effect.timer_id, None)
            elif isinstance(effect, effects.Execute):
                self.check_execute(event, effect)
            elif isinstance(effect, effects.Generate):
                self.check_generate(effect)
            elif isinstance(effect, effects.Say):
                assert effect.epoch == state.epoch and not state.paused
                assert not state.person_has_floor, 'the agent spoke into the words of the person'
        self.check_stale(event, out)
        self.check_work_goes_on(event, out)
        appended = [e.entry for e in of(out, effects.Append)]
        assert [state.ledger[e.seq] for e in appended] == appended

    def check_execute(self, event, effect):
        """Write ahead, once, and state-changing calls only after their commit point."""
        self.executed[effect.call_id] += 1
        assert self.executed[effect.call_id] == 1
        commit = self.world.ledger[effect.commit_seq]
        assert commit.kind == Kind.COMMIT and commit.call_id == effect.call_id
        if effect.spec.effect != Effect.READ_ONLY:
            assert effect.instance != 'draft'
            utterance_id = self.assumed.get(commit.generation_id)
            if utterance_id is None:
                assert commit.generation_id in self.passed
            else:    # words that were not final yet: a generation on the final ones has passed,
                # or a later one is past its edits
                assert commit.generation_id in self.final, 'before the commit point'
                assert any(g >= commit.generation_id for g in self.passed) or any(
                    g > commit.generation_id for g in self.went_on)
        if effect.spec.effect == Effect.CONFIRM:
            asked = max(e.seq for e in self.world.ledger
                        if e.call_id == effect.call_id and e.name == 'confirm')
            assert any(e.kind == Kind.USER and e.content == 'yes'
                       for e in self.world.ledger[asked:commit.seq])
        assert '$' not in str(effect.arguments)
        state = self.world.state
        for other in state.calls.values():
            if other.call_id != effect.call_id and other.executing:
                assert not set(other.spec.resources) & set(effect.spec.resources)
        if effect.spec.max_per_minute:
            begun = self.begun.setdefault(effect.spec.name, [])
            begun.append(state.now_ns)
            assert len([t for t in begun if t > state.now_ns - 60 * 10**9]) <= 2
        if effect.spec.effect != Effect.READ_ONLY:
            assert self.world.state.storage_ok

    def check_generate(self, effect):
        """One generation at a time; its context is the whole ledger of that moment."""
        state = self.world.state
        if effect.speculative:
            assert state.speaking or state.awaited
            assert not any(i.active for i in state.instances.values())
            self.assumed[effect.generation_id] = state.plan.utterance_id
        if effect.instance == 'draft':
            assert state.active is None and state.draft.answers[-1] == effect.generation_id
            assert effect.assumed[0].content == state.draft.assumption.text
            return
        if effect.instance != 'main':
            assert state.instances[effect.instance].active == effect.generation_id
            self.helpers.add(effect.generation_id)
            return
        assert effect.generation_id == state.active and effect.generation_id not in \
            self.generations
        assert effect.context_seq <= state.ledger.next_seq and effect.epoch == state.epoch
        self.generations[effect.generation_id] = {
            w.seq for w in state.answers[effect.generation_id].waiting}

    def check_stale(self, event, out):
        """Output of an older epoch or of another generation changes nothing."""
        if isinstance(event, (events.TextGenerated, events.CallGenerated, events.CallRemoved)):
            if (event.epoch < self.world.state.epoch
                    and event.generation_id not in self.helpers):
                assert not of(out, effects.Append) and not of(out, effects.Say)

    def check_work_goes_on(self, event, out):
        """Words of the person and a stop of speech cancel no running call by themselves."""
        speech = (isinstance(event, events.TranscriptUpdated)
                  or isinstance(event, events.UserText)
                  or (isinstance(event, events.InterruptRequested) and event.scope == 'speech'))
        if not speech or getattr(event, 'text', '') == 'stop':
            return
        for effect in of(out, effects.CancelCall):
            call = self.world.state.calls[effect.call_id]
            utterance_id = self.assumed.get(call.generation_id)
            assert call.spec.cancel_on_barge_in or call.instance == 'draft' or (
                utterance_id is not None and call.generation_id not in self.final)

    def settle(self):
        """Let everything come to its end in good order, then stop."""
        world, state = self.world, self.world.state
        self.play(('storage', True))
        for utterance_id in sorted({*state.speaking, *state.awaited}):
            self.play(('transcript', int(utterance_id[1:]), '', True))
        for _ in range(400):
            state = world.state
            calls = list(state.calls.values())
            running = [c for c in calls if c.executing and not c.built_in]
            asking = [c for c in calls if c.phase == Phase.CONFIRMING]
            if state.retrying:
                self.play(('peer', 'dispatcher', True))
            elif state.cut:
                self.timers.pop('cut', None)
                self.check(*self._step(events.TimerFired, timer_id='cut'))
            elif state.segments:
                self.play(('progress', 0, 'finished', 0))
            elif state.active is not None:
                self.play(('finish', 0, 0))
            elif any(i.active for i in state.instances.values()):
                self.play(('finish', 0, HELPER))
            elif asking:
                self.check(*self._step(events.TimerFired,
                                       timer_id=f'confirm:{asking[0].call_id}'))
            elif running:
                self.check(*self._step(events.CallEnded, call_id=running[0].call_id))
            elif calls:    # timers, waits
                self.play(('interrupt', 'all'))
            elif state.grouping:
                self.timers.pop('group', None)
                self.check(*self._step(events.TimerFired, timer_id='group'))
            else:
                break
        assert not state.calls and not state.answers and not state.waiting and not state.turns
        assert not state.held and not state.instances and state.phase == 'idle'


def play(moves, **options):
    player = Player(**options)
    for move in moves:
        player.play(move)
    return player


@settings(max_examples=200, deadline=None)
@given(conversations(24), MODES)
def test_the_rules_hold_for_any_order_of_events(moves, mode):
    player = play(moves, speculation=mode)
    player.settle()
    ledger = player.world.ledger

    ends = Counter(e.call_id for e in ledger if e.kind == Kind.RESULT)
    assert set(ends) == {e.call_id for e in ledger if e.kind == Kind.CALL}
    assert set(ends.values()) <= {1}, 'exactly one terminal record for every call'

    if not player.restarts:
        generation_ends = Counter(e.generation_id for e in ledger if e.kind == Kind.END)
        assert {*player.generations, *player.assumed} <= set(generation_ends)
    assert set(Counter((e.generation_id, e.instance) for e in ledger
                       if e.kind == Kind.END).values()) <= {1}
    begun = {e.instance for e in ledger if e.kind in (Kind.FORK, Kind.SPAWN)}
    assert begun == {e.instance for e in ledger
                     if e.kind == Kind.END and not e.generation_id and e.instance != 'main'}


@settings(max_examples=200, deadline=None)
@given(conversations(24), MODES)
def test_a_result_is_told_exactly_once(moves, mode):
    player = play([m for m in moves if m[0] != 'restart'], speculation=mode)
    player.play(('say', 'what is it'))
    player.settle()
    ledger = player.world.ledger
    done = {e.generation_id for e in ledger if e.kind == Kind.END and e.status == 'succeeded'}
    told = Counter(seq for g, seqs in player.generations.items() if g in done for seq in seqs
                   if ledger[seq].kind == Kind.RESULT)
    assert set(told.values()) <= {1}
    quiet = {e.call_id for e in ledger if e.kind == Kind.RETRACT}
    for entry in ledger:
        if (entry.kind == Kind.RESULT and entry.call_id not in quiet
                and entry.instance == 'main' and player.owed(entry)):
            assert told[entry.seq] == 1, f'{entry} was not told'


@settings(max_examples=100, deadline=None)
@given(conversations(24), MODES)
def test_the_recorded_events_stepped_again_give_the_same_ledger(moves, mode):
    player = play(moves, speculation=mode)
    player.check(*player._step(events.Stopping))
    again = replay(events.from_json(type(e).__name__, e.to_json()) for e in player.world.events)
    assert first_difference(list(player.world.ledger), list(again)) is None
    assert again.text() == player.world.ledger.text()


@settings(max_examples=100, deadline=None)
@given(conversations(16), conversations(8), MODES)
def test_a_restart_loses_nothing_and_repeats_nothing(before, after, mode):
    player = play([m for m in before if m[0] != 'restart'], speculation=mode)
    text = player.world.ledger.text()
    player.play(('restart',))
    assert player.world.ledger.text().startswith(text)
    for move in after:
        player.play(move)
    player.settle()
    assert set(player.executed.values()) <= {1}


def test_generating_needs_something_to_answer():
    world = World()
    assert not any(generates(out) for out in world.effects)
