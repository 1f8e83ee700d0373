"""Sound that is made before it is asked for."""
from async_agent_ros.speech.preparation import KEPT, Preparation
from async_agent_ros.speech.voice import SpeechChunk, VoiceSettings
import numpy as np


class Speaker:
    """A chunk per word; counts what it makes."""

    def __init__(self):
        self.settings, self.made = VoiceSettings(), []

    def synthesize(self, text):
        for word in text.split():
            self.made.append(word)
            yield SpeechChunk(np.zeros(len(word), np.int16), ())


def lengths(chunks):
    return [len(c.pcm) for c in chunks]


def test_the_latest_text_comes_first_and_only_while_there_is_nothing_else_to_do():
    ready, voice = Preparation(), Speaker()
    ready.want('a bb', 0)
    ready.want('ccc dddd', 0)
    turns = iter([True, False])
    ready.work(voice, lambda: next(turns))
    assert voice.made == ['ccc']
    # What was begun is said from there on.
    assert lengths(ready.take('ccc dddd', voice.settings)) == [3, 4]
    assert voice.made == ['ccc', 'dddd'] and ready.used == 1
    assert ready.take('a bb', voice.settings) is None, 'not begun: it is synthesised as ever'


def test_it_is_used_once_and_only_as_it_sounds_now():
    ready, voice = Preparation(), Speaker()
    for _ in range(2):
        ready.want('a bb', 0)
    ready.work(voice, lambda: True)
    assert voice.made == ['a', 'bb'] and ready.made == 1
    assert lengths(ready.take('a bb', voice.settings)) == [1, 2]
    assert ready.take('a bb', voice.settings) is None
    ready.want('a bb', 0)
    ready.work(voice, lambda: True)
    assert ready.take('a bb', VoiceSettings(rate=1.5)) is None


def test_old_texts_are_dropped():
    ready, voice = Preparation(), Speaker()
    for number in range(KEPT + 1):
        ready.want(f't{number}', number)
    ready.work(voice, lambda: True)
    assert 't0' not in voice.made and len(voice.made) == KEPT
    ready.drop(3)
    assert ready.take('t2', voice.settings) is None
    assert ready.take('t3', voice.settings) is not None
