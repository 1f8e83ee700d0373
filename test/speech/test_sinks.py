"""Sinks that need no device: the paced clock, the WAV file; and the device that is missing."""
import threading
import wave

from async_agent_ros.speech.audio import AudioError, Block
from async_agent_ros.speech.playback import FAILED, FINISHED, Playback, STARTED, STOPPED
from async_agent_ros.speech.sinks import DeviceSink, PacedSink, WavSink
import numpy as np
import pytest

RATE = 16_000
S = 1_000_000_000


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_a_wav_file_holds_what_was_audible_when(tmp_path):
    path = tmp_path / 'new' / 'robot.wav'
    sink = WavSink(path, RATE, 100 * S)
    for block in range(100):  # 1 s from second 2, with stamps that jitter
        sink.write(Block(np.full(160, 7, np.int16), 0, 102 * S + block * 10_000_000
                         + (block % 3) * 1_000_000))
    sink.write(Block(np.full(160, 9, np.int16), 0, 105 * S))
    sink.close(106 * S)
    samples = read(path)
    assert len(samples) == 6 * RATE
    assert not samples[:2 * RATE].any() and not samples[3 * RATE:5 * RATE].any()
    assert (samples[2 * RATE:3 * RATE] == 7).all()
    assert (samples[5 * RATE:5 * RATE + 160] == 9).all()


def test_a_wav_file_can_be_read_while_it_grows(tmp_path):
    sink = WavSink(tmp_path / 'robot.wav', RATE, 0)
    placed = threading.Event()
    header = sink._header
    sink._header = lambda: (header(), placed.set())
    for block in range(150):
        sink.write(Block(np.full(160, 7, np.int16), 0, block * 10_000_000))
    assert placed.wait(5.0)
    # As a killed process leaves it.
    assert len(read(tmp_path / 'robot.wav')) >= RATE
    sink.close()


def test_a_wav_file_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(AudioError, match='cannot be written.*wav_file'):
        WavSink(tmp_path / 'file' / 'robot.wav', RATE, 0)


def test_a_full_disk_is_said_and_speech_goes_on(tmp_path):
    with pytest.raises(AudioError, match='No space left.*free space'):
        WavSink('/dev/full', RATE, 0)
    said, told = [], threading.Event()
    sink = WavSink(tmp_path / 'robot.wav', RATE, 0,
                   on_error=lambda message: (said.append(message), told.set()))
    sink._file.close()
    sink._file = open('/dev/full', 'wb')
    sink.write(Block(np.full(RATE * 2, 7, np.int16), 0, 0))
    assert told.wait(5.0) and 'speech goes on' in said[0]
    sink.write(Block(np.full(160, 7, np.int16), 0, 0))
    sink.close(S)


class Hand:
    """A paced sink that is ticked by hand."""

    def __init__(self):
        self.blocks, self.reports = [], []
        self.playback = Playback(RATE)
        self.sink = PacedSink(self.playback, self.blocks.append, self.reports.extend)

    def say(self, number, seconds, epoch=0):
        self.playback.add(number, written_chars=1, epoch=epoch)
        self.playback.append(number, np.full(int(seconds * RATE), 5000, np.int16))
        self.playback.complete(number)


def test_blocks_carry_index_stamp_and_rate():
    hand = Hand()
    hand.say(1, 0.03)
    for tick in range(4):
        hand.sink.tick(5 * S + tick * 10_000_000)
    assert [b.first_sample for b in hand.blocks] == [0, 160, 320, 480]
    assert hand.blocks[2].stamp_ns == 5 * S + 20_000_000
    assert [r.state for r in hand.reports] == [STARTED, FINISHED]
    assert not hand.blocks[3].samples.any()


def test_the_paced_thread_takes_real_time_and_stops_at_once():
    finished, blocks, reports = threading.Event(), [], []

    def on_reports(new):
        reports.extend(new)
        if any(r.state in (FINISHED, STOPPED) for r in new):
            finished.set()

    playback = Playback(RATE)
    sink = PacedSink(playback, blocks.append, on_reports)
    sink.open()
    playback.add(1, written_chars=1)
    playback.append(1, np.full(RATE // 5, 5000, np.int16))
    playback.complete(1)
    assert finished.wait(5.0)
    assert reports[-1].stamp_ns - reports[0].stamp_ns == pytest.approx(0.2 * S, abs=0.02 * S)
    finished.clear()
    playback.add(2, written_chars=1)
    playback.append(2, np.full(RATE * 20, 5000, np.int16))
    playback.complete(2)
    sink.stop(1)
    assert finished.wait(5.0)
    assert reports[-1].state == STOPPED
    sink.close()
    assert not any(t.name == 'playback' and t.is_alive() for t in threading.enumerate())


def test_a_loudspeaker_that_is_not_there_fails_the_segment_with_the_remedy():
    failed, reports = threading.Event(), []

    def on_reports(new):
        reports.extend(new)
        failed.set()

    playback = Playback(RATE)
    sink = DeviceSink(playback, lambda block: None, on_reports, name='no such loudspeaker')
    with pytest.raises(AudioError, match='libportaudio2|no loudspeaker|There are:'):
        sink.open()
    playback.add(1, written_chars=1)
    playback.append(1, np.full(RATE, 5000, np.int16))
    assert failed.wait(5.0)
    sink.close()
    assert (reports[-1].state, reports[-1].error_code) == (FAILED, 101)
    assert 'libportaudio2' in reports[-1].error_msg or 'loudspeaker' in reports[-1].error_msg
