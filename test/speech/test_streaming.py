"""Text while it is spoken: stable words, windows, reuse. A table takes the recogniser's place."""
from async_agent_ros.speech.audio import RATE
from async_agent_ros.speech.recognizer import Recognition
from async_agent_ros.speech.streaming import Agreement, spans, Transcriber
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest


class Reader:
    """Hears one word per half second: the samples hold the number of the word."""

    WORDS = ('drive to the kitchen and bring me a red cup then come back and wait near the door '
             'until somebody opens it for you').split()

    def __init__(self):
        self.seconds = []

    def transcribe(self, samples, *, quick=False):
        self.seconds.append(len(samples) / RATE)
        numbers = samples[RATE // 4::RATE // 2]
        return Recognition(' '.join(self.WORDS[n % len(self.WORDS)] for n in numbers if n > 0),
                           0.9, 'en')


def speech(words):
    samples = np.repeat(np.arange(1, words + 1, dtype=np.int16), RATE // 2)
    # A pause between the words: a place to cut.
    samples.reshape(-1, RATE // 2)[:, -RATE // 10:] = 0
    return samples


def test_a_word_is_stable_when_two_hypotheses_agree_and_it_is_not_the_last():
    agreement = Agreement()
    assert agreement.take('Drive to') == 'Drive to' and agreement.stable == ''
    assert agreement.take('Drive to the kit') == 'Drive to the kit'
    assert agreement.stable == 'Drive'
    agreement.take('Drive to the kitchen.')
    assert agreement.stable == 'Drive to the'


def test_stable_words_survive_a_hypothesis_that_denies_them():
    agreement = Agreement()
    for text in ('Pick up the red', 'Pick up the red cup', 'Pick up the red cup now'):
        agreement.take(text)
    assert agreement.stable == 'Pick up the red'
    assert agreement.take('Pick up a red cup now and go') == 'Pick up the red cup now and go'
    assert agreement.finish('pick, up the red cup') == 'Pick up the red cup'


def test_punctuation_after_the_last_stable_word_may_change():
    agreement = Agreement()
    agreement.take('Go to the kitchen. Please')
    agreement.take('Go to the kitchen, please now')
    assert agreement.stable == 'Go to the kitchen'
    assert agreement.take('Go to the kitchen; please now.') == 'Go to the kitchen; please now.'


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(['go', 'to', 'the', 'Kitchen,', 'and', '12', '-']),
                         max_size=8).map(' '.join), max_size=8))
def test_the_stable_prefix_only_grows_and_every_text_begins_with_it(hypotheses):
    agreement, before = Agreement(), ''
    for text in hypotheses:
        shown = agreement.take(text)
        assert agreement.stable.startswith(before) and shown.startswith(before)
        before = agreement.stable
        assert agreement.finish(text).startswith(before)


def test_long_speech_costs_no_more_per_decode_and_committed_words_are_not_heard_again():
    reader = Reader()
    transcriber = Transcriber(reader)
    whole = speech(44)
    stable = ''
    for end in range(RATE, len(whole) + 1, RATE // 2):
        revision = transcriber.revise(whole[:end])
        assert revision.text.startswith(stable)
        stable = revision.text[:revision.stable_chars]
    assert max(reader.seconds) <= 9.0
    count = len(reader.seconds)
    final = transcriber.finish(whole)
    assert len(reader.seconds) == count + 1 and reader.seconds[-1] < 9.0
    assert final.stable_chars == len(final.text)
    heard = [word for word, _ in spans(final.text)]
    assert len(heard) == pytest.approx(44, abs=2) and heard[:4] == Reader.WORDS[1:5]


def test_phantoms_of_a_short_beginning_are_not_shown_but_a_final_is_believed():
    class Polite:
        def transcribe(self, samples, *, quick=False):
            return Recognition('Thank you.', 0.8, 'en')

    transcriber = Transcriber(Polite())
    assert transcriber.revise(np.zeros(RATE, np.int16)).text == ''
    assert transcriber.covered == RATE and transcriber.heard == 'Thank you.'
    assert transcriber.finish().text == 'Thank you.'
