"""Time spans and times of day in words: what people say, and nothing else."""
from async_agent_ros.core.built_in import SET_TIMER
from async_agent_ros.core.spoken_time import duration_s, time_of_day, TimeOfDay
from hypothesis import given, strategies as st
import pytest


@pytest.mark.parametrize('words, seconds', [
    ('10 minutes', 600), ('ten minutes', 600), ('Ten minutes.', 600), ('90 s', 90),
    ('ninety seconds', 90), ('45 min', 2700), ('forty-five minutes', 2700), ('1h30m', 5400),
    ('twenty five minutes', 1500), ('an hour and a half', 5400), ('half an hour', 1800),
    ('one and a half hours', 5400), ('1.5 hours', 5400), ('two and a half minutes', 150),
    ('three quarters of an hour', 2700), ('a quarter of an hour', 900), ('half a minute', 30),
    ('a couple of minutes', 120), ('two hours and ten minutes', 7800), ('hour', 3600),
    ("two hours' time", 7200), ("an hour's time", 3600), ('in 10 minutes', 600),
    ('10 minutes from now', 600), ('every hour', 3600), ('eight minute', 480), ('2 days', 172_800),
    ('a hundred seconds', 100), ('2 hours, 5 minutes and 10 seconds', 7510),
])
def test_a_time_span_as_people_say_it(words, seconds):
    assert duration_s(words) == seconds


@pytest.mark.parametrize('words', [
    '', ' ', 'soon', 'five', 'minutes ten 3', 'half', 'a few minutes', '-5 minutes', '0 s',
    'ten minutes or so', 'seven thirty', 'and', 'two hours and', 'quarter past seven', '1e5 s',
])
def test_what_is_no_time_span_is_none(words):
    assert duration_s(words) is None


@pytest.mark.parametrize('words, time', [
    ('7:30', (7, 30, 0, True)), ('07:30', (7, 30)), ('19:30', (19, 30)), ('7.30', (7, 30, 0, True)),
    ('19:30:15', (19, 30, 15)), ('half past six', (6, 30, 0, True)),
    ('quarter to seven', (6, 45, 0, True)), ('a quarter past 7', (7, 15, 0, True)),
    ('quarter to one', (12, 45, 0, True)), ('ten to twelve', (11, 50, 0, True)),
    ('5 minutes to 9', (8, 55, 0, True)), ('seven', (7, 0, 0, True)),
    ("seven o'clock", (7, 0, 0, True)), ('at eight', (8, 0, 0, True)),
    ('six fifteen', (6, 15, 0, True)), ('seven oh five', (7, 5, 0, True)), ('7 pm', (19, 0)),
    ('7:30 p.m.', (19, 30)), ('12 am', (0, 0)), ('12 pm', (12, 0)), ('noon', (12, 0)),
    ('midnight', (0, 0)), ('twenty past eight in the evening', (20, 20)),
    ('nine in the morning', (9, 0)), ('eleven thirty tonight', (23, 30)), ('18', (18, 0)),
    ('7 tomorrow', (7, 0, 0, True)),
])
def test_a_time_of_day_as_people_say_it(words, time):
    assert time_of_day(words) == TimeOfDay(*time)


@pytest.mark.parametrize('words', [
    '', 'now', 'soon', '25:00', '7:75', 'half', 'quarter past', 'past seven', 'half past forty',
    'ten minutes', 'seventy', 'twelve hundred',
])
def test_what_is_no_time_of_day_is_none(words):
    assert time_of_day(words) is None


WORDS = st.lists(st.sampled_from(
    'half quarter third a an and of to past hour minutes s seven 10 7:30 07 pm oh twenty couple '
    "in the o'clock's . : 1h".split()), max_size=7).map(' '.join)


@given(st.one_of(st.text(max_size=30), WORDS))
def test_any_text_is_a_time_or_none(text):
    span, time = duration_s(text), time_of_day(text)
    assert span is None or 0 < span < 1e15
    assert time is None or (0 <= time.hour < 24 and 0 <= time.minute < 60
                            and 0 <= time.second < 60)


@given(st.integers(1, 999), st.sampled_from((('second', 1), ('minute', 60), ('hour', 3600))))
def test_a_counted_span_is_its_product(count, unit):
    assert duration_s(f'{count} {unit[0]}s') == count * unit[1]


@given(st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_the_24_hour_clock_is_itself(hour, minute):
    assert time_of_day(f'{hour:02}:{minute:02}')[:2] == (hour, minute)


@pytest.mark.parametrize('arguments, wrong', [
    ({'after': '10 minutes'}, None), ({'at': 'half past six'}, None), ({'every': 'hour'}, None),
    ({'after': 'soon'}, "after: 'soon' is no time span from a second to a year; say it as in "
     "'10 minutes' or 'an hour and a half'"),
    ({'after': '800 days'}, "after: '800 days' is no time span"),
    ({'at': '25:00'}, "at: '25:00' is no time of day; say it as in '19:30'"),
    ({'every': '0.1 s'}, "every: '0.1 s' is no time span"), ({'after': 600}, '600 is not of type'),
])
def test_arguments_of_timers_are_checked_and_the_remedy_is_named(arguments, wrong):
    found = SET_TIMER.check_arguments(arguments)
    assert found is None if wrong is None else wrong in found
