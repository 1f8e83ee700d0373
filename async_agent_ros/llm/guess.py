"""
A guess of what a model will write, checked in one pass instead of written token by token.

On words that go on a model mostly writes what it wrote before. A pass over many tokens costs little
more than one over a single token, so the earlier output is read after the prompt, and the model's
own choice at every place says how far it still holds (speculative decoding by lookup,
arXiv 2304.04487). The output is the same as without.
"""
from typing import Any, List, Sequence, Tuple


class Guess:
    """Follows one output along the tokens of an earlier one, until they part."""

    def __init__(self, tokens: Sequence[int], most: int):
        """`most`: tokens that are checked in one pass beside the one that is known."""
        self._tokens = list(tokens)
        self._most = most
        self._written = 0
        self._read: List[Tuple[int, Any]] = []

    def take(self, token: int) -> Any:
        """Return the logits behind a token that was read ahead, None when it was not."""
        if self._read and self._read[0][0] == token:
            self._written += 1
            return self._read.pop(0)[1]
        return None

    def ahead(self, token: int) -> List[int]:
        """Return the tokens to be read together with the next one; none after they have parted."""
        place = self._written
        self._written += 1
        if self._read or place >= len(self._tokens) or self._tokens[place] != token:
            self._tokens = []
            return []
        return self._tokens[place + 1:place + 1 + self._most]

    def forget(self) -> int:
        """Return how many tokens were read ahead for nothing, and forget them."""
        count, self._read = len(self._read), []
        return count

    def put(self, ahead: Sequence[int], logits: Any) -> Any:
        """Keep what was read, logits of shape (1 + len(ahead), ...); return the first's."""
        self._read = list(zip(ahead, logits[1:]))
        return logits[0]
