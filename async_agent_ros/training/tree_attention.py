"""
Attention over a pack: each branch of its tree of tokens sees its ancestors and itself, no more.

A mask over the whole pack costs the square of its length, most of it for pairs that do not see
each other. Branch by branch a long pack costs per token what a short one does, so that many
conversations can share one head.
"""
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

NAME = 'tree'
"""What `attn_implementation` is called."""


@dataclass(frozen=True)
class Branch:
    """Tokens [begin, end) of a pack, which follow their ancestors."""

    begin: int
    end: int
    ancestors: Sequence[Tuple[int, int]]
    """Stretches [begin, end) of the pack, in the order of the text."""
    mask: Optional[Any]
    """Bool tensor (tokens, ancestors and tokens); None: no ancestors, plainly causal."""


def runs(indices: Sequence[int]) -> List[Tuple[int, int]]:
    """Return ascending indices as stretches [begin, end)."""
    found: List[Tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def branches(torch, pack, device: str) -> List[Branch]:
    """Return what the attention function needs to know of a pack."""
    made = []
    for begin, end, prefix in pack.branches:
        size, mask = end - begin, None
        if prefix:
            mask = torch.ones(size, len(prefix) + size, dtype=torch.bool,
                              device=device).tril(len(prefix))
        made.append(Branch(begin, end, runs(prefix), mask))
    return made


def register(torch, transformers) -> None:
    """Make `attn_implementation='tree'` known; the model is called with `tree=branches(...)`."""
    attend = torch.nn.functional.scaled_dot_product_attention

    def tree_attention(module, query, key, value, attention_mask, scaling=None, tree=(), **_):
        """Shapes: (1, heads, length, size), key and value with fewer heads; see transformers."""
        parts = []
        for branch in tree:
            own = (branch.begin, branch.end)
            where = [*branch.ancestors, own]
            seen = [torch.cat([x[:, :, a:b] for a, b in where], 2) if len(where) > 1
                    else x[:, :, own[0]:own[1]] for x in (key, value)]
            parts.append(attend(query[:, :, own[0]:own[1]], *seen, attn_mask=branch.mask,
                                is_causal=branch.mask is None, scale=scaling,
                                enable_gqa=query.shape[1] != key.shape[1]))
        return torch.cat(parts, 2).transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register(NAME, tree_attention)
    transformers.AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
