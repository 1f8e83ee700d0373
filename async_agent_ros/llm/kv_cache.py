"""The KV cache of one agent instance, for the transformers engine: tokens and their layers."""
from typing import Any, Callable, List, Sequence


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    length = min(len(first), len(second))
    for i in range(length):
        if first[i] != second[i]:
            return i
    return length


class InstanceCache:
    """
    What an instance's model has read: token ids, and a DynamicCache that holds them.

    The two are kept equal at every return; a forward pass that was stopped in the middle has left
    layers of different lengths, which `repair` cuts to the shortest.
    """

    def __init__(self, new_cache: Callable[[], Any]):
        self._new_cache = new_cache
        self.layers = new_cache()
        self.tokens: List[int] = []

    def keep(self, count: int) -> None:
        """Cut to the first `count` tokens."""
        if count <= 0:
            self.layers, self.tokens = self._new_cache(), []
            return
        self.tokens = self.tokens[:count]
        for layer in self.layers.layers:
            # a positive argument of crop() means "tokens to keep" in some versions of
            # transformers and is refused by others; negative always means "tokens to remove"
            extra = layer.get_seq_length() - count
            if extra > 0:
                layer.crop(-extra)

    def repair(self) -> None:
        """Make the layers equal again after a stopped pass: nothing of it is kept."""
        self.keep(len(self.tokens))

    def copy(self) -> 'InstanceCache':
        """Return a copy for a fork: the prefix is computed once, then shared by value."""
        other = InstanceCache(self._new_cache)
        for number, layer in enumerate(self.layers.layers):
            if layer.get_seq_length():
                other.layers.update(layer.keys.clone(), layer.values.clone(), number)
        other.tokens = list(self.tokens)
        return other
