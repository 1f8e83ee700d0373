"""Real voices and real recognisers: what one says, the other understands."""
import re

from async_agent_ros import models
from async_agent_ros.speech.audio import RATE, resample, to_float
from async_agent_ros.speech.person import Person
from async_agent_ros.speech.recognizer import FasterWhisper, RecognizerError, reject_reason
from async_agent_ros.speech.recognizer import split_long
from async_agent_ros.speech.vad import FRAME, Offset, Segmenter, SileroVad, VadSettings
from async_agent_ros.speech.voice import HibariVoice, make_voice, PiperVoice, proportional_ends
from async_agent_ros.speech.voice import VoiceMissingError, VoiceSettings
import numpy as np
import pytest


def need(name):
    try:
        return models.find(name)
    except models.ModelMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def piper():
    voice = PiperVoice(need('piper-joe'), VoiceSettings(noise_scale=0.0, noise_w_scale=0.0))
    voice.load()
    return voice


@pytest.fixture(scope='module')
def whisper():
    recognizer = FasterWhisper(need('whisper-tiny.en'))
    recognizer.load()
    return recognizer


@pytest.fixture(scope='module')
def person():
    pytest.importorskip('hibari')
    return Person()


def plain(text):
    return re.sub(r'[^a-z0-9 ]', '', text.lower())


def spoken(voice, text):
    pcm = np.concatenate([c.pcm for c in voice.synthesize(text)])
    return resample(pcm, voice.sample_rate, RATE)


def silence(seconds):
    return np.zeros(int(seconds * RATE), np.int16)


def test_piper_speaks_and_whisper_understands(piper, whisper):
    result = whisper.transcribe(spoken(piper, 'Please drive to the kitchen and look for a cup.'))
    assert plain(result.text) == 'please drive to the kitchen and look for a cup'
    assert result.confidence > 0.6 and result.language == 'en'


def test_the_person_is_understood(person, whisper):
    result = whisper.transcribe(person.say('What is your battery level?'))
    assert plain(result.text) == 'what is your battery level'


def test_long_speech_is_cut_at_its_pauses(person, whisper):
    audio = person.script([(0.3, 'Drive to the kitchen.'), (5.0, 'Pick up the red cup.'),
                           (10.0, 'Bring it to the office.'), (15.0, 'Then come back to me.')])
    text = plain(whisper.transcribe(audio).text)
    for words in ('drive to the kitchen', 'red cup', 'to the office', 'come back to me'):
        assert words in text


@pytest.mark.parametrize('kind', ['silence', 'hiss', 'hum', 'clicks'])
def test_noise_is_no_text(whisper, kind):
    rng, t = np.random.default_rng(1), np.arange(3 * RATE) / RATE
    audio = {'silence': np.zeros(3 * RATE), 'hiss': rng.normal(0, 0.02, 3 * RATE),
             'hum': 0.1 * np.sin(2 * np.pi * 50 * t),
             'clicks': (rng.random(3 * RATE) > 0.9995) * 0.8}[kind]
    assert whisper.transcribe(audio.astype(np.float32)).text == ''


def test_phantoms_are_rejected_and_people_are_believed():
    noise = {'no_speech': 0.5, 'mean_logprob': -0.9, 'speech_s': 1.0}
    clear = {'no_speech': 0.02, 'mean_logprob': -0.2, 'speech_s': 1.0}
    for text in ('Thank you.', 'Thanks for watching!', 'you', 'Bye.', 'Subtitles by Amara.org'):
        assert reject_reason(text, **noise), text
    for text in ('Thank you.', 'Stop.', 'Okay.', 'Yes.', 'Go to the kitchen.'):
        assert not reject_reason(text, **clear), text
    # Heard well, although a breath before it looked like silence.
    assert not reject_reason('Thank you very much.', no_speech=0.3, mean_logprob=-0.1, speech_s=1.4)
    assert reject_reason('...', **clear)
    assert 'repeats' in reject_reason('go to the kitchen ' * 9, **{**clear, 'speech_s': 9.0})
    assert 'words in' in reject_reason('one two three four five six seven', **{
        **clear, 'speech_s': 0.5})


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(RecognizerError, match='async-agent models get whisper-base'):
        FasterWhisper(tmp_path).load()
    for path in (tmp_path, tmp_path / 'none.onnx'):
        with pytest.raises(VoiceMissingError, match='async-agent models get piper-joe'):
            PiperVoice(path).load()


def test_pieces_of_long_speech_fit_the_window_and_lose_nothing():
    audio = np.random.default_rng(0).normal(0, 0.1, 25 * RATE).astype(np.float32)
    audio[7 * RATE:int(7.3 * RATE)] = 0.0
    pieces = split_long(audio)
    assert (np.concatenate(pieces) == audio).all()
    assert all(len(p) <= 9 * RATE for p in pieces)
    assert 7.0 <= len(pieces[0]) / RATE <= 7.3


def test_silero_finds_the_true_end_of_speech(person):
    vad = SileroVad()
    vad.load()
    speech = person.say('Drive to the kitchen.')
    audible = np.flatnonzero(abs(speech) > 300)
    audio = np.concatenate([silence(1.0), speech, silence(1.0)])
    audio = to_float(audio) + np.random.default_rng(0).normal(0, 0.001, len(audio))
    segmenter = Segmenter(VadSettings())
    changes = [c for at in range(0, len(audio) - FRAME, FRAME)
               for c in segmenter.step(vad(audio[at:at + FRAME].astype(np.float32)))]
    ends = [c for c in changes if isinstance(c, Offset)]
    assert len(ends) == 1
    assert ends[0].onset / RATE == pytest.approx(1.0 + audible[0] / RATE, abs=0.15)
    assert ends[0].end / RATE == pytest.approx(1.0 + audible[-1] / RATE, abs=0.15)


def test_words_end_where_they_are_heard(piper):
    text = '**Hello** there, I am at 80 % now.'
    chunks = list(piper.synthesize(text))
    marks = [m for c in chunks for m in c.marks]
    assert piper.aligned
    assert [text[:chars].split()[-1] for _, chars in marks[:2]] == ['**Hello**', 'there,']
    assert marks[-1][1] == len(text)
    for chunk in chunks:
        samples = [s for s, _ in chunk.marks]
        assert samples == sorted(samples) and samples[-1] <= len(chunk.pcm)
    # The comma is a real pause: after it comes silence.
    end = marks[1][0]
    assert abs(chunks[0].pcm[end - 2000:end].astype(int)).mean() < \
        abs(chunks[0].pcm[:end].astype(int)).mean()


def test_without_noise_the_same_text_sounds_the_same(piper):
    first, again = (spoken(piper, 'Ready to go.') for _ in range(2))
    assert (first == again).all()


def test_the_voice_begins_at_once(piper):
    for text in ('I am on my way.', 'Yes.'):
        pcm = next(piper.synthesize(text)).pcm
        assert np.flatnonzero(abs(pcm.astype(int)) > 100)[0] <= piper.sample_rate // 100


def test_the_first_clause_comes_alone(piper):
    chunks = list(piper.synthesize('I am on my way to the kitchen, and I will tell you as soon as '
                                   'I have arrived there.'))
    assert len(chunks) == 2 and len(chunks[0].pcm) < len(chunks[1].pcm)


def test_emoji_and_empty_text_are_silent(piper):
    assert not list(piper.synthesize('🎉')) and not list(piper.synthesize(''))


def test_hibari_is_a_second_voice():
    pytest.importorskip('hibari')
    voice = make_voice('hibari', models.find)
    voice.load()
    chunks = list(voice.synthesize('Hello there.'))
    assert isinstance(voice, HibariVoice) and chunks[-1].marks[-1][1] == 12
    with pytest.raises(VoiceMissingError, match='It has: '):
        make_voice('hibari:nobody', models.find).load()


def test_words_without_known_ends_are_placed_by_their_length():
    assert proportional_ends([2, 2], 500) == [200, 500]
    assert proportional_ends([2, 2], 500, known=[230, 500]) == [230, 500]
    assert proportional_ends([], 500) == []
