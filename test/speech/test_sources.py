"""Where speech comes from: files of every kind, topics with gaps, devices that are not there."""
from async_agent_ros.speech import devices
from async_agent_ros.speech.audio import AudioError, RATE
from async_agent_ros.speech.sources import DeviceSource, QueueSource, read_wav, WavSource
import numpy as np
import pytest
import soundfile


def tone(seconds, rate=RATE, channels=1):
    t = np.arange(int(seconds * rate)) / rate
    return np.repeat((0.3 * np.sin(2 * np.pi * 440 * t))[:, None], channels, axis=1)


@pytest.mark.parametrize('rate, channels, subtype', [
    (16_000, 1, 'PCM_16'), (44_100, 2, 'PCM_16'), (48_000, 1, 'PCM_24'), (8_000, 1, 'PCM_U8'),
    (22_050, 1, 'FLOAT'), (96_000, 6, 'PCM_32')])
def test_other_formats_are_converted(tmp_path, rate, channels, subtype):
    path = tmp_path / 'speech.wav'
    soundfile.write(path, tone(0.5, rate, channels), rate, subtype=subtype)
    samples = read_wav(str(path))
    assert samples.dtype == np.int16
    assert len(samples) == pytest.approx(8_000, abs=20)
    assert abs(samples).max() == pytest.approx(0.3 * 32767, rel=0.1)
    spectrum = abs(np.fft.rfft(samples[:8000].astype(float)))
    assert np.argmax(spectrum) * RATE / 8000 == pytest.approx(440, abs=4)


def test_what_cannot_be_read_is_refused_by_name_and_remedy(tmp_path):
    text = tmp_path / 'notes.wav'
    text.write_text('this is no sound')
    with pytest.raises(AudioError, match=r'notes\.wav.*not a sound file.*\n?.*ffmpeg'):
        read_wav(str(text))
    with pytest.raises(AudioError, match='does not exist'):
        read_wav(str(tmp_path / 'missing.wav'))
    empty = tmp_path / 'empty.wav'
    soundfile.write(empty, np.zeros(0), RATE)
    with pytest.raises(AudioError, match='holds no samples'):
        read_wav(str(empty))
    broken = tmp_path / 'nan.wav'
    soundfile.write(broken, np.full(100, np.nan, np.float32), RATE, subtype='FLOAT')
    with pytest.raises(AudioError, match='NaN'):
        read_wav(str(broken))
    with pytest.raises(AudioError):
        read_wav(str(tmp_path))


class Clock:
    def __init__(self):
        self.s = 100.0

    def monotonic(self):
        return self.s

    def ns(self):
        return int(self.s * 1e9)

    def sleep(self, seconds):
        self.s += seconds


def wav_source(tmp_path, clock, **options):
    path = tmp_path / 'speech.wav'
    soundfile.write(path, tone(1.0), RATE)
    source = WavSource(str(path), clock=clock.ns, sleep=clock.sleep, monotonic=clock.monotonic,
                       tail_s=0.1, **options)
    source.open()
    return source


def read_all(source):
    blocks = []
    while (block := source.read(0.0)) is not None:
        blocks.append(block)
    return blocks


def test_a_file_is_heard_at_the_pace_of_speech(tmp_path):
    clock = Clock()
    blocks = read_all(wav_source(tmp_path, clock))
    assert len(blocks) == 55
    assert clock.s == pytest.approx(101.1)
    assert blocks[0].stamp_ns == pytest.approx(100.0e9, abs=1e3)
    assert blocks[50].stamp_ns == pytest.approx(101.0e9, abs=1e5)
    assert not blocks[52].samples.any()


def test_a_file_is_heard_on_request_and_again(tmp_path):
    clock = Clock()
    source = wav_source(tmp_path, clock, play_at_start=False, real_time=False)
    assert source.read(0.0) is None
    source.play()
    first = read_all(source)
    source.play()
    again = read_all(source)
    assert len(first) == len(again) == 55 and clock.s == 100.0
    assert again[0].first_sample > first[-1].first_sample + 320


def push(source, first, samples=320, rate=RATE, stamp=0, value=5, channels=1):
    source.push(np.full(samples * channels, value, np.int16), rate=rate, channels=channels,
                first_sample=first, stamp_ns=stamp)


def joined(source):
    return np.concatenate([b.samples for b in read_all(source)])


def test_lost_blocks_become_silence_of_the_same_length():
    source = QueueSource()
    for first in (0, 320, 960, 1280):
        push(source, first)
    blocks = read_all(source)
    assert [b.first_sample for b in blocks] == [0, 320, 640, 960, 1280]
    assert not blocks[2].samples.any() and source.lost_samples == 320


def test_blocks_that_come_twice_or_overlap_are_taken_once():
    source = QueueSource()
    for first in (0, 0, 160, 320):
        push(source, first)
    assert len(joined(source)) == 640


def test_a_stream_that_starts_again_leaves_a_jump():
    source = QueueSource()
    push(source, 1_000_000)
    push(source, 0)
    first, second = read_all(source)
    assert second.first_sample > first.first_sample + 320


def test_other_rates_and_channels_are_converted():
    source = QueueSource()
    for at in range(50):
        push(source, at * 960, samples=960, rate=48_000, channels=2, value=1000)
    samples = joined(source)
    assert len(samples) == pytest.approx(RATE, abs=600)
    assert abs(samples[1000:] - 1000).max() <= 2


def test_a_converted_sample_keeps_its_time():
    source = QueueSource(clock=lambda: 10 ** 9)
    tone = np.zeros(48_000, np.int16)
    tone[24_000:24_480] = 20_000    # half a second after the start
    for at in range(0, 48_000, 480):
        source.push(tone[at:at + 480], rate=48_000, first_sample=at,
                    stamp_ns=10 ** 9 + at * 1_000_000_000 // 48_000)
    blocks = read_all(source)
    block = next(b for b in blocks if (b.samples > 10_000).any())
    at = np.flatnonzero(block.samples > 10_000)[0]
    assert block.stamp_ns + at * 62_500 == pytest.approx(1.5e9, abs=1e6)


def test_stamps_of_a_clock_that_is_off_are_not_believed():
    source = QueueSource(clock=lambda: 50_000_000_000)
    push(source, 0, stamp=49_900_000_000)
    assert not source.skewed
    push(source, 320, stamp=10_000_000_000)
    assert source.skewed
    first, second = read_all(source)
    assert first.stamp_ns == 49_900_000_000
    assert second.stamp_ns == 50_000_000_000 - 20_000_000


@pytest.mark.parametrize('bad', [{'rate': 0}, {'rate': 10 ** 9}, {'channels': 0},
                                 {'samples': 321, 'channels': 40}])
def test_blocks_that_cannot_be_audio_are_refused(bad):
    with pytest.raises(AudioError, match=r'Audio\.(sample_rate|channels)'):
        push(QueueSource(), 0, **bad)


class FakePortAudio:
    """What sounddevice shows of a machine with two devices."""

    PortAudioError = RuntimeError
    devices = [
        {'index': 0, 'name': 'HDA Intel: ALC257', 'max_input_channels': 2,
         'max_output_channels': 2, 'default_samplerate': 44100.0},
        {'index': 1, 'name': 'ReSpeaker 4 Mic Array', 'max_input_channels': 6,
         'max_output_channels': 0, 'default_samplerate': 16000.0}]

    def query_devices(self, device=None, kind=None):
        return self.devices[0] if kind else self.devices


def test_devices_are_found_by_name(monkeypatch):
    monkeypatch.setattr(devices, 'sounddevice', FakePortAudio)
    assert devices.find_device('respeaker', 'input')['index'] == 1
    assert devices.find_device('', 'input')['index'] == 0
    assert devices.find_device('1', 'input')['index'] == 1
    with pytest.raises(AudioError, match=r"'usb'.*There are: 'HDA Intel: ALC257', 'ReSpeaker"):
        devices.find_device('usb', 'input')
    with pytest.raises(AudioError, match="There are: 'HDA"):
        devices.find_device('ReSpeaker', 'output')
    monkeypatch.setattr(FakePortAudio, 'devices', [])
    with pytest.raises(AudioError, match='no microphone.*`topic` or `wav`'):
        devices.find_device('', 'input')


def test_a_microphone_that_is_not_there_says_what_to_do():
    source = DeviceSource('no such microphone')
    with pytest.raises(AudioError, match='libportaudio2|no microphone|There are:'):
        source.open()
    source.close()
