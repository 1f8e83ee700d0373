"""Utterances, partial and final texts from blocks, in virtual time; a table recognises."""
import threading

from async_agent_ros.speech.audio import Block, RATE
from async_agent_ros.speech.endpointing import Endpointer, EndpointSettings
from async_agent_ros.speech.listening import Listener, ListenSettings
from async_agent_ros.speech.recognition import Job, RecognitionThread, Utterance
from async_agent_ros.speech.recognizer import Recognition, RecognizerError
from async_agent_ros.speech.vad import VadSettings
import numpy as np
import pytest

BLOCK = RATE // 100


class Loudness:
    """Speech is what is loud."""

    def reset(self):
        pass

    def __call__(self, frame):
        return 0.95 if abs(frame).max() > 0.1 else 0.02


class Reader:
    """One word per half second of loud audio."""

    WORDS = 'drive to the kitchen and bring me a red cup'.split()

    def __init__(self, ending=''):
        self.calls, self.ending = 0, ending
        self.gate = threading.Event()
        self.gate.set()

    def transcribe(self, samples, *, quick=False):
        self.calls += 1
        assert self.gate.wait(20.0)
        count = int(np.count_nonzero(abs(samples.astype(int)) > 3000) / (RATE / 2))
        return Recognition(' '.join(self.WORDS[:count]) + (self.ending if count else ''), 0.9,
                           'en', '' if count else 'no words', 0.01)


class Ear:
    """A listener that is fed by hand; recognition is waited for after every block."""

    def __init__(self, reader, **settings):
        self.said, self.known = [], threading.Condition()
        self.recognition = RecognitionThread(reader, self._on_revision, self._on_error)
        self.listener = Listener(
            ListenSettings(endpoint=EndpointSettings(0.4, 0.6, 1.2), **settings), Loudness(),
            self.recognition, clock=lambda: 0,
            on_started=lambda u, p: self._say('started', u.utterance_id, self.at),
            on_stopped=lambda u, e, p: self._say('stopped', u.utterance_id, self.at, e),
            on_source=self._on_error)
        self.recognition.start()
        self.at = 0
        self.errors = []

    def _say(self, *what):
        with self.known:
            self.said.append(what)
            self.known.notify_all()

    def _on_revision(self, job, revision):
        self._say('final' if job.final else 'part', job.utterance.utterance_id, revision)

    def _on_error(self, message):
        if message:
            self.errors.append(message)

    def hear(self, seconds, loud=False, wait=True):
        level = 8000 if loud else 0
        for _ in range(int(seconds * RATE / BLOCK)):
            self.listener.feed(Block(np.full(BLOCK, level, np.int16), self.at,
                                     self.at * 1_000_000_000 // RATE))
            self.at += BLOCK
            deadline = threading.Event()
            for _ in range(20_000 if wait else 0):
                if self.recognition.idle:
                    break
                deadline.wait(0.001)

    def of(self, kind):
        return [s for s in self.said if s[0] == kind]

    def close(self):
        self.recognition.stop()


@pytest.fixture
def ear(request):
    ears = []

    def make(reader, **settings):
        ears.append(Ear(reader, **settings))
        return ears[-1]

    yield make
    for one in ears:
        one.close()


def test_revisions_come_while_the_person_speaks_and_the_final_is_there_at_the_end(ear):
    reader = Reader('.')
    one = ear(reader)
    one.hear(0.5)
    one.hear(2.1, loud=True)
    parts = one.of('part')
    assert len(parts) >= 3 and parts[0][2].text == 'drive.'
    stable = [p[2].text[:p[2].stable_chars] for p in parts]
    assert all(b.startswith(a) for a, b in zip(stable, stable[1:])) and len(stable[-1]) > 3
    one.hear(1.0)
    (_, stopped_id, stopped_at, end_ns), = one.of('stopped')
    calls = reader.calls
    final, = one.of('final')
    assert final[1] == stopped_id and final[2].text == 'drive to the kitchen.'
    assert final[2].stable_chars == len(final[2].text) and final[2].elapsed_s == 0.0
    assert end_ns / 1e9 == pytest.approx(2.6, abs=0.04)
    assert one.of('started')[0][2] / RATE == pytest.approx(0.55, abs=0.05)
    assert stopped_at / RATE - end_ns / 1e9 == pytest.approx(0.4, abs=0.05)
    assert reader.calls == calls


class Hasty(Reader):
    """Every other round in haste understands nothing."""

    def transcribe(self, samples, *, quick=False):
        result = super().transcribe(samples)
        return Recognition('', 0.0, 'en', 'repeats itself', 0.01) \
            if quick and self.calls % 2 == 0 else result


@pytest.mark.parametrize('reader', (Reader('.'), Hasty('.')), ids=('sure', 'hasty'))
def test_a_revision_comes_at_least_every_300_ms_of_speech_also_without_new_words(ear, reader):
    one = ear(reader)
    one.hear(1.2, loud=True)    # until there are words
    before = len(one.of('part'))
    for _ in range(6):
        one.hear(0.3, loud=True)
        parts = [p[2] for p in one.of('part')]
        assert len(parts) > before and parts[-1].text.startswith('drive to')
        before = len(parts)
    texts = [p.text for p in parts]
    assert len(set(texts)) < len(texts) and texts == sorted(texts, key=len)


def test_a_pause_has_a_revision_that_is_stable_to_its_end(ear):
    one = ear(Reader('.'))
    one.hear(1.1, loud=True)
    parts = len(one.of('part'))
    one.hear(0.2)
    *_, (_, _, revision) = one.of('part')
    assert len(one.of('part')) == parts + 1 and not one.of('stopped')
    assert revision.text == 'drive to.' and revision.stable_chars == len(revision.text)
    one.hear(1.1, loud=True)    # it was not the end
    later = [p[2] for p in one.of('part')[parts + 1:]]
    assert later and all(r.text.startswith('drive to') for r in later)
    assert any(r.stable_chars < len(r.text) for r in later)
    one.hear(1.5)
    assert one.of('part')[-1][2].stable_chars == len('drive to the kitchen.')
    final, = one.of('final')
    assert final[2].text == 'drive to the kitchen.' and final[2].elapsed_s == 0.0


def test_a_round_that_heard_all_is_not_repeated_in_the_pause(ear):
    reader = Reader('.')
    one = ear(reader, partial_period_s=0.1)
    one.hear(1.1, loud=True)
    one.hear(0.09)    # rounds go on for a moment: the last one has heard all that was said
    calls = reader.calls
    one.hear(0.8)
    assert reader.calls <= calls + 1
    assert one.of('part')[-1][2].stable_chars == len(one.of('part')[-1][2].text)


def test_a_sound_without_a_voice_holds_the_robot_for_a_moment_and_is_not_recognised(ear):
    reader = Reader('.')
    one = ear(reader)
    path = SomebodyAt(0.5)
    one.listener._echo = path
    one.hear(1.2)
    assert [s[0] for s in one.said] == ['started', 'stopped', 'final'] and not reader.calls
    assert one.of('started')[0][2] / RATE == pytest.approx(0.5, abs=0.02)
    assert one.of('stopped')[0][2] / RATE == pytest.approx(0.86, abs=0.04)
    final, = one.of('final')
    assert final[2].text == '' and final[2].rejected == 'no voice'
    assert path.eager.judged == [False] and one.listener.false_onsets == 1
    path.at = int(1.4 * RATE)
    one.hear(0.2)
    one.hear(1.1, loud=True)    # the voice that follows makes it an utterance like any other
    one.hear(1.3)
    assert path.eager.judged == [False, True]
    assert one.of('final')[1][2].text == 'drive to.'
    assert one.of('started')[1][2] / RATE == pytest.approx(1.4, abs=0.02)


class SomebodyAt:
    """An echo path that passes everything, and hears a sound at one moment."""

    def __init__(self, at_s):
        self.at, self.eager, self.judged = int(at_s * RATE), self, []

    def process(self, block):
        self.somebody = block.first_sample <= self.at < block.first_sample + len(block.samples)
        return block

    def confirmed(self):
        self.judged.append(True)

    def refuted(self):
        self.judged.append(False)


def test_words_that_ask_for_more_hold_the_turn_open(ear):
    one = ear(Reader('.'))
    one.hear(1.1, loud=True)
    one.hear(0.9)
    assert not one.of('stopped')
    one.hear(1.1, loud=True)    # after a pause of 0.9 s it is still the same utterance
    one.hear(0.7)
    assert len(one.of('started')) == len(one.of('stopped')) == 1
    assert one.of('final')[0][2].text == 'drive to the kitchen.'


def test_rounds_are_skipped_while_the_recogniser_is_busy_but_the_end_is_not(ear):
    reader = Reader('.')
    one = ear(reader)
    reader.gate.clear()
    one.hear(4.0, loud=True, wait=False)
    assert reader.calls <= 1 and one.recognition.skipped >= 1
    one.hear(1.4, wait=False)    # the words are awaited, but not for ever
    (_, _, stopped_at, end_ns), = one.of('stopped')
    assert stopped_at / RATE - end_ns / 1e9 == pytest.approx(1.2, abs=0.05)
    reader.gate.set()
    one.close()
    final, = one.of('final')
    assert final[2].text.startswith('drive to the kitchen and bring me a')


def test_words_that_come_late_still_hold_the_turn_open_or_end_it_at_once(ear):
    reader = Reader('.')
    one = ear(reader)
    reader.gate.clear()
    one.hear(1.1, loud=True, wait=False)
    one.hear(0.8, wait=False)    # longer than the usual silence: the recogniser is slow
    assert not one.of('stopped')
    reader.gate.set()
    one.hear(0.1)
    assert not one.of('stopped'), '"drive to" asks for more'
    one.hear(1.1, loud=True)
    reader.gate.clear()
    one.hear(0.8, wait=False)
    reader.gate.set()
    one.hear(0.1)
    assert len(one.of('stopped')) == 1
    one.close()
    assert one.of('final')[0][2].text == 'drive to the kitchen.'


def test_without_partials_only_the_end_is_recognised(ear):
    reader = Reader('.')
    one = ear(reader, partials=False)
    one.hear(3.0, loud=True)
    assert not reader.calls
    one.hear(1.5)
    assert reader.calls == 1 and len(one.of('final')) == 1


def test_noise_has_an_empty_final_and_frees_the_floor_soon(ear):
    class Deaf(Reader):
        def transcribe(self, samples, *, quick=False):
            return Recognition('', 0.0, 'en', 'no speech', 0.01)

    one = ear(Deaf())
    one.hear(0.3, loud=True)
    one.hear(0.6)
    assert [s[0] for s in one.said] == ['started', 'stopped', 'final']
    assert one.of('final')[0][2].text == '' and one.of('final')[0][2].rejected == 'no speech'


def test_a_recogniser_that_fails_owes_the_final_all_the_same(ear):
    class Broken:
        def transcribe(self, samples, *, quick=False):
            raise RecognizerError('out of memory')

    one = ear(Broken())
    one.hear(1.0, loud=True)
    one.hear(1.0)
    one.close()
    assert one.of('final')[0][2].text == ''
    assert 'out of memory' in one.errors[0]


def test_long_speech_is_split_and_every_part_gets_its_final(ear):
    one = ear(Reader(), vad=VadSettings(max_utterance_s=2.0))
    one.hear(5.0, loud=True)
    one.hear(1.5)
    one.close()
    ids = [s[1] for s in one.of('started')]
    assert len(ids) == 3 and len(set(ids)) == 3
    assert [s[1] for s in one.of('final')] == [s[1] for s in one.of('stopped')] == ids


def test_finals_are_recognised_before_a_newer_partial():
    said = []
    reader = Reader()
    reader.gate.clear()
    thread = RecognitionThread(reader, lambda job, revision: said.append(job), lambda error: None)
    thread.start()
    old, new = (Utterance(name, 0, 0, Endpointer(EndpointSettings())) for name in 'ab')
    samples = np.full(RATE, 8000, np.int16)
    thread.ask(Job(old, samples, RATE))
    thread.ask(Job(new, samples, RATE))
    thread.finish(Job(old, samples, RATE, speech_end=RATE))
    reader.gate.set()
    thread.stop()
    assert [(j.utterance.utterance_id, j.final) for j in said if j.final] == [('a', True)]
    assert said[-1].final
