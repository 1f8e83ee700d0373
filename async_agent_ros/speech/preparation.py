"""Sound that is made before it is asked for: what is likely to be said soon."""
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Callable, Deque, Iterator, List, Optional

from .voice import SpeechChunk, Voice, VoiceSettings

KEPT = 4
"""Texts that are kept; the oldest go first."""


@dataclass
class _Text:
    text: str
    epoch: int
    settings: Optional[VoiceSettings] = None
    chunks: List[SpeechChunk] = field(default_factory=list)
    rest: Optional[Iterator[SpeechChunk]] = None
    """What is still to be synthesised; None before the first and after the last clause."""
    begun: bool = False


class Preparation:
    """
    Texts and their sound, clause by clause.

    want() and drop() may be called from any thread, work() and take() from the one that
    synthesises.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._texts: Deque[_Text] = deque(maxlen=KEPT)
        self.made = self.used = 0
        """Texts whose first clause was made, and those that were said then."""

    def want(self, text: str, epoch: int) -> None:
        """Keep the sound of a text ready when there is time; the latest comes first."""
        with self._lock:
            known = next((t for t in self._texts if t.text == text), None)
            if known is not None:
                self._texts.remove(known)
                known.epoch = max(known.epoch, epoch)
            self._texts.append(known or _Text(text, epoch))

    def drop(self, epoch: int) -> None:
        """Forget what is older than `epoch`."""
        with self._lock:
            for old in [t for t in self._texts if t.epoch < epoch]:
                self._texts.remove(old)

    def work(self, voice: Voice, idle: Callable[[], bool]) -> None:
        """Synthesise while there is something to prepare and nothing else to do."""
        while idle():
            with self._lock:
                item = next((t for t in reversed(self._texts) if not t.begun or t.rest), None)
            if item is None:
                return
            if not item.begun:
                item.begun, item.settings = True, voice.settings
                item.rest = voice.synthesize(item.text)
            chunk = next(item.rest, None)
            if chunk is None:
                item.rest = None
                continue
            self.made += not item.chunks
            item.chunks.append(chunk)

    def take(self, text: str, settings: VoiceSettings) -> Optional[Iterator[SpeechChunk]]:
        """Return the sound of a text, as far as it was made and then the rest; None: nothing."""
        with self._lock:
            item = next((t for t in self._texts if t.text == text), None)
            if item is not None:
                self._texts.remove(item)
        if item is None or not item.chunks or item.settings != settings:
            return None
        self.used += 1
        return self._sound(item)

    @staticmethod
    def _sound(item: _Text) -> Iterator[SpeechChunk]:
        yield from item.chunks
        if item.rest is not None:
            yield from item.rest
