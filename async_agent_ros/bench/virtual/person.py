"""The person's words as a recogniser hands them on: a timed stream of revisions."""
from dataclasses import dataclass
import random
from typing import Iterator, Tuple

from async_agent_ros.bench.workloads import Item, word_s


@dataclass(frozen=True)
class Ear:
    """How fast the recogniser is, in seconds."""

    seen_s: float = 0.25
    """From the beginning of a word until it stands in a revision, not stable yet."""
    stable_s: float = 0.3
    """From the end of a word until it is stable."""
    end_s: Tuple[float, float] = (0.45, 0.65)
    """The end of the turn is declared, and the final transcript is there: drawn between these."""

    def end_of_turn_s(self, item: Item, seed: int) -> float:
        """Return when the end of the turn is declared, from the beginning of the words."""
        return item.ends_s[-1] + random.Random(f'{seed} {item.name}').uniform(*self.end_s)


@dataclass(frozen=True)
class Revision:
    """A revision of the transcript at a time; the first `stable_chars` characters will stay."""

    at_s: float
    text: str
    stable_chars: int
    final: bool = False


def revisions(item: Item, ear: Ear, seed: int) -> Iterator[Revision]:
    """Yield what the recogniser publishes, in order; times from the beginning of the words."""
    declared_s = ear.end_of_turn_s(item, seed)
    seen_s = [end - word_s(word) + ear.seen_s for word, end in zip(item.words, item.ends_s)]
    stable_s = [end + ear.stable_s for end in item.ends_s]
    for at_s in sorted({round(s, 6) for s in (*seen_s, *stable_s)}):
        if at_s >= declared_s:
            break
        stable = sum(s <= at_s + 1e-6 for s in stable_s)
        seen = max(stable, sum(s <= at_s + 1e-6 for s in seen_s))
        yield Revision(at_s, ' '.join(item.words[:seen]), len(' '.join(item.words[:stable])))
    text = ' '.join(item.words)
    yield Revision(declared_s, text, len(text), final=True)
