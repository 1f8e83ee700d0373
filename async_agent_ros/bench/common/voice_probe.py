"""A probe of the voice side: what asr and tts say, and when the robot was really heard."""
import json
import time
from typing import Callable, List, Optional, Set, Tuple

import numpy as np

from async_agent_ros.bench.common.probe import Probe, ProbeTimeoutError
from async_agent_ros.bench.common.room import AUDIBLE, speech_ms
from async_agent_ros.msg import Audio, LedgerEntry, SpeechActivity, SpeechProgress, Transcript
from async_agent_ros.msg import TurnMetrics
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import to_ns

_OVER = (SpeechProgress.FINISHED, SpeechProgress.STOPPED, SpeechProgress.FAILED)


class VoiceProbe(Probe):
    """Publishes the microphone; every list holds what came since forget()."""

    def __init__(self, namespace: str):
        self.room = None
        self._open: Set[int] = set()
        super().__init__(namespace, voice=False)
        subscribe = self.node.create_subscription
        self.audio_in = self.node.create_publisher(Audio, 'audio_in', qos.AUDIO)
        subscribe(SpeechActivity, 'speech_activity', lambda m: self.activity.append(m), qos.EVENT)
        subscribe(Transcript, 'transcript', lambda m: self.transcripts.append(m), qos.EVENT)
        subscribe(TurnMetrics, 'metrics', lambda m: self.metrics.append(m), qos.EVENT)

    def forget(self) -> None:
        """Begin a new sample."""
        super().forget()
        self.activity: List[SpeechActivity] = []
        self.transcripts: List[Transcript] = []
        self.metrics: List[TurnMetrics] = []
        self.blocks: List[Tuple[int, np.ndarray, int]] = []
        self.cut: Optional[Tuple[str, str]] = None

    def forget_commands(self) -> None:
        """Begin a new interruption of the same answer."""
        self.interrupts, self.activity, self.transcripts = [], [], []

    # -- what comes -------------------------------------------------------------------------------
    def _on_audio(self, message: Audio) -> None:
        if self.room is not None:
            self.room.played(message)
        pcm = np.frombuffer(message.data, np.int16)
        self.blocks.append((to_ns(message.stamp), pcm, message.sample_rate))
        sound = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
        if len(sound):
            after_s = (int(sound[-1]) + 1) / message.sample_rate
            self.last_sound_ns = to_ns(message.stamp) + int(after_s * 1e9)

    def _on_entry(self, message: LedgerEntry) -> None:
        super()._on_entry(message)
        if message.kind == LedgerEntry.KIND_INTERRUPT:
            content = json.loads(message.content)
            self.cut = (content['intended'], content['heard'])

    def _follow(self) -> None:
        for report in self.progress:
            if report.state in _OVER:
                self._open.discard(report.segment_id)
            else:
                self._open.add(report.segment_id)

    # -- what is known ----------------------------------------------------------------------------
    @staticmethod
    def now_ns() -> int:
        """Return the time of the system clock."""
        return time.time_ns()

    def missing(self, tool: str = '') -> list:
        """Return what of the agent is not there yet, by name."""
        names = super().missing(tool)
        name = self.node.resolve_topic_name
        if not (self.audio_in.get_subscription_count()
                and self.node.count_publishers(name('transcript'))):
            names.append('asr')
        return names

    def waits(self, condition: Callable[[], object], timeout_s: float):
        """Take in what comes until the condition holds; return its value, falsy after the time."""
        end_s = time.monotonic() + timeout_s
        while not (value := condition()) and (left_s := end_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=min(left_s, 0.05))
        return value

    def until(self, what: str, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Take in what comes until the condition holds, which may be one of time alone."""
        if not self.waits(condition, timeout_s):
            raise ProbeTimeoutError(f'{what} did not come within {timeout_s:g} s')

    def quiet(self) -> None:
        """Wait until the agent has nothing to say and has been silent for a while."""
        self.spin(0.1)    # what has come meanwhile belongs to the sample before
        self.until('silence', lambda: self.idle and not self.speaking
                   and time.time_ns() - self.last_sound_ns > 700_000_000, 40.0)

    @property
    def speaking(self) -> bool:
        """Whether the robot says something, or is held in the middle of it."""
        self._follow()
        return bool(self._open)

    @property
    def sounding(self) -> bool:
        """Whether it could be heard in the last tenth of a second."""
        return time.time_ns() - self.last_sound_ns < 100_000_000

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return any(m.action == 'stop' for m in self.interrupts)

    @property
    def finals(self) -> List[Transcript]:
        """Final transcripts with words."""
        return [t for t in self.transcripts if t.final and t.text]

    @property
    def stops_ns(self) -> List[int]:
        """When the ends of utterances were declared."""
        return [to_ns(a.stamp) for a in self.activity if a.state == SpeechActivity.STOPPED]

    def started_ns(self, after_ns: int) -> int:
        """Return when speech was said to begin, 0 if it was not."""
        return next((to_ns(a.stamp) for a in self.activity
                     if a.state == SpeechActivity.STARTED and to_ns(a.stamp) > after_ns), 0)

    def pause_order_ns(self, after_ns: int) -> int:
        """Return when the pause (or stop) was ordered, 0 if it was not."""
        return next((to_ns(m.stamp) for m in self.interrupts if to_ns(m.stamp) > after_ns
                     and m.action in ('pause', 'stop')), 0)

    def paused_ns(self, after_ns: int) -> int:
        """Return when the sink fell silent, 0 if it did not."""
        return next((to_ns(p.stamp) for p in self.progress if to_ns(p.stamp) > after_ns
                     and p.state in (SpeechProgress.PAUSED, SpeechProgress.STOPPED)), 0)

    def resumed_ns(self, after_ns: int) -> int:
        """Return when the sink went on, 0 if it did not."""
        return next((to_ns(p.stamp) for p in self.progress if to_ns(p.stamp) > after_ns
                     and p.state == SpeechProgress.RESUMED), 0)

    def answer_ns(self) -> int:
        """Return when the next answer was first heard, else now: the last STARTED after a stop."""
        stop_ns = max((to_ns(m.stamp) for m in self.interrupts if m.action == 'stop'), default=0)
        return next((to_ns(p.stamp) for p in self.progress
                     if p.state == SpeechProgress.STARTED and to_ns(p.stamp) > stop_ns),
                    time.time_ns())

    def first_sound_ns(self, after_ns: int) -> int:
        """Return when the robot was first heard after a time, 0 if it was not."""
        for stamp_ns, pcm, rate in self.blocks:
            if stamp_ns + len(pcm) * 1_000_000_000 // rate > after_ns:
                sound = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
                at_ns = [stamp_ns + int(s) * 1_000_000_000 // rate for s in sound[:1]]
                if at_ns and at_ns[0] > after_ns:
                    return at_ns[0]
        return 0

    def last_sound_before(self, before_ns: int) -> int:
        """Return when the robot was last heard before a time, 0 if it was not."""
        for stamp_ns, pcm, rate in reversed(self.blocks):
            sound = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
            if stamp_ns < before_ns and len(sound):
                return stamp_ns + (int(sound[-1]) + 1) * 1_000_000_000 // rate
        return 0

    def played(self, until_ns: int) -> Tuple[np.ndarray, int]:
        """Return what was played since forget() until a time, and its rate."""
        parts = [(pcm, rate) for stamp_ns, pcm, rate in self.blocks if stamp_ns < until_ns]
        return np.concatenate([pcm for pcm, _ in parts]), parts[0][1]

    def partial_periods_ms(self, samples: np.ndarray, start_ns: int) -> List[float]:
        """
        Return how much was spoken between two revisions of an utterance.

        `samples`: what the person said, from start_ns on.
        """
        told = [(t.utterance_id, (to_ns(t.stamp) - start_ns) / 1e6)
                for t in self.transcripts if not t.final]
        periods = [speech_ms(samples, a, b) for (one, a), (other, b) in zip(told, told[1:])
                   if one == other]
        return [p for p in periods if p]    # nothing is due in a pause

    def first_partial_ms(self, start_ns: int) -> Optional[float]:
        """Return the time from the beginning of speech to the first revision."""
        return next(((to_ns(t.stamp) - start_ns) / 1e6 for t in self.transcripts
                     if not t.final), None)
