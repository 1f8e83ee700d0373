"""`async-agent bench voice`: its arithmetic, its room, and one short run with real nodes."""
import json
import os
import pathlib
import subprocess
import sys
import threading

from async_agent_ros import models
from async_agent_ros.bench import voice
from async_agent_ros.bench.common import onsets, recognisers, scenes
from async_agent_ros.bench.common.room import BLOCK, cough, People, Room, sound_span, speech_ms
from async_agent_ros.bench.common.room import trimmed
from async_agent_ros.msg import Audio
from async_agent_ros.nodes.node_base import to_ns, to_time
from async_agent_ros.speech.audio import RATE
import numpy as np
import pytest


def test_words_are_compared_without_fillers_and_number_by_digit():
    assert voice.plain_words('My number is 017, um, six!') == (
        'my number is zero one seven six'.split())
    assert voice.word_errors('go to the kitchen'.split(), 'go the kitchen now'.split()) == 2
    assert voice.word_errors([], ['a']) == 1 and voice.word_errors(['a'], []) == 1


@pytest.mark.parametrize('recognised, told', [
    ('', 0), ('the old', 2), ('the old light', 3), ('an old house', 3),
    ('the old lighthouse stands on', 5)])
def test_how_much_of_a_text_was_told_is_read_off_its_recognition(recognised, told):
    intended = 'the old lighthouse stands on a small island'.split()
    assert voice.words_told(intended, recognised.split()) == told


def test_rows_hold_every_metric():
    found = voice.Found()
    for metric in ('response_ms', 'interrupt_to_pause_ms'):
        found.time(metric, 'all', 12.0)
    for happened in [True] * 9 + [False]:
        found.event('yield_percent', happened)
    found.words, found.errors = 40, 4
    found.interruptions.update({'measured': 9, 'between two words': 1})
    rows = {r['metric']: r for r in found.rows('headset', [0.0, 1.0, 2.0])}
    assert rows['yield_percent']['value'] == 90.0 and rows['yield_percent']['n'] == 10
    assert rows['wer_percent']['value'] == 10.0 and rows['wer_percent']['n'] == 40
    assert rows['truncation_error_words']['p50'] == 1.0
    assert rows['response_ms']['p95'] == 12.0
    assert rows['interruptions']['n'] == 10 and rows['interruptions']['workload'] != 'measured'


class Keeper:
    """In the place of a publisher."""

    def __init__(self):
        self.messages, self.changed = [], threading.Condition()

    def publish(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def until(self, end_ns):
        with self.changed:
            assert self.changed.wait_for(
                lambda: self.messages and to_ns(self.messages[-1].stamp) > end_ns, 20.0)
        return np.concatenate([np.array(m.data, int) for m in self.messages])


def test_the_room_holds_the_person_when_it_says_so_and_the_robot_later_and_weaker():
    keeper = Keeper()
    room = Room(keeper, echo_db=-20.0, echo_delay_s=0.1, noise=5.0)
    try:
        start_ns, end_ns = room.speak(np.full(RATE // 5, 8000, np.int16))
        robot = Audio(stamp=to_time(start_ns + 300_000_000), sample_rate=RATE, channels=1)
        robot.data.frombytes(np.full(RATE // 5, 10_000, np.int16).tobytes())
        room.played(robot)
        heard = keeper.until(start_ns + 800_000_000)
    finally:
        room.close()
    base_ns = to_ns(keeper.messages[0].stamp)
    assert all(len(m.data) == BLOCK for m in keeper.messages)
    first, end = sound_span(heard, 4000)
    assert base_ns + first * 62_500 == pytest.approx(start_ns, abs=1e5)
    assert base_ns + end * 62_500 == pytest.approx(end_ns, abs=1e5)
    rest = heard[end + RATE // 50:]
    first, _ = sound_span(rest, 300)
    assert (base_ns + (end + RATE // 50 + first) * 62_500
            == pytest.approx(start_ns + 400_000_000, abs=2e7))
    assert 500 < abs(rest).max() < 4000


def test_speech_is_counted_without_its_pauses():
    tone, pause = np.full(RATE, 1000, np.int16), np.zeros(RATE // 2, np.int16)
    short = np.zeros(RATE // 10, np.int16)
    line = np.concatenate([tone, pause, tone, short, tone])
    assert speech_ms(line, 0.0, 1e4) == pytest.approx(3100.0)
    assert speech_ms(line, 900.0, 1600.0) == pytest.approx(200.0)
    assert speech_ms(line, 1100.0, 1400.0) == 0.0 and speech_ms(line, 5000.0, 4000.0) == 0.0


def test_speakers_differ_and_lines_keep_their_pauses():
    pytest.importorskip('hibari')
    people = People()
    line = (('Go to the', 0.5), ('kitchen.', 0.0))
    first, again, other = people.say(line, 0), people.say(line, 0), people.say(line, 1)
    assert (first == again).all() and len(other) != len(first)
    assert len(trimmed(first)) == len(first) > 1.2 * RATE
    quiet = np.convolve(abs(first.astype(int)) > 200, np.ones(RATE // 3), 'valid')
    assert quiet.min() < RATE // 50
    sound = cough(np.random.default_rng(0))
    assert 0.3 < len(sound) / RATE < 0.7 and abs(sound).max() > 5000


def test_sounds_over_the_robot_are_noticed_and_it_is_not(monkeypatch):
    pytest.importorskip('hibari')
    pytest.importorskip('faster_whisper')
    if not models.is_present(models.CATALOGUE[voice.VOICE]):
        pytest.skip('needs the packaged voice: async-agent models get piper-joe')
    people = People()
    heard = [('interruption', people.say(((text, 0.0),), 0)) for text in scenes.INTERRUPTIONS[:2]]
    monkeypatch.setattr(onsets, 'sounds', lambda rng: heard)
    monkeypatch.setattr(onsets, 'NOISES', (10.0,))
    monkeypatch.setattr(onsets, 'ALONE_S', 8.0)
    made = onsets.measure('voice', voice.VOICE, -20.0, 0.08, 1)
    late = {r['mode']: r for r in made if r['metric'] == 'detection_ms'}
    assert late['echo -20 dB, noise 10, eager']['p95'] < 100
    assert late['echo -20 dB, noise 10, voice only']['n'] == 2
    own, = {r['value'] for r in made if r['metric'] == 'own_voice_onsets_per_min'}
    assert own == 0


def test_noise_has_the_level_that_is_asked_for():
    speech = (3000 * np.sin(np.arange(RATE) / 20)).astype(np.int16)
    rng = np.random.default_rng(0)
    noisy = recognisers.with_noise(speech, 10.0, rng).astype(float)
    clean = recognisers.with_noise(speech, None, rng)
    assert not clean[:RATE // 4].any() and len(clean) == len(noisy)
    power = np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(np.mean(speech.astype(float) ** 2) / power) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize('options, said', [
    (['--n', '0'], '--n must be above zero'), (['--echo-db', 'loud'], "--echo-db 'loud'"),
    (['--only', 'songs'], 'it must be some of questions, stories, detection, recognisers')])
def test_options_that_cannot_be_used_are_named(options, said, capsys):
    from async_agent_ros.cli import main
    assert main(['bench', 'voice', *options]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.skipif(
    not all(models.is_present(models.CATALOGUE[m]) for m in (voice.VOICE, voice.RECOGNISER)),
    reason='needs the packaged voice and recogniser: async-agent models get all')
def test_a_conversation_is_held_and_measured(tmp_path):
    path = tmp_path / 'rows.json'
    done = subprocess.run(
        [sys.executable, '-m', 'async_agent_ros.cli', 'bench', 'voice', '--n', '1', '--only',
         'stories', '--json', str(path)],
        capture_output=True, text=True, timeout=240, env=dict(os.environ),
        cwd=pathlib.Path(voice.__file__).parents[2])
    assert done.returncode == 0, done.stderr + done.stdout
    machine, *rows = json.loads(path.read_text())
    assert machine['metric'] == 'machine' and machine['settings']['n'] == 1
    # One story: it was interrupted, or the rows say why there is nothing to measure.
    outcomes = [row for row in rows if row['metric'] == 'interruptions']
    assert [row['value'] for row in outcomes] == [1.0]
    measured = [row['n'] for row in rows if row['metric'] == 'interrupt_to_silence_ms']
    assert measured == ([1] if outcomes[0]['workload'] == 'measured' else [])
    assert {r['mode'] for r in rows} <= {'echo -20 dB'}
