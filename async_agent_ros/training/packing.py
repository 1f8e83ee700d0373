"""
Packing: several samples in one sequence, none of which sees another; shared beginnings stand once.

The samples of a conversation begin with the same head and history, and conversations with the same
robot begin with the same head. In a pack they form a tree: a token attends to its ancestors only
(training/tree_attention.py), and has the position that it would have alone. So a pack gives the
same loss as its samples one by one (test/training/test_sft.py), at a fraction of the tokens.
"""
from dataclasses import dataclass, field
import random
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from async_agent_ros.training.samples import Sample


@dataclass(frozen=True)
class Tokens:
    """A tokenised sample."""

    ids: Tuple[int, ...]
    own: Tuple[int, ...]
    """Number of the span of each token that the model wrote, -1 for the others."""
    conversation: str
    robot: str
    """Samples of the same robot begin with the same head; empty: unknown."""


def tokenised(sample: Sample, encode: Callable[[str], Sequence[int]]) -> Tokens:
    """
    Return the tokens of a sample.

    The pieces are tokenised one by one, as at run time the prompt is before the model writes; so
    the mask holds exactly the characters of the spans.
    """
    ids: List[int] = []
    own: List[int] = []
    span = -1
    for text, mine in sample.pieces:
        span += mine
        new = list(encode(text))
        ids += new
        own += [span if mine else -1] * len(new)
    conversation = str(sample.about.get('id', ''))
    return Tokens(tuple(ids), tuple(own), conversation,
                  str(sample.about.get('robot', conversation)))


@dataclass
class Pack:
    """Samples in one sequence, as a tree of tokens."""

    ids: List[int] = field(default_factory=list)
    positions: List[int] = field(default_factory=list)
    targets: List[Tuple[int, int, int]] = field(default_factory=list)
    """(index of the token that predicts, token that follows it, number of the span)."""
    branches: List[Tuple[int, int, List[int]]] = field(default_factory=list)
    """(first new index, end, indices of the ancestors)."""
    _paths: List[Tuple[str, List[int]]] = field(default_factory=list)
    spans: int = 0

    def shared(self, sample: Tokens) -> List[int]:
        """Return the indices of the longest beginning that stands here already."""
        best: List[int] = []
        for robot, path in self._paths:
            if robot != sample.robot or not robot:
                continue
            count = 0
            for index, token in zip(path, sample.ids):
                if self.ids[index] != token:
                    break
                count += 1
            if count > len(best):
                best = path[:count]
        return best

    def cost(self, sample: Tokens) -> int:
        """Return how many tokens the sample would add."""
        return len(sample.ids) - len(self.shared(sample))

    def add(self, sample: Tokens) -> None:
        """Add a sample."""
        prefix = self.shared(sample)
        first = len(self.ids)
        new = sample.ids[len(prefix):]
        path = prefix + list(range(first, first + len(new)))
        self.ids += new
        self.positions += range(len(prefix), len(sample.ids))
        if new:
            self.branches.append((first, first + len(new), prefix))
        numbers: Dict[int, int] = {}
        for at in range(max(1, len(prefix)), len(sample.ids)):
            span = sample.own[at]
            if span >= 0:
                if span not in numbers:
                    numbers[span] = self.spans
                    self.spans += 1
                self.targets.append((path[at - 1], sample.ids[at], numbers[span]))
        self._paths.append((sample.robot, path))


def packs(samples: Iterable[Tokens], most_tokens: int, seed: int) -> List[Pack]:
    """
    Return packs of at most `most_tokens`, in an order that the seed decides.

    The conversations with a robot stay together; robots and their conversations are shuffled.
    """
    robots: Dict[str, Dict[str, List[Tokens]]] = {}
    for number, sample in enumerate(samples):
        conversation = sample.conversation or str(number)
        robots.setdefault(sample.robot or conversation, {}).setdefault(
            conversation, []).append(sample)
    rng = random.Random(seed)
    order = sorted(robots)
    rng.shuffle(order)
    made = [Pack()]
    for robot in order:
        names = sorted(robots[robot])
        rng.shuffle(names)
        for sample in (s for name in names for s in robots[robot][name]):
            if made[-1].ids and len(made[-1].ids) + made[-1].cost(sample) > most_tokens:
                made.append(Pack())
            made[-1].add(sample)
    return [p for p in made if p.targets]
