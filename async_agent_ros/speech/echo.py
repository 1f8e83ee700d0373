"""
The robot does not hear itself: its own voice is taken out of what the microphone captures.

An echo canceller works on 10 ms of the microphone and of what was played at the same time. Two are
here: WebRTC's (package livekit), which subtracts, and a gate of numpy alone, which mutes.
"""
from typing import Optional, Protocol

import numpy as np

from .audio import AudioError, Block, NS_PER_S, RATE
from .echo_search import EchoSearch, FRAME, Presence
from .reference import Reference

KINDS = ('auto', 'aec', 'gate', 'off')

TAIL_S = 0.8
"""After the robot's last sound: echo that is late, of a room that rings."""


class EchoCanceller(Protocol):
    """Takes the echo of the reference out of the microphone."""

    name: str

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return FRAME int16 samples without echo; both frames are of the same 10 ms."""

    def close(self) -> None:
        """Free what it holds."""


class WebRtcCanceller:
    """
    The echo canceller of WebRTC, for delays of up to half a second; 0.12 ms of a core per frame.

    It needs a second of the robot's voice to learn the way of the echo; until then the microphone
    is mute while the robot speaks. Where no echo is, it would damp people for nothing: then the
    microphone passes as it is.
    """

    name = 'aec'

    _SETTLE = 100
    """Frames of the robot's voice until the way of the echo is learned."""

    def __init__(self):
        try:
            from livekit import rtc
        except ImportError as error:
            raise AudioError(f'echo cancellation needs the package livekit ({error}). Install it: '
                             "pip install 'async_agent_ros[echo]', or set `echo` to gate"
                             ) from None
        self._frame = rtc.AudioFrame
        self._module = rtc.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
        self._search = EchoSearch()
        self._settle = self._SETTLE

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the frame without echo."""
        self._module.process_reverse_stream(
            self._frame(bytearray(reference.tobytes()), RATE, 1, FRAME))
        data = bytearray(microphone.tobytes())
        self._module.set_stream_delay_ms(0)
        self._module.process_stream(self._frame(data, RATE, 1, FRAME))
        self._search.take(microphone, reference)
        if self._settle and np.abs(reference.astype(np.int32)).max() > 300:
            self._settle -= 1
        if self._search.presence is Presence.ABSENT:
            return microphone
        if self._settle or self._search.presence is Presence.UNKNOWN:
            return np.zeros(FRAME, np.int16)
        return np.frombuffer(data, np.int16)

    def close(self) -> None:
        """Free the module."""
        self._module = None


class GateCanceller:
    """
    Mutes the microphone while it holds nothing but the robot's voice.

    The delay is where the two correlate best. Then the loudness of the echo in each of some bands
    is learned, relative to what was played, and what stands out above it is a person: then the
    microphone is passed on as it is, echo included. Only loudness counts, so that a room that
    rings, or a loudspeaker that distorts, does no harm.
    """

    name = 'gate'

    _WINDOW = 512
    _RING = 0.8
    """What is left of a sound in a room after 10 ms: 60 dB in 0.6 s."""
    _MARGIN = 2.5
    """Above so many times the usual echo, power is somebody else's."""
    _LEARN = 40
    """Frames of the robot's voice before anything is let through beside it."""
    _OPEN = 2
    """Frames in a row that open the gate."""
    _HOLD = 15
    """Frames for which it stays open."""

    def __init__(self, *, share: float = 0.35):
        self._share = share
        self._search = EchoSearch()
        self._taper = np.hanning(self._WINDOW).astype(np.float32)
        # Below 150 Hz rooms hum, above 5 kHz there is little speech.
        edges = np.geomspace(150, 5000, 19) * self._WINDOW / RATE
        self._edges = np.unique(edges.astype(int))
        bands = len(self._edges) - 1
        self._ringing = np.zeros(bands)
        self._gain = np.full(bands, -3.0)
        self._noise = np.full(bands, 1e5)
        self._learned = np.zeros(bands, int)
        self._run = self._hold = self._delay = 0

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the frame, or silence when it is the robot's own."""
        search = self._search
        search.take(microphone, reference)
        if abs(search.delay - self._delay) > FRAME:
            # What was learned was learned of other moments.
            self._learned[:] = 0
        self._delay = search.delay
        self._run = self._run + 1 if self._stands_out() else 0
        self._hold = self._HOLD if self._run >= self._OPEN else max(0, self._hold - 1)
        if self._hold or search.presence is Presence.ABSENT:
            return microphone
        return np.zeros(FRAME, np.int16)

    def _power(self, samples: np.ndarray) -> np.ndarray:
        bins = np.abs(np.fft.rfft(samples * self._taper)) ** 2
        return np.add.reduceat(bins, self._edges)[:-1]

    def _stands_out(self) -> bool:
        """Take in the last window; return whether there is more in it than echo and noise."""
        heard = self._power(self._search.mic[-self._WINDOW:])
        played = self._power(self._search.delayed(self._WINDOW))
        self._ringing = np.maximum(played, self._RING * self._ringing)
        noise = self._noise
        self._noise = np.where(heard < noise, 0.9 * noise + 0.1 * heard, noise * 1.002)
        usual = 10.0 ** self._gain * self._ringing
        rest = np.maximum(0.0, heard - self._MARGIN * usual - 4.0 * self._noise)
        sure = self._learned >= self._LEARN
        known = float(heard[sure].sum())
        somebody = bool(known > 0.3 * heard.sum() and rest[sure].sum() > self._share * known
                        and heard.sum() > 8.0 * self._noise.sum())
        if self._search.settled >= 2:
            self._learn(heard, somebody)
        return somebody

    def _learn(self, heard: np.ndarray, somebody: bool) -> None:
        """Follow the level below which four fifths of the echo lie; a person lifts it slowly."""
        fresh = self._learned < self._LEARN
        audible = (self._ringing > 1e5) & (
            fresh | (self._ringing * 10.0 ** self._gain > self._noise))
        above = np.log10(heard / (self._ringing + 1.0) + 1e-9) > self._gain
        step = np.where(fresh, 0.15, 0.004 if somebody else 0.02)
        self._gain += np.where(audible, np.where(above, step, -step / 4.0), 0.0)
        self._learned += audible

    def close(self) -> None:
        """Nothing is held."""


class EchoPath:
    """
    Blocks of the microphone in, blocks without the robot's voice out.

    Costs nothing while the robot is silent: then blocks pass through untouched.
    """

    def __init__(self, canceller: EchoCanceller, reference: Reference):
        self._canceller, self._reference = canceller, reference
        self._pending = np.zeros(0, np.int16)
        self._next: Optional[int] = None
        self._stamp_ns = 0
        self.active = False
        """The robot can be heard at the moment."""

    @property
    def name(self) -> str:
        """Name of the canceller."""
        return self._canceller.name

    def process(self, block: Block) -> Optional[Block]:
        """Return what is ready of the stream; None while less than a frame is."""
        start = block.first_sample
        if self._next is not None and start != self._next:
            self._pending = self._pending[:0]
        self._next = start + len(block.samples)
        first_ns = block.stamp_ns - len(self._pending) * NS_PER_S // RATE
        first = start - len(self._pending)
        samples = np.concatenate([self._pending, block.samples])
        self.active = self._reference.audible(first_ns, TAIL_S)
        if not self.active:
            self._pending = samples[:0]
            return Block(samples, first, first_ns) if len(samples) else None
        count = len(samples) // FRAME * FRAME
        self._pending = samples[count:]
        if not count:
            return None
        reference = self._reference.window(self._steady(first_ns, count), count)
        out = [self._canceller.process(samples[at:at + FRAME], reference[at:at + FRAME])
               for at in range(0, count, FRAME)]
        return Block(np.concatenate(out), first, first_ns)

    def _steady(self, first_ns: int, count: int) -> int:
        """Return the time of the first sample, without the jitter of single stamps."""
        if abs(first_ns - self._stamp_ns) > 20_000_000:
            self._stamp_ns = first_ns
        # A clock that runs a little faster is followed, a stamp that jumps is not.
        steady_ns = self._stamp_ns + (first_ns - self._stamp_ns) // 100
        self._stamp_ns = steady_ns + count * NS_PER_S // RATE
        return steady_ns

    def close(self) -> None:
        """Free the canceller."""
        self._canceller.close()


def make_canceller(kind: str) -> Optional[EchoCanceller]:
    """
    Return the canceller of a kind in KINDS; None for off.

    auto is WebRTC's where it is installed, else the gate. Raises AudioError when `aec` is missing.
    """
    if kind == 'off':
        return None
    if kind == 'gate':
        return GateCanceller()
    try:
        return WebRtcCanceller()
    except AudioError:
        if kind == 'aec':
            raise
        return GateCanceller()
