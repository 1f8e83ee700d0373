"""Short utterances: backchannels, stops, yes and no."""
from hypothesis import given, strategies as st
import pytest

from async_agent_ros.core import phrases
from async_agent_ros.core.settings import Settings

S = Settings()


@pytest.mark.parametrize('text,expected', [
    ('mm-hm', True), ('Mm-hm.', True), ('Uh-huh, yeah.', True), ('okay okay', True), ('', True),
    ('Yeah, but where?', False), ('stop', False), ('I see the cup', False)])
def test_backchannels(text, expected):
    assert phrases.is_backchannel(text, S) == expected


@pytest.mark.parametrize('text,expected', [
    ('stop', True), ('Stop!', True), ('robot stop now', True), ('no, stop it', True),
    ('please halt', True), ('stop talking', False), ('do not stop', False), ('the', False),
    ('wait', False), ('', False), ('stop at the kitchen', False)])
def test_orders_to_stand_still(text, expected):
    assert phrases.is_motion_stop(text, S) == expected


@pytest.mark.parametrize('text,expected', [
    ('wait', True), ('Hold on a second', True), ('what is', True), ('mm-hm', False),
    ('uh', False), ('yeah okay', False)])
def test_what_stops_the_voice_in_a_partial_transcript(text, expected):
    assert phrases.stops_speech(text, S) == expected


@pytest.mark.parametrize('text,expected', [
    ('Yes.', 'yes'), ('yes, go ahead', 'yes'), ("No, don't", 'no'), ('yes, no, wait', 'no'),
    ('maybe later', ''), ('', '')])
def test_answers_to_a_question(text, expected):
    assert phrases.answer_to_question(text, S) == expected


@given(st.text())
def test_any_text_is_judged(text):
    for judge in (phrases.is_backchannel, phrases.is_stop, phrases.is_motion_stop,
                  phrases.stops_speech, phrases.answer_to_question):
        judge(text, S)
