"""Where the person's speech comes from: a microphone, a WAV file or a topic."""
import os
import queue
import time
from typing import Callable, Optional, Protocol

import numpy as np

from .audio import AudioError, Block, NS_PER_S, RATE, resample, Resampler, to_int16, to_mono
from .devices import DeviceName, find_device, HangWatch, rescan, sounddevice, stream_opened

Clock = Callable[[], int]
"""Returns now in nanoseconds; the node passes its ROS clock."""

BLOCK_SAMPLES = RATE // 50
"""20 ms: 640 bytes, under the MTU of any network."""

STALL_S = 2.0
"""An open device that delivers nothing for so long is gone, whatever PortAudio says."""


class AudioSource(Protocol):
    """
    A stream of 16 kHz mono blocks.

    One thread opens, reads and closes it; read() is the only call that waits.
    """

    def open(self) -> None:
        """Begin to capture. Raises AudioError, whose message names the remedy."""

    def read(self, timeout_s: float) -> Optional[Block]:
        """Return the next block, or None when none came in time. Raises AudioError on failure."""

    def close(self) -> None:
        """Let the device or file go. A read() that waits returns None soon."""


class DeviceSource:
    """A microphone, through PortAudio. The callback only fills a queue."""

    def __init__(self, name: DeviceName = '', *, clock: Clock = time.time_ns):
        self._name, self._clock = name, clock
        self._queue: 'queue.SimpleQueue[Optional[tuple]]' = queue.SimpleQueue()
        self._stream = None
        self._resampler: Optional[Resampler] = None
        self._count = 0
        self._zeros = 0
        self._last_s = 0.0
        self.watch = HangWatch()
        self.overflows = 0

    def open(self) -> None:
        """Open the device at 16 kHz, or at its own rate with conversion."""
        with self.watch:
            self._open()

    def _open(self):
        rescan()
        sd = sounddevice()
        device = find_device(self._name, 'input')
        rate = RATE
        try:
            sd.check_input_settings(device=device['index'], channels=1, dtype='int16',
                                    samplerate=RATE)
        except (sd.PortAudioError, ValueError):
            rate = int(device['default_samplerate'])
        self._resampler = Resampler(rate)
        try:
            self._stream = sd.RawInputStream(
                device=device['index'], channels=1, dtype='int16', samplerate=rate,
                blocksize=rate // 100, latency='low', callback=self._captured)
            stream_opened(+1)
            self._zeros, self._last_s = 0, time.monotonic()
            self._stream.start()
        except (sd.PortAudioError, ValueError) as error:
            self.close()
            raise AudioError(
                f"microphone '{device['name']}' cannot be opened at {rate} Hz: {error}. Is a "
                'program holding it? Choose another with the parameter `device`.') from None

    def _captured(self, data, frames, times, status):
        if status.input_overflow:
            self.overflows += 1
        # The ADC time is in PortAudio's clock: carry the age of the block over to ours.
        age_s = times.currentTime - times.inputBufferAdcTime
        age_s = age_s if 0.0 <= age_s < 1.0 else frames / RATE
        stamp_ns = self._clock() - int(age_s * NS_PER_S)
        self._queue.put((np.frombuffer(bytes(data), np.int16), stamp_ns))

    def read(self, timeout_s: float) -> Optional[Block]:
        """Return the next block; raises AudioError when the device is gone."""
        try:
            item = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            if self._stream is not None and not self._stream.active:
                raise AudioError(f"microphone '{self._name or 'default'}' stopped: unplugged? "
                                 'It is opened again as soon as it is back.') from None
            if self._stream is not None and time.monotonic() - self._last_s > STALL_S:
                # When the sound server dies, PortAudio's thread waits on for ever.
                raise AudioError(f"microphone '{self._name or 'default'}' delivers nothing: is the "
                                 'sound server gone? It is opened again as soon as it is '
                                 'back.') from None
            return None
        if item is None:
            return None
        self._last_s = time.monotonic()
        stamp_ns = item[1] - self._resampler.held_ns
        samples = self._resampler(item[0])
        self._zeros = 0 if samples.any() else self._zeros + len(samples)
        block = Block(samples, self._count, stamp_ns)
        self._count += len(samples)
        return block

    @property
    def silent_s(self) -> float:
        """
        Seconds that the samples have been exactly 0: muted, or unplugged.

        A microphone in a quiet room has noise. Sound servers keep a stream open whose device is
        gone, and fill it with zeros.
        """
        return self._zeros / RATE

    def close(self) -> None:
        """Stop the stream."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with self.watch:
                stream.abort(ignore_errors=True)
                stream.close(ignore_errors=True)
            stream_opened(-1)
        self._queue.put(None)


def read_wav(path: str) -> np.ndarray:
    """
    Return a sound file as 16 kHz mono int16.

    Other rates, channels and sample formats are converted; what cannot be is refused with an
    AudioError that names the file, what is wrong with it, and the remedy.
    """
    if not os.path.exists(path):
        raise AudioError(f"sound file '{path}' does not exist. Give the path of a WAV file with "
                         'the parameter `wav_file`.')
    remedy = f"Convert it: ffmpeg -i '{path}' -ac 1 -ar 16000 -c:a pcm_s16le speech.wav"
    try:
        import soundfile
    except ImportError:
        raise AudioError('the package soundfile is missing, so WAV files cannot be read. Install '
                         'it: pip install soundfile') from None
    try:
        data, rate = soundfile.read(path, dtype='float32', always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"'{path}' is not a sound file that can be read: {error}. "
                         f'{remedy}') from None
    if not len(data):
        raise AudioError(f"'{path}' holds no samples. Record it again, or give another file.")
    if not np.isfinite(data).all():
        raise AudioError(f"'{path}' holds samples that are not numbers (NaN or infinity). "
                         f'{remedy}')
    return to_int16(resample(data.mean(axis=1), rate, RATE))


class WavSource:
    """
    A recording in place of a microphone, once: as fast as it was spoken, or as fast as it is read.

    Silence for `tail_s` follows it, so that the end of the last utterance is found; then nothing.
    """

    def __init__(self, path: str, *, clock: Clock = time.time_ns, real_time: bool = True,
                 play_at_start: bool = True, tail_s: float = 2.0,
                 sleep: Callable[[float], None] = time.sleep,
                 monotonic: Callable[[], float] = time.monotonic):
        self._path, self._clock, self._tail_s = path, clock, tail_s
        self._real_time, self._play_at_start = real_time, play_at_start
        self._sleep, self._monotonic = sleep, monotonic
        self._samples = np.zeros(0, np.int16)
        self._at = 0
        self._first = 0
        self._due_s: Optional[float] = None
        self._requests: 'queue.SimpleQueue[None]' = queue.SimpleQueue()

    def open(self) -> None:
        """Read the file."""
        self._samples = np.concatenate(
            [read_wav(self._path), np.zeros(int(self._tail_s * RATE), np.int16)])
        self._at = len(self._samples)
        if self._play_at_start:
            self.play()

    def play(self) -> None:
        """Begin (again) with the first sample; may be called from any thread."""
        self._requests.put(None)

    def read(self, timeout_s: float) -> Optional[Block]:
        """Return the next 20 ms when they are due."""
        if self._at >= len(self._samples):
            try:
                self._requests.get(timeout=timeout_s)
            except queue.Empty:
                return None
            # A new run of the file is not the continuation of the last: leave a gap.
            self._first += self._at + RATE if self._at else 0
            self._at, self._due_s = 0, None
        if self._real_time:
            now_s = self._monotonic()
            if self._due_s is None:
                self._due_s = now_s
            # A block is there when its last sample was captured, not its first.
            self._due_s += BLOCK_SAMPLES / RATE
            if self._due_s > now_s:
                self._sleep(self._due_s - now_s)
        samples = self._samples[self._at:self._at + BLOCK_SAMPLES]
        stamp_ns = self._clock() - len(samples) * NS_PER_S // RATE
        block = Block(samples, self._first + self._at, stamp_ns)
        self._at += len(samples)
        return block

    def close(self) -> None:
        """End the run."""
        self._at = len(self._samples)


class QueueSource:
    """
    Blocks that someone else delivers, from a topic: a microphone on another machine.

    Any rate and number of channels is converted. A gap in the sample index (best effort loses
    blocks) becomes silence of the same length, up to `max_gap_s`; a longer one, or an index that
    goes back, is a new stream. Blocks that come twice are dropped.
    """

    def __init__(self, *, clock: Clock = time.time_ns, max_gap_s: float = 1.0,
                 max_backlog_s: float = 5.0, max_skew_s: float = 2.0):
        self._clock, self._max_gap_s, self._max_skew_s = clock, max_gap_s, max_skew_s
        self._queue: 'queue.Queue[Optional[Block]]' = queue.Queue()
        self._max_backlog = int(max_backlog_s * RATE)
        self._expected: Optional[int] = None
        self._resampler: Optional[Resampler] = None
        self._out = 0
        self.lost_samples = 0
        """Samples of gaps that were filled with silence, at the incoming rate."""
        self.skewed = False
        """The sender's clock is not ours: its stamps are replaced by the time of arrival."""

    def open(self) -> None:
        """Forget what came before."""
        self.close()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._expected = None

    def push(self, samples: np.ndarray, *, rate: int, channels: int = 1,
             first_sample: int = 0, stamp_ns: int = 0) -> None:
        """
        Deliver a block of interleaved int16; stamp 0 means now. Never waits.

        Raises AudioError for a block that cannot be audio: it says which field is wrong.
        """
        if not 4_000 <= rate <= 384_000:
            raise AudioError(f'Audio.sample_rate is {rate} Hz: it must be 4000 to 384000')
        if not 1 <= channels <= 32 or len(samples) % channels:
            raise AudioError(f'Audio.channels is {channels} with {len(samples)} samples: data '
                             'must hold whole frames of 1 to 32 interleaved channels')
        mono = to_mono(np.asarray(samples, np.int16), channels)
        if not len(mono):
            return
        arrival_ns = self._clock() - len(mono) * NS_PER_S // rate
        self.skewed = bool(stamp_ns) and abs(stamp_ns - arrival_ns) > self._max_skew_s * NS_PER_S
        if not stamp_ns or self.skewed:
            stamp_ns = arrival_ns
        if self._resampler is None or self._resampler.from_rate != rate:
            self._resampler, self._expected = Resampler(rate), None
        gap = 0 if self._expected is None else first_sample - self._expected
        if 0 > gap >= -len(mono) * 4:
            mono = mono[-gap:]  # sent twice, or overlapping: keep what is new
            if not len(mono):
                return
            stamp_ns -= gap * NS_PER_S // rate
            first_sample -= gap
        elif gap < 0 or gap > self._max_gap_s * rate:
            # Another stream: its index says nothing about ours.
            self._resampler = Resampler(rate)
            self._out += RATE * 2
        elif gap:
            self.lost_samples += gap
            self._emit(np.zeros(gap, np.int16), stamp_ns - gap * NS_PER_S // rate)
        self._expected = first_sample + len(mono)
        self._emit(mono, stamp_ns)

    def _emit(self, mono, stamp_ns):
        stamp_ns -= self._resampler.held_ns
        samples = self._resampler(mono)
        if len(samples):
            # Slow readers lose the newest, not memory.
            if self._queue.qsize() * BLOCK_SAMPLES < self._max_backlog:
                self._queue.put(Block(samples, self._out, stamp_ns))
            self._out += len(samples)

    def read(self, timeout_s: float) -> Optional[Block]:
        """Return the next block."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Wake a reader that waits."""
        self._queue.put(None)
