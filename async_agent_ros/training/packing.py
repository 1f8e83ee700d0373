"""
Packing: several samples in one sequence, none of which sees another; shared beginnings stand once.

The samples of a conversation begin with the same head and history. In a pack they form a tree: a
token attends to its ancestors only, and has the position that it would have alone. So a pack gives
the same loss as its samples one by one (test/training/test_sft.py), at a third of the tokens.
"""
from dataclasses import dataclass, field
import random
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from async_agent_ros.training.samples import Sample


@dataclass(frozen=True)
class Tokens:
    """A tokenised sample."""

    ids: Tuple[int, ...]
    own: Tuple[int, ...]
    """Number of the span of each token that the model wrote, -1 for the others."""
    conversation: str


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
    return Tokens(tuple(ids), tuple(own), str(sample.about.get('id', '')))


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
        for conversation, path in self._paths:
            if conversation != sample.conversation or not conversation:
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
        self._paths.append((sample.conversation, path))

    def mask(self, torch) -> Any:
        """Return which token may see which, as a bool tensor (1, 1, length, length)."""
        size = len(self.ids)
        mask = torch.zeros(size, size, dtype=torch.bool)
        for begin, end, prefix in self.branches:
            if prefix:
                mask[begin:end, torch.tensor(prefix)] = True
            mask[begin:end, begin:end] = torch.ones(end - begin, end - begin).tril().bool()
        return mask[None, None]


def packs(samples: Iterable[Tokens], most_tokens: int, seed: int) -> List[Pack]:
    """Return packs of at most `most_tokens`, conversations in an order that the seed decides."""
    groups: Dict[str, List[Tokens]] = {}
    for number, sample in enumerate(samples):
        groups.setdefault(sample.conversation or str(number), []).append(sample)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    made = [Pack()]
    for name in order:
        for sample in groups[name]:
            if made[-1].ids and len(made[-1].ids) + made[-1].cost(sample) > most_tokens:
                made.append(Pack())
            made[-1].add(sample)
    return [p for p in made if p.targets]
