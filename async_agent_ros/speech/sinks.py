"""Where the robot's speech goes: a loudspeaker, a real-time clock in place of one, a WAV file."""
import os
import queue
import struct
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Protocol, Union

import numpy as np

from .audio import AudioError, Block, NS_PER_S
from .devices import DeviceName, find_device, HangWatch, rescan, sounddevice, stream_opened
from .playback import Playback, Report

Clock = Callable[[], int]
OnBlock = Callable[[Block], None]
OnReports = Callable[[List[Report]], None]

BLOCK_S = 0.01
"""Seconds that are rendered at once: the longest a command waits."""

STALL_S = 2.0
"""A running device that asks for nothing for so long is gone, whatever PortAudio says."""

ERROR_SINK = 101


class AudioSink(Protocol):
    """
    Plays a Playback. The thread that plays calls `on_block` and `on_reports`.

    pause() and stop() return at once and are audible within one block.
    """

    playback: Playback

    def open(self) -> None:
        """Begin; raises AudioError, whose message names the remedy."""

    def pause(self) -> None:
        """Hold, keep what is queued."""

    def resume(self) -> None:
        """Go on."""

    def stop(self, epoch: int) -> None:
        """Drop what is older than `epoch`."""

    def close(self) -> None:
        """End; what is queued is not played."""


class PacedSink:
    """No device: a clock that takes as long as a loudspeaker would. For topics and files."""

    def __init__(self, playback: Playback, on_block: OnBlock, on_reports: OnReports, *,
                 clock: Clock = time.time_ns, monotonic: Callable[[], float] = time.monotonic):
        self.playback = playback
        self._on_block, self._on_reports = on_block, on_reports
        self._clock, self._monotonic = clock, monotonic
        self._closed = False
        self._thread: Optional[threading.Thread] = None
        self._played = 0

    def open(self) -> None:
        """Start the thread that keeps time."""
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='playback', daemon=True)
        self._thread.start()

    def _run(self):
        while not self._closed:
            if not self.playback.wait_wanted(1.0):
                continue
            due_s, audible_ns = self._monotonic(), self._clock()
            while self.playback.wanted() and not self._closed:
                late_s = self._monotonic() - due_s
                if late_s > 0.2:
                    # Held up (or the machine slept): do not catch up with a burst.
                    due_s, audible_ns = self._monotonic(), self._clock()
                self.tick(audible_ns)
                due_s += BLOCK_S
                audible_ns += int(BLOCK_S * NS_PER_S)
                pause_s = due_s - self._monotonic()
                if pause_s > 0:
                    time.sleep(pause_s)

    def tick(self, audible_ns: int) -> None:
        """Play one block whose first sample is audible now."""
        # Commands first, so that a stop that has come is not answered a block later.
        count = int(self.playback.rate * BLOCK_S)
        pcm = self.playback.render(count, audible_ns)
        self._on_block(Block(pcm, self._played, audible_ns, self.playback.rate))
        self._played += count
        reports = self.playback.poll(audible_ns)
        if reports:
            self._on_reports(reports)

    def pause(self) -> None:
        """Hold at the next block."""
        self.playback.pause()

    def resume(self) -> None:
        """Go on."""
        self.playback.resume()

    def stop(self, epoch: int) -> None:
        """Drop what is older."""
        self.playback.stop(epoch)

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self.playback.wake()
        if self._thread is not None:
            self._thread.join(timeout=2.0)


class DeviceSink:
    """
    A loudspeaker, through PortAudio.

    The callback renders; a thread hands on blocks and reports when they are audible. Pause and
    stop abort the stream, because what lies in the device's buffer would go on for 80-175 ms, and
    take the position back to what was heard.
    """

    def __init__(self, playback: Playback, on_block: OnBlock, on_reports: OnReports, *,
                 name: DeviceName = '', clock: Clock = time.time_ns,
                 on_error: Callable[[str], None] = lambda message: None):
        self.playback = playback
        self._on_block, self._on_reports, self._on_error = on_block, on_reports, on_error
        self._name, self._clock = name, clock
        self._stream = None
        self._stream_lock = threading.Lock()
        self._blocks: 'queue.SimpleQueue[Block]' = queue.SimpleQueue()
        self._played = 0
        self._asked_s = 0.0
        self.watch = HangWatch()
        self._closed = False
        self._thread: Optional[threading.Thread] = None
        self.underflows = 0

    def open(self) -> None:
        """Open the device; its own rate becomes that of the playback when it must."""
        self._closed = False
        # First the thread: where the device is missing now, the next segment tries again.
        self._thread = threading.Thread(target=self._run, name='playback', daemon=True)
        self._thread.start()
        with self._stream_lock:
            self._open_stream()

    def _open_stream(self):
        rescan()
        sd = sounddevice()
        device = find_device(self._name, 'output')
        rate = self.playback.rate
        try:
            sd.check_output_settings(device=device['index'], channels=1, dtype='int16',
                                     samplerate=rate)
        except (sd.PortAudioError, ValueError):
            rate = int(device['default_samplerate'])
        if rate != self.playback.rate:
            if self.playback.wanted():
                raise AudioError(f"loudspeaker '{device['name']}' wants {rate} Hz in the middle "
                                 'of speech; it is used from the next sentence on')
            self.playback.rate = rate
        try:
            self._stream = sd.RawOutputStream(
                device=device['index'], channels=1, dtype='int16', samplerate=rate,
                blocksize=int(rate * BLOCK_S), latency='low', callback=self._render)
            stream_opened(+1)
        except (sd.PortAudioError, ValueError) as error:
            raise AudioError(
                f"loudspeaker '{device['name']}' cannot be opened at {rate} Hz: {error}. Is "
                'another program holding it? Choose another with the parameter `device`.'
            ) from None

    def _render(self, data, frames, times, status):
        self._asked_s = time.monotonic()
        if status.output_underflow:
            self.underflows += 1
        delay_s = times.outputBufferDacTime - times.currentTime
        delay_s = delay_s if 0.0 <= delay_s < 2.0 else 0.0
        audible_ns = self._clock() + int(delay_s * NS_PER_S)
        pcm = self.playback.render(frames, audible_ns)
        data[:] = pcm.tobytes()
        self._blocks.put(Block(pcm, self._played, audible_ns, self.playback.rate))
        self._played += frames

    def _run(self):
        idle_since: Optional[float] = None
        while not self._closed:
            if not self.playback.wanted():
                idle_since = idle_since or time.monotonic()
                if time.monotonic() - idle_since > 1.0:
                    self._halt(abort=False)
                    self._drain()
                    self.playback.wait_wanted(1.0)
                else:
                    self.playback.wait_wanted(0.1)
                self._drain()
                continue
            idle_since = None
            try:
                with self.watch:
                    self._ensure_running()
            except AudioError as error:
                self._fail(str(error))
                continue
            now_ns = self._clock()
            self._drain()
            reports = self.playback.poll(now_ns)
            if reports:
                self._on_reports(reports)
            time.sleep(BLOCK_S)

    def _ensure_running(self):
        sd = sounddevice()
        with self._stream_lock:
            if self._stream is None:
                self._open_stream()
            if self._stream.active:
                if time.monotonic() - self._asked_s < STALL_S:
                    return
                # When the sound server dies, PortAudio's thread waits on for ever.
                self._discard()
                raise AudioError(f"loudspeaker '{self._name or 'default'}' takes nothing: is the "
                                 'sound server gone? The next sentence tries again.')
            try:
                if not self._stream.stopped:
                    # Neither active nor stopped: it ended by itself, the device is gone.
                    self._discard()
                    self._open_stream()
                self._asked_s = time.monotonic()
                self._stream.start()
            except sd.PortAudioError as error:
                self._discard()
                raise AudioError(f"loudspeaker '{self._name or 'default'}' is gone: {error}. Plug "
                                 'it in again, or choose another with the parameter `device`; the '
                                 'next sentence tries again.') from None

    def _fail(self, message):
        self.playback.fail_all(ERROR_SINK, message, self._clock())
        self._on_error(message)
        self._on_reports(self.playback.poll(self._clock()))

    def _drain(self):
        while not self._blocks.empty():
            block = self._blocks.get()
            self._on_block(block)

    def _halt(self, abort):
        with self._stream_lock:
            if self._stream is None or self._stream.stopped:
                return
            if abort:
                self._stream.abort(ignore_errors=True)
            else:
                self._stream.stop(ignore_errors=True)

    def _discard(self):
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)
            stream_opened(-1)

    def _cut(self):
        self._halt(abort=True)
        self.playback.cut_back(self._clock())

    def pause(self) -> None:
        """Silence the device and hold; an uninterruptible segment plays on."""
        if self.playback.interruptible_now():
            self._cut()
        self.playback.pause(fade=False)

    def resume(self) -> None:
        """Go on."""
        self.playback.resume()

    def stop(self, epoch: int) -> None:
        """Silence the device and drop what is older."""
        if self.playback.interruptible_now(epoch):
            self._cut()
        self.playback.stop(epoch, fade=False)

    def close(self) -> None:
        """Let the device go."""
        self._closed = True
        self.playback.wake()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        with self._stream_lock:
            self._discard()


class WavSink:
    """
    Writes what was audible to a WAV file, with silence in between, on a thread of its own.

    Sample 0 is at `start_ns`, so that files of several speakers can be laid side by side. The
    header is brought up to date every second: the file can be read after a crash.
    """

    def __init__(self, path: Union[str, Path], rate: int, start_ns: int, *,
                 on_error: Callable[[str], None] = lambda message: None):
        self._path, self.rate, self._start_ns = Path(path).expanduser(), rate, start_ns
        self._on_error = on_error
        self._queue: 'queue.SimpleQueue[Optional[Block]]' = queue.SimpleQueue()
        self._written = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, 'wb')
            self._header()
        except OSError as error:
            raise AudioError(f"'{self._path}' cannot be written: {error.strerror}. Choose another "
                             'path with the parameter `wav_file`, or free space.') from None
        self._thread = threading.Thread(target=self._run, name='wav', daemon=True)
        self._thread.start()

    def write(self, block: Block) -> None:
        """Hand over a block; never waits."""
        self._queue.put(block)

    def _header(self):
        data = self._written * 2
        self._file.seek(0)
        self._file.write(struct.pack(
            '<4sI4s4sIHHIIHH4sI', b'RIFF', 36 + data, b'WAVE', b'fmt ', 16, 1, 1, self.rate,
            self.rate * 2, 2, 16, b'data', data))
        self._file.seek(0, os.SEEK_END)
        self._file.flush()

    def _run(self):
        unsaved = 0
        try:
            while True:
                try:
                    block = self._queue.get(timeout=1.0 if unsaved else None)
                except queue.Empty:
                    self._header()
                    unsaved = 0
                    continue
                if block is None:
                    break
                before = self._written
                self._place(block)
                unsaved += self._written - before
                if unsaved >= self.rate:
                    self._header()
                    unsaved = 0
            self._header()
        except OSError as error:
            self._on_error(f"'{self._path}' cannot be written any more: {error.strerror}. Free "
                           'space and start again; speech goes on without the file.')
        finally:
            try:
                self._file.close()
            except OSError:
                pass

    def _place(self, block):
        at = (block.stamp_ns - self._start_ns) * self.rate // NS_PER_S
        gap = at - self._written
        samples = block.samples
        # Stamps jitter by a few milliseconds: blocks that nearly touch belong together.
        if gap > self.rate // 50:
            self._silence(gap)
        elif gap < -self.rate // 2:
            samples = samples[-gap:] if -gap < len(samples) else samples[:0]
        self._file.write(np.ascontiguousarray(samples, '<i2').tobytes())
        self._written += len(samples)

    def _silence(self, count):
        self._written += count
        while count > 0:
            step = min(count, self.rate * 10)
            self._file.write(bytes(2 * step))
            count -= step

    def close(self, end_ns: int = 0) -> None:
        """Finish the file, padded with silence up to `end_ns`."""
        missing = (end_ns - self._start_ns) * self.rate // NS_PER_S - self._written
        if end_ns and missing > 0 and self._thread.is_alive():
            self._queue.put(Block(np.zeros(0, np.int16), 0, end_ns, self.rate))
        self._queue.put(None)
        self._thread.join(timeout=5.0)
