"""
From a source of audio to utterances: voice activity, end of turn, when to recognise.

One thread reads the source; recognition runs on another. Knows no ROS.
"""
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Callable, Iterable, Optional

from .audio import AudioError, Block, RATE
from .echo import EchoPath
from .endpointing import Endpointer, EndpointSettings
from .onset import HELD_S
from .recognition import Job, MARGIN, RecognitionThread, Utterance
from .sources import AudioSource
from .vad import Change, Confirmed, Lull, Offset, Onset, SileroVad, SpeechDetector, VadSettings

_RETRY_S = 2.0
_LATE_S = 0.4
"""Without a block for so long within an utterance, the stream has fallen silent."""


@dataclass(frozen=True)
class ListenSettings:
    """How the listener works."""

    vad: VadSettings = VadSettings()
    endpoint: EndpointSettings = EndpointSettings()
    partials: bool = True
    """Recognise while the person speaks."""
    partial_period_s: float = 0.2
    """Least time between two rounds of it, seconds of speech."""


class Listener:
    """
    Reads a source until it is told to stop, and says what it hears.

    `on_started(utterance, probability)` and `on_stopped(utterance, speech_end_ns, probability)` are
    called from the thread that runs run(); what was understood comes from `recognition`.
    """

    def __init__(self, settings: ListenSettings, vad: SileroVad, recognition: RecognitionThread, *,
                 clock: Callable[[], int], echo: Optional[EchoPath] = None,
                 on_started: Callable[[Utterance, float], None],
                 on_stopped: Callable[[Utterance, int, float], None],
                 on_source: Callable[[str], None], on_read: Callable[[], None] = lambda: None):
        self._settings, self._vad, self._recognition = settings, vad, recognition
        self._clock, self._echo = clock, echo
        self._on_started, self._on_stopped = on_started, on_stopped
        self._on_source, self._on_read = on_source, on_read
        self._detector = SpeechDetector(settings.vad, vad)
        self._prefix, self._number = uuid.uuid4().hex[:6], 0
        self.utterance: Optional[Utterance] = None
        """The one that is open."""
        self.false_onsets = 0
        """Sounds over the robot's voice that were taken for speech on suspicion and were none."""

    def run(self, source: AudioSource, stop: threading.Event) -> None:
        """Read until `stop` is set; a source that fails is opened again, and that is said."""
        while not stop.is_set():
            try:
                source.open()
                self._on_source('')
                self._read(source, stop)
            except AudioError as error:
                self._on_source(str(error))
            except Exception as error:    # a driver's own: say it and try again
                self._on_source(f'the audio source failed: {error!r}; it is opened again')
            self._apply(self._detector.finish())
            source.close()
            stop.wait(_RETRY_S)

    def _read(self, source: AudioSource, stop: threading.Event) -> None:
        detector = self._detector
        self._vad.reset()
        last_s, silent = time.monotonic(), False
        while not stop.is_set():
            # A busy machine delivers late: that is no silence of the person.
            wait_s = 0.1 if silent else _LATE_S
            block = source.read(wait_s if detector.speaking else 1.0)
            now_s, silent = time.monotonic(), block is None
            if block is not None:
                self.feed(block)
            elif detector.speaking:
                # The stream fell silent within an utterance: time goes on without blocks.
                silence_s = min(0.5, now_s - last_s)
                self._apply(detector.feed_silence(
                    int(silence_s * RATE), self._clock() - int(silence_s * 1e9)))
            last_s = now_s
            self._on_read()

    def feed(self, block: Block) -> None:
        """Take the next block."""
        if self._echo is not None:
            block = self._echo.process(block)
            if block is None:
                return
        utterance = self.utterance
        if utterance is not None:
            self._detector.end_silence_s = utterance.endpointer.needed_s(
                self._detector.last_speech)
        self._apply(self._detector.feed(block))
        if self._echo is not None and self._echo.somebody:
            self._apply(self._detector.suspect(HELD_S))
        if self.utterance is not None and not self._detector.suspected:
            self._recognise_partly(self.utterance)

    def _apply(self, changes: Iterable[Change]) -> None:
        detector = self._detector
        for change in changes:
            if isinstance(change, Onset):
                self._number += 1
                self.utterance = Utterance(
                    f'{self._prefix}-{self._number}', change.onset,
                    detector.time_of(change.onset), Endpointer(self._settings.endpoint),
                    asked=change.known)
                self._on_started(self.utterance, change.probability)
                if not change.suspected:
                    self._judge(True)
            elif isinstance(change, Confirmed):
                self._judge(True)
            elif isinstance(change, Lull):
                self._ask(self.utterance, pause_at=change.end)
            elif isinstance(change, Offset):
                self._close(change)

    def _close(self, change: Offset) -> None:
        utterance, self.utterance = self.utterance, None
        end_ns = self._detector.time_of(change.end)
        job = self._job(utterance, change.end + int(0.2 * RATE))
        job.speech_end, job.speech_end_ns = change.end, end_ns
        if change.nothing:
            job.nothing = True
            self.false_onsets += 1
            self._judge(False)
        self._on_stopped(utterance, end_ns, change.probability)
        self._recognition.finish(job)

    def _judge(self, voice: bool) -> None:
        """Tell the detector of first sounds whether it was right."""
        eager = self._echo.eager if self._echo is not None else None
        if eager is not None:
            (eager.confirmed if voice else eager.refuted)()

    def _recognise_partly(self, utterance: Utterance) -> None:
        settings, detector = self._settings, self._detector
        if not settings.partials:
            return
        # Not sooner than the last one took: a round that is skipped would count as slowness.
        period_s = max(settings.partial_period_s, self._recognition.last_s)
        due = detector.heard_to - utterance.asked >= period_s * RATE
        if due and detector.heard_to - detector.last_speech <= MARGIN:
            if self._recognition.idle:
                self._ask(utterance, quick=True)
            elif not utterance.skipping:
                utterance.skipping = True
                self._recognition.skipped += 1

    def _ask(self, utterance: Utterance, *, quick: bool = False, pause_at: int = -1) -> None:
        job = self._job(utterance, self._detector.heard_to)
        job.quick = quick
        if pause_at >= 0:
            job.pause, job.speech_end = True, pause_at
            utterance.endpointer.asked(pause_at)
        utterance.asked, utterance.skipping = job.end, False
        self._recognition.ask(job)

    def _job(self, utterance: Utterance, end: int) -> Job:
        end = min(end, self._detector.heard_to)
        return Job(utterance, self._detector.audio(utterance.onset, end), end)
