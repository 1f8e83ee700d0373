"""What is said of timers means the call that stands beside it."""
import random
import re

from async_agent_ros.core.spoken_time import duration_s, time_of_day
from async_agent_ros.training import robots, timers
from async_agent_ros.training.own_tools import own_tools
from async_agent_ros.training.speaker import NUMBERS, Speaker
from async_agent_ros.training.tables import language
import pytest

SECONDS = {'second': 1, 'minute': 60, 'hour': 3600}
COUNTS = {**{word: number for number, word in NUMBERS.items()}, 'a': 1, 'an': 1}


@pytest.fixture
def speaker():
    """Return a speaker over the simulated robot's tools."""
    robot = robots.sim_robot()
    return Speaker(random.Random(3), language('train'),
                   own_tools(robot.specs, robot.phrases, 'train'), disfluency=0.0)


def _seconds(words):
    """Return the seconds of '8 minutes' and the like, or None for other spans."""
    found = re.search(r'([\w-]+) (second|minute|hour)s?\b', words)
    count = COUNTS.get(found[1], found[1]) if found else ''
    return int(count) * SECONDS[found[2]] if str(count).isdigit() else None


def test_a_time_span_in_words_is_that_many_seconds(speaker):
    counted, spans = 0, set()
    for _ in range(1000):
        words = timers.span(speaker)
        spans.add(words)
        assert duration_s(words), words
        if not re.search('half|quarter|couple| and ', words):
            counted += 1
            assert duration_s(words) == _seconds(words), words
    assert counted > 500 and {'an hour and a half', 'a couple of minutes'} < spans


def test_a_span_before_a_noun_has_no_plural_and_call_and_answer_have_one(speaker):
    found = set()
    for _ in range(2000):
        intent = timers.timer(speaker, 'timer')
        if '{short}' not in intent.template:
            continue
        said = re.search(r'\b(an?) (\w[\w-]*) (second|minute)\b', intent.text)
        assert said and not re.search('(second|minute)s', intent.text), intent.text
        assert (said[1] == 'an') == (said[2] in ('8', '11', 'eight', 'eleven')), intent.text
        set_for = intent.plan[0].arguments['after']
        assert duration_s(set_for) == _seconds(said[2] + ' ' + said[3])
        assert set_for in intent.plan[0].ack
        assert set_for.endswith('s') == (said[2] not in ('1', 'one')), set_for
        found.add(set_for)
    assert len(found) > 15


def test_a_call_takes_time_and_chore_as_they_are_said(speaker):
    chores = set()
    for kind in ('remind', 'every', 'at', 'timer'):
        for _ in range(200):
            intent = timers.timer(speaker, kind)
            said = intent.text.lower()
            for name, value in intent.plan[0].arguments.items():
                if '{short}' not in intent.template:
                    assert value.lower() in said, (name, value, said)
            if kind == 'remind':
                chores.add(intent.plan[0].arguments['text'])
    assert len(chores) > 100


def test_a_corrected_timer_takes_the_second_time(speaker):
    for _ in range(200):
        intent = timers.corrected(speaker)
        (wrong,), (right,) = (stage.plan for stage in intent.stages)
        assert right.arguments['after'] in intent.stages[1].words
        assert wrong.arguments['after'] in intent.stages[0].words
        assert right.key == wrong.key and right.arguments['after'] in right.ack


def test_a_timer_beside_a_request_asks_for_both_and_each_is_owned_up_to(speaker):
    first = set()
    for _ in range(200):
        tool = speaker.pick(lambda t: t.concept.ask)
        intent = timers.beside(speaker, tool)
        names = [a.name for a in intent.plan]
        assert sorted(names) == sorted([tool.spec.name, 'set_timer'])
        first.add(names[0] == 'set_timer')
        assert len(intent.stages) > 1 and len(intent.stages[0].plan) < 2
        told = next(a.ack for a in intent.plan if a.name == 'set_timer')
        assert ('remind' in told) != ('timer is set' in told)
        assert not intent.reply
    assert first == {True, False}


def test_a_time_in_words_is_that_time(speaker):
    past = {'ten past': 10, 'quarter past': 15, 'twenty past': 20, 'half past': 30,
            'twenty to': -20, 'quarter to': -15, 'ten to': -10}
    seen, others = set(), set()
    for _ in range(1000):
        words = timers.time_of_day(speaker)
        time = time_of_day(words)
        assert time is not None, words
        found = re.fullmatch(r'(.*(?:past|to)) (\w+)|(\w+) o\'clock', words)
        if not found:
            others.add(re.sub(r'^\w+ ?', '', words) if words[0].isalpha() else 'digits')
            if words[0].isdigit():
                assert words == f'{time.hour}:{time.minute:02}'
            continue
        lead = found[1] or "o'clock"
        seen.add(lead)
        minutes = 60 * COUNTS[found[2] or found[3]] + past.get(lead, 0)
        assert minutes == 60 * time.hour + time.minute or (time.hour, minutes) == (
            12, time.minute), words
    assert seen == {*past, "o'clock"}
    assert {'digits', 'pm', 'in the morning', 'thirty', ''} < others
