"""The end of a turn from silence and words, in virtual time."""
from async_agent_ros.speech.audio import RATE
from async_agent_ros.speech.endpointing import Endpointer, EndpointSettings, Ending, ending
from async_agent_ros.speech.endpointing import silence_needed_s
from async_agent_ros.speech.vad import FRAME, Offset, Onset, Segmenter, VadSettings
import pytest

SETTINGS = EndpointSettings(min_s=0.4, usual_s=0.6, max_s=1.2)


@pytest.mark.parametrize('text', [
    'Drive to the kitchen.', 'What is that?', 'Stop!', 'Go to room 12.', 'Wait five minutes.',
    'Where are you?', 'Can you come over?', 'Yes.', 'Please.', 'Is it on or off?',
    'The number is 0176 5550 1234.', 'Turn it on.', 'Pick it up.', 'Which cup would you like?',
    'Take two.', 'No, the other one.', 'He will say no.', 'No.', 'Oh no.'])
def test_a_finished_sentence_ends_soon(text):
    assert ending(text) is Ending.FINISHED and silence_needed_s(text, SETTINGS) == 0.4


@pytest.mark.parametrize('text', [
    'Drive to the kitchen and', 'Drive to the.', 'Bring me a', 'Go to,', 'I would like, um...',
    'Um.', 'Bring it from the kitchen to', 'My number is 0176', 'The code is four.',
    'zero one seven', 'Call 555 12', 'because', 'Wait until', 'Please give me the -',
    'The thing is', 'Drive to the office, no.', 'Drive to the office no.',
    'Take the red one, no wait', 'At six. Sorry,',
    'The left one - or rather.'])
def test_words_that_ask_for_more_are_waited_for(text):
    assert ending(text) is Ending.OPEN and silence_needed_s(text, SETTINGS) == 1.2


def test_without_words_the_usual_silence_counts_and_noise_ends_soon():
    assert silence_needed_s(None, SETTINGS) == 0.6
    assert silence_needed_s('red cup', SETTINGS) == 0.6
    assert silence_needed_s(' ', SETTINGS) == 0.4


def test_settings_are_brought_into_order():
    settings = EndpointSettings(min_s=0.8, usual_s=0.6, max_s=0.5)
    assert (settings.min_s, settings.usual_s, settings.max_s) == (0.8, 0.8, 0.8)


def run(frames, words):
    """Feed probabilities; `words` are (sample at which it is known, text, covered to)."""
    segmenter, endpointer, changes = Segmenter(VadSettings()), Endpointer(SETTINGS), []
    words = list(words)
    for number, probability in enumerate(frames):
        while words and words[0][0] <= number * FRAME:
            endpointer.heard(*words.pop(0)[1:])
        segmenter.end_silence_s = endpointer.needed_s(segmenter.last_speech)
        changes += segmenter.step(probability)
    return changes


def waits(changes):
    return [(c.known - c.end) / RATE for c in changes if isinstance(c, Offset)]


SPEECH = [0.9] * 40
END = 40 * FRAME


@pytest.mark.parametrize('text, wait_s', [
    ('Go there.', 0.4), ('Go there and', 1.2), ('', 0.4), ('Go there', 0.6)])
def test_the_end_is_declared_by_silence_and_words(text, wait_s):
    changes = run(SPEECH + [0.0] * 60, [(END + 5000, text, END + 1600)])
    assert waits(changes) == [pytest.approx(wait_s, abs=FRAME / RATE)]


def test_words_that_come_late_or_never_do_not_hold_the_turn_open():
    for words in ([], [(END + 9 * RATE // 10, 'Go there and', END + 1600)]):
        assert waits(run(SPEECH + [0.0] * 60, words)) == [pytest.approx(0.6, abs=0.032)]


def test_a_thinking_pause_within_the_longer_wait_does_not_cut():
    frames = SPEECH + [0.0] * 30 + SPEECH + [0.0] * 40
    changes = run(frames, [(END + 3000, 'Bring me the, um,', END + 1600),
                           (END * 2 + 30 * FRAME + 3000, 'Bring me the, um, red cup.',
                            END * 2 + 30 * FRAME + 1600)])
    assert [type(c) for c in changes if isinstance(c, (Onset, Offset))] == [Onset, Offset]
    assert waits(changes) == [pytest.approx(0.4, abs=0.032)]


def test_words_of_before_a_pause_do_not_end_what_came_after():
    endpointer = Endpointer(SETTINGS)
    endpointer.heard('Go there.', 1000)
    assert endpointer.needed_s(900) == 0.4
    assert endpointer.needed_s(2000) == 0.6
    endpointer.heard('an older hypothesis and', 500)
    assert endpointer.needed_s(900) == 0.4
