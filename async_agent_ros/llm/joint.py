"""
Joint passes of the transformers engine: the next token of several instances, weights read once.

Decoding one token reads all weights for a single row of activations; a second row costs little
more. Every instance keeps its own KV cache: the linear layers see all rows at once, the attention
is taken row by row, so that no cache is padded or copied. The texts are those of separate passes.
"""
from dataclasses import dataclass
import threading
import time
from typing import Any, Callable, List, Sequence, Set, Tuple

from async_agent_ros.llm.kv_cache import InstanceCache
from async_agent_ros.llm.turns import Turns

ATTENTION = 'rows'
"""What `attn_implementation` is called: sdpa, but for the rows of a joint pass."""
GATHER_S = 0.003
"""For so long a pass waits for those that were in the one before: they choose their token yet."""


@dataclass(eq=False)
class Row:
    """A token that an instance has chosen, and what the model says behind it."""

    cache: InstanceCache
    token: int
    logits: Any = None
    """Shape (vocabulary,), once it was read."""
    error: Any = None

    @property
    def over(self) -> bool:
        """Tell whether a pass has read it."""
        return self.logits is not None or self.error is not None


class Rows:
    """The caches of several instances, as the layers of a model ask for one."""

    def __init__(self, caches: Sequence[InstanceCache]):
        self._caches = caches

    def update(self, keys: Any, values: Any, layer: int, *args: Any, **kwargs: Any
               ) -> Tuple[Tuple[Any, ...], Tuple[Any, ...]]:
        """Add a row of shape (1, heads, 1, size) to each; return all keys and values of each."""
        of_each = [cache.layers.update(keys[i:i + 1], values[i:i + 1], layer, *args, **kwargs)
                   for i, cache in enumerate(self._caches)]
        return tuple(k for k, _ in of_each), tuple(v for _, v in of_each)

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the length of the longest."""
        return max(len(c.tokens) for c in self._caches)


def register(torch: Any, transformers: Any) -> None:
    """Make the attention known under its name."""
    known = transformers.AttentionInterface()
    plain, plain_mask = known['sdpa'], transformers.AttentionMaskInterface()['sdpa']

    def attend(module, query, key, value, attention_mask, **kwargs):
        if not isinstance(key, tuple):
            return plain(module, query, key, value, attention_mask, **kwargs)
        return torch.cat([plain(module, query[i:i + 1], k, v, None, **kwargs)[0]
                          for i, (k, v) in enumerate(zip(key, value))]), None

    transformers.AttentionInterface.register(ATTENTION, attend)
    transformers.AttentionMaskInterface.register(ATTENTION, plain_mask)


def read(torch: Any, model: Any, device: str, rows: Sequence[Row]) -> Any:
    """Put one token of each instance through the model; return logits (rows, vocabulary)."""
    with torch.inference_mode():
        out = model(
            torch.tensor([[r.token] for r in rows], device=device), use_cache=True,
            position_ids=torch.tensor([[len(r.cache.tokens)] for r in rows], device=device),
            # a finished mask, so that none is made: every row sees all that its cache holds
            attention_mask=torch.zeros((len(rows), 1, 1, 1), device=device),
            past_key_values=Rows([r.cache for r in rows]))
    return out.logits[:, -1]


class JointPasses:
    """
    Gathers the tokens that wait for a pass; whoever has the turn reads them for all.

    So helpers go on while the person is answered, in the same passes.
    """

    def __init__(self, turns: Turns, read_rows: Callable[[Sequence[Row]], Any], most: int):
        """`read_rows`: gives logits (rows, vocabulary); `most`: rows of one pass."""
        self._turns = turns
        self._read_rows = read_rows
        self._most = most
        self._waiting: List[Row] = []
        self._last: Set[InstanceCache] = set()
        self._changed = threading.Condition()

    def read(self, row: Row, first: bool, abort: threading.Event) -> Any:
        """Return the logits behind a token; None when aborted. Raises what the pass raised."""
        with self._changed:
            self._waiting.append(row)
            self._changed.notify_all()
        with self._turns.turn(first, abort, lambda: row.over) as mine:
            if mine:
                self._go(row)
        with self._changed:
            if row in self._waiting:
                self._waiting.remove(row)
            else:
                # a pass that was begun is waited for: it writes to the cache
                self._changed.wait_for(lambda: row.over)
        if row.error is not None:
            raise row.error
        return row.logits

    def ended(self, cache: InstanceCache) -> None:
        """Do not wait for an instance any more: it has written its last token."""
        with self._changed:
            self._last.discard(cache)
            self._changed.notify_all()

    def _go(self, own: Row) -> None:
        deadline = time.monotonic() + GATHER_S
        with self._changed:
            while len(self._waiting) < self._most and not self._last <= {
                    r.cache for r in self._waiting}:
                left_s = deadline - time.monotonic()
                if left_s <= 0.0 or not self._changed.wait(left_s):
                    break
            others = [r for r in self._waiting if r is not own]
            rows = [own, *others[:self._most - 1]]
            self._waiting = [r for r in self._waiting if r not in rows]
            self._last = {r.cache for r in rows}
        try:
            logits = self._read_rows(rows)
            for row, of_row in zip(rows, logits):
                row.cache.tokens.append(row.token)
                row.logits = of_row
        except Exception as error:    # whatever it is, all that wait for it have to hear of it
            for row in rows:
                row.error = error
        with self._changed:
            self._changed.notify_all()
