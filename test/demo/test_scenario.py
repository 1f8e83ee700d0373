"""The cues of the conversation and its checks, on messages of an imagined run."""
import json
from types import SimpleNamespace

from async_agent_ros.demo import scenario
from async_agent_ros.demo.checks import evaluate, heard_text, numbers, response_s, silence, yield_s
from async_agent_ros.msg import AgentState, LedgerEntry, Say, SpeechActivity, SpeechProgress
from async_agent_ros.msg import ToolAnnouncement, ToolSpec, Transcript
from async_agent_ros.watch.view import AgentView
from builtin_interfaces.msg import Time
import pytest

NS = 10**9


def at(seconds):
    """Return a ROS time."""
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * NS))


def line(text, onset, end):
    return SimpleNamespace(text=text, onset_ns=round(onset * NS), end_ns=round(end * NS))


class Run:
    """An agent of messages, fed into a view."""

    def __init__(self):
        self.view = AgentView()
        self.seq = self.segment = 0
        self.view.apply('tools', ToolAnnouncement(
            server='/agent/sim_robot', tools=[ToolSpec(name='navigate_to')]))
        self.state(0, 'idle')

    def state(self, t, state):
        self.view.apply('state', AgentState(stamp=at(t), state=state))

    def entry(self, t, kind, content='', **fields):
        if not isinstance(content, str):
            content = json.dumps(content)
        self.view.apply('ledger', LedgerEntry(
            seq=self.seq, stamp=at(t), kind=kind, content=content, **fields))
        self.seq += 1

    def hear(self, spoken, text=None):
        uid, end = f'u{self.seq}', spoken.end_ns / NS
        self.view.apply('speech_activity', SpeechActivity(
            utterance_id=uid, state='started', onset=at(spoken.onset_ns / NS)))
        self.view.apply('speech_activity', SpeechActivity(
            utterance_id=uid, state='stopped', onset=at(spoken.onset_ns / NS), end=at(end)))
        self.view.apply('transcript', Transcript(
            utterance_id=uid, final=True, text=text or spoken.text))
        self.entry(end + 0.5, 'user', text or spoken.text, name='speech')

    def speak(self, t, text, *, until=None, played_s=1.0, heard=None):
        self.segment += 1
        self.view.apply('say', Say(segment_id=self.segment, text=text, stamp=at(t - 0.1)))
        self.view.apply('speech_progress', SpeechProgress(
            segment_id=self.segment, state='started', stamp=at(t), duration_s=5.0))
        self.view.apply('speech_progress', SpeechProgress(
            segment_id=self.segment, state='playing', played_s=played_s, duration_s=-1.0))
        if until is not None:
            self.view.apply('speech_progress', SpeechProgress(
                segment_id=self.segment, state='finished' if heard is None else 'stopped',
                heard_chars=len(text) if heard is None else heard, stamp=at(until),
                played_s=played_s))

    def end(self, t):
        self.entry(t, 'end', {}, generation_id=1, status='succeeded')

    def call(self, t, call_id, name, **arguments):
        self.entry(t, 'call', {'arguments': arguments}, call_id=call_id, name=name)
        self.entry(t, 'commit', {}, call_id=call_id, name=name)
        self.entry(t, 'notification', {'text': 'accepted', 'progress': -1.0}, call_id=call_id,
                   name='accepted')

    def result(self, t, call_id, name, status='succeeded', result=None):
        self.entry(t, 'result', {'result': result, 'error_msg': ''}, call_id=call_id, name=name,
                   status=status)


@pytest.fixture
def agent():
    return Run()


ORDER = line(scenario.ORDER, 1, 2)


def test_the_first_line_waits_for_an_idle_agent_that_can_drive(agent):
    assert scenario.ready().holds(agent.view)
    assert not scenario.ready().holds(AgentView())


def test_on_the_way_means_running_and_quiet(agent):
    cue = scenario.driving(ORDER)
    agent.hear(ORDER)
    assert not cue.holds(agent.view) and not cue.hopeless(agent.view)
    agent.call(3, 'c1', 'navigate_to', place='kitchen')
    agent.speak(3, 'On my way.')
    assert not cue.holds(agent.view)
    agent.view.apply('speech_progress', SpeechProgress(segment_id=1, state='finished'))
    assert cue.holds(agent.view)


def test_an_answer_without_a_drive_is_hopeless(agent):
    cue = scenario.driving(ORDER)
    agent.hear(ORDER)
    agent.speak(3, 'I cannot.', until=4)
    agent.end(4)
    assert cue.hopeless(agent.view) == 'it answered without calling navigate_to'
    assert 'I cannot.' in scenario.situation(agent.view)


def test_the_person_interrupts_in_the_middle_of_the_answer(agent):
    abilities = line(scenario.ABILITIES, 5, 6)
    cue = scenario.explaining(abilities)
    agent.hear(abilities)
    agent.speak(7, 'I can drive and look around.', played_s=0.6)
    assert not cue.holds(agent.view)
    agent.view.apply('speech_progress', SpeechProgress(
        segment_id=1, state='playing', played_s=1.2, duration_s=-1.0))
    assert cue.holds(agent.view)
    agent.view.apply('speech_progress', SpeechProgress(
        segment_id=1, state='playing', played_s=4.8, duration_s=-1.0))
    assert not cue.holds(agent.view)


def test_a_short_answer_leaves_nothing_to_interrupt(agent):
    abilities = line(scenario.ABILITIES, 5, 6)
    agent.hear(abilities)
    agent.speak(7, 'Much.', played_s=0.5, until=7.5)
    agent.end(8)
    assert 'was over after 0.5 s' in scenario.explaining(abilities).hopeless(agent.view)


def test_numbers_in_digits_and_words():
    assert numbers('It is at 81.6 percent') == [81.6]
    assert numbers('eighty-one percent, not twenty') == [81.0, 1.0, 20.0]
    assert numbers('none') == []


def test_response_and_yield_are_taken_from_the_sounds():
    spoken = line('x', 10, 11)
    sounds = [(5 * NS, 6 * NS), (9 * NS, 10 * NS + 200_000_000), (13 * NS, 14 * NS)]
    assert yield_s(sounds, spoken) == pytest.approx(0.2)
    assert response_s(sounds, spoken) == pytest.approx(2.0)
    assert yield_s([(9 * NS, 10 * NS - 30_000_000)], spoken) == 0.0    # at a soft beginning
    assert yield_s([(9 * NS, 10 * NS - 200_000_000)], spoken) is None
    assert silence(sounds, spoken, cut_off=True).ok
    assert not silence([(9 * NS, 9_500_000_000)], spoken, cut_off=False).ok
    # Between two sentences: the next one is held, at once or after its first sound.
    assert silence([(9 * NS, 9_500_000_000)], spoken, cut_off=True).ok
    assert silence([(10 * NS + 10_000_000, 10 * NS + 60_000_000)], spoken, cut_off=True).ok
    assert not silence([(10 * NS + 10_000_000, 12 * NS)], spoken, cut_off=True).ok
    assert yield_s(sounds[2:], spoken) is None and response_s(sounds[:2], spoken) is None


def test_an_utterance_that_a_pause_has_split_is_put_together(agent):
    whole = line(scenario.BARGE_IN, 10, 12)
    agent.hear(line('Wait,', 10, 10.3))
    agent.hear(line('how far is it to the kitchen?', 10.9, 12))
    assert heard_text(agent.view, whole) == 'Wait, how far is it to the kitchen?'


def good_run(agent, *, battery='My battery is at 81 percent.', arrival='I am in the kitchen.'):
    """Return lines and sounds of a conversation that holds."""
    lines = [ORDER, line(scenario.BATTERY, 5, 6), line(scenario.ABILITIES, 9, 10),
             line(scenario.BARGE_IN, 13, 14), line(scenario.THANKS, 22, 23)]
    agent.hear(lines[0])
    agent.call(3, 'c1', 'navigate_to', place='kitchen')
    agent.speak(3, 'On my way.', until=4)
    agent.hear(lines[1])
    agent.call(6.5, 'c2', 'get_battery')
    agent.result(6.6, 'c2', 'get_battery', result={'percent': 81.4})
    agent.speak(7, battery, until=8)
    agent.hear(lines[2])
    agent.speak(11, 'I can drive and look around.', until=13.2, heard=5)
    agent.hear(lines[3])
    agent.entry(14.5, 'interrupt', {'heard': 'I can', 'intended': 'I can drive and look around.'})
    agent.speak(15, 'Three metres.', until=16)
    agent.result(18, 'c1', 'navigate_to', result={'arrived_at': 'kitchen'})
    agent.speak(19, arrival, until=20)
    agent.hear(lines[4])
    agent.speak(24, 'You are welcome.', until=25)
    sounds = [(3 * NS, 4 * NS), (7 * NS, 8 * NS), (11 * NS, 13_200_000_000),
              (15 * NS, 16 * NS), (19 * NS, 20 * NS), (24 * NS, 25 * NS)]
    return lines, sounds


def failed(agent, lines, sounds):
    checks = evaluate(agent.view, lines, sounds, agent.view.ledger)
    return [c.name for c in checks if not c.ok]


def test_a_good_conversation_passes_every_check(agent):
    lines, sounds = good_run(agent)
    assert failed(agent, lines, sounds) == []


def test_a_wrong_battery_level_is_found(agent):
    assert failed(agent, *good_run(agent, battery='It is full, 100 percent.')) == ['battery told']


def test_a_silent_arrival_is_found(agent):
    names = failed(agent, *good_run(agent, arrival='Hm.'))
    assert names == ['arrival announced']


def test_a_robot_that_talks_on_is_found(agent):
    lines, sounds = good_run(agent)
    sounds[2] = (11 * NS, 14_800_000_000)
    assert failed(agent, lines, sounds) == ['silent']


def test_a_second_result_and_a_gap_are_found(agent):
    lines, sounds = good_run(agent)
    agent.seq += 1
    agent.result(26, 'c2', 'get_battery', result={'percent': 81.4})
    assert failed(agent, lines, sounds) == ['one result per call', 'ledger']


def test_a_conversation_that_broke_off_says_what_is_missing(agent):
    agent.hear(ORDER, text='Cheese dry vote the chicken')
    checks = evaluate(agent.view, [ORDER], [], agent.view.ledger)
    names = [c.name for c in checks if not c.ok]
    assert names == ['heard', 'all lines said', 'drive', 'arrival announced']
    assert checks[0].got == '"Cheese dry vote the chicken"'
