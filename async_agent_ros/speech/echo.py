"""
The robot does not hear itself: its own voice is taken out of what the microphone captures.

An echo canceller works on 10 ms of the microphone and of what was played at the same time. Two are
here: WebRTC's (package livekit), which subtracts, and a gate of numpy alone, which mutes.
"""
from typing import Optional, Protocol

import numpy as np

from .audio import AudioError, Block, NS_PER_S, RATE
from .echo_bands import EchoBands
from .echo_search import EchoSearch, FRAME, Presence
from .onset import EagerOnset
from .reference import Reference

KINDS = ('auto', 'aec', 'gate', 'off')

TAIL_S = 0.8
"""After the robot's last sound: echo that is late, of a room that rings."""

PATIENCE_S = 0.025
"""The microphone waits so long for what the robot played at the same time."""


class EchoCanceller(Protocol):
    """Takes the echo of the reference out of the microphone."""

    name: str
    search: Optional[EchoSearch]
    """What is known of the echo; None where none is looked for."""

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return FRAME int16 samples without echo; both frames are of the same 10 ms."""

    def listen(self, microphone: np.ndarray) -> None:
        """Take int16 samples that were captured while the robot was silent."""

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
        self.search = EchoSearch()
        self._settle = self._SETTLE

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the frame without echo."""
        self._module.process_reverse_stream(
            self._frame(bytearray(reference.tobytes()), RATE, 1, FRAME))
        data = bytearray(microphone.tobytes())
        self._module.set_stream_delay_ms(0)
        self._module.process_stream(self._frame(data, RATE, 1, FRAME))
        self.search.take(microphone, reference)
        if self._settle and np.abs(reference.astype(np.int32)).max() > 300:
            self._settle -= 1
        if self.search.presence is Presence.ABSENT:
            return microphone
        if self._settle or self.search.presence is Presence.UNKNOWN:
            return np.zeros(FRAME, np.int16)
        return np.frombuffer(data, np.int16)

    def listen(self, microphone: np.ndarray) -> None:
        """Do nothing: it follows the background by itself."""

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

    _MARGIN = 2.5
    """Above so many times the usual echo, power is somebody else's."""
    _OPEN = 2
    """Frames in a row that open the gate."""
    _HOLD = 15
    """Frames for which it stays open."""

    def __init__(self, *, share: float = 0.35):
        self._share = share
        self.search = EchoSearch()
        # Below 150 Hz rooms hum, above 5 kHz there is little speech.
        self._bands = EchoBands(512, 150.0, 5000.0, 18)
        self._run = self._hold = self._delay = 0

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the frame, or silence when it is the robot's own."""
        search = self.search
        search.take(microphone, reference)
        if abs(search.delay - self._delay) > FRAME:
            self._bands.forget()
        self._delay = search.delay
        self._run = self._run + 1 if self._stands_out() else 0
        self._hold = self._HOLD if self._run >= self._OPEN else max(0, self._hold - 1)
        if self._hold or search.presence is Presence.ABSENT:
            return microphone
        return np.zeros(FRAME, np.int16)

    def _stands_out(self) -> bool:
        """Take in the last window; return whether there is more in it than echo and noise."""
        bands = self._bands
        bands.take(self.search.mic[-bands.window:], self.search.delayed(bands.window))
        heard, sure = bands.heard, bands.known
        rest = np.maximum(0.0, heard - self._MARGIN * bands.usual - 4.0 * bands.noise)
        known = float(heard[sure].sum())
        somebody = bool(known > 0.3 * heard.sum() and rest[sure].sum() > self._share * known
                        and heard.sum() > 8.0 * bands.noise.sum())
        if self.search.settled >= 2:
            bands.learn(somebody)
        return somebody

    def listen(self, microphone: np.ndarray) -> None:
        """Follow the background."""
        self._bands.listen(microphone)

    def close(self) -> None:
        """Nothing is held."""


class NoCanceller:
    """Passes on what the microphone captures."""

    name, search = 'off', None

    def process(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the frame as it is."""
        return microphone

    def listen(self, microphone: np.ndarray) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Nothing is held."""


class EchoPath:
    """
    Blocks of the microphone in, blocks without the robot's voice out.

    Costs little while the robot is silent: then blocks pass through untouched. While it
    can be heard, `eager` tells of the first sound that is not its own.
    """

    def __init__(self, canceller: EchoCanceller, reference: Reference,
                 eager: Optional[EagerOnset] = None):
        self._canceller, self._reference, self.eager = canceller, reference, eager
        self._pending = np.zeros(0, np.int16)
        self._next: Optional[int] = None
        self._stamp_ns = 0
        self._missed = 0
        self.active = False
        """The robot can be heard at the moment."""
        self.somebody = False
        """Somebody began to make a sound over the robot's voice in the last block."""

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
        self.active, self.somebody = self._reference.audible(first_ns, TAIL_S), False
        if not self.active:
            self._pending = samples[:0]
            self._canceller.listen(samples)
            if self.eager is not None:
                self.eager.listen(samples)
            return Block(samples, first, first_ns) if len(samples) else None
        # What is played comes over the network; missing for a moment, it would be gone for good.
        late = self._reference.late(first_ns + len(samples) * NS_PER_S // RATE, PATIENCE_S)
        count = max(0, len(samples) - late) // FRAME * FRAME
        self._pending = samples[count:]
        if not count:
            return None
        reference = self._reference.window(self._steady(first_ns, count), count)
        if self.eager is not None and self._reference.missed != self._missed:
            self._missed = self._reference.missed
            self.eager.disturbed()
        out = [self._frame(samples[at:at + FRAME], reference[at:at + FRAME])
               for at in range(0, count, FRAME)]
        return Block(np.concatenate(out), first, first_ns)

    def _frame(self, microphone: np.ndarray, reference: np.ndarray) -> np.ndarray:
        frame = self._canceller.process(microphone, reference)
        if self.eager is not None and self.eager.take(frame, self._canceller.search):
            self.somebody = True
        return frame

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


def make_canceller(kind: str) -> EchoCanceller:
    """
    Return the canceller of a kind in KINDS.

    auto is WebRTC's where it is installed, else the gate. Raises AudioError when `aec` is missing.
    """
    if kind == 'off':
        return NoCanceller()
    if kind == 'gate':
        return GateCanceller()
    try:
        return WebRtcCanceller()
    except AudioError:
        if kind == 'aec':
            raise
        return GateCanceller()
