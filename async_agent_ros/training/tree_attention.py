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
PIECE = 512
"""Tokens of a branch at once, where the products are taken one by one: half of a long branch's
scores are of tokens that do not see each other."""


@dataclass(frozen=True)
class Branch:
    """Tokens [begin, end) of a pack, which follow their ancestors."""

    begin: int
    end: int
    ancestors: Sequence[Tuple[int, int]]
    """Stretches [begin, end) of the pack, in the order of the text."""
    mask: Optional[Any]
    """Bool tensor (tokens, ancestors and tokens); None: no ancestors, plainly causal."""
    plain: bool = False
    """Take the products one by one, not in torch's fused attention: its backward pass takes three
    times as long on a CPU that multiplies matrices of bfloat16."""


def runs(indices: Sequence[int]) -> List[Tuple[int, int]]:
    """Return ascending indices as stretches [begin, end)."""
    found: List[Tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def branches(torch, pack, device: str, plain: bool = False) -> List[Branch]:
    """Return what the attention function needs to know of a pack."""
    made = []
    for begin, end, prefix in pack.branches:
        if plain:
            for first in range(begin, end, PIECE):
                before = runs([*prefix, *range(begin, first)])
                made.append(Branch(first, min(first + PIECE, end), before, None, plain=True))
            continue
        size, mask = end - begin, None
        if prefix:
            mask = torch.ones(size, len(prefix) + size, dtype=torch.bool,
                              device=device).tril(len(prefix))
        made.append(Branch(begin, end, runs(prefix), mask))
    return made


def register(torch, transformers) -> None:
    """Make `attn_implementation='tree'` known; the model is called with `tree=branches(...)`."""
    attend = torch.nn.functional.scaled_dot_product_attention
    products = _products(torch)

    def tree_attention(module, query, key, value, attention_mask, scaling=None, tree=(), **_):
        """Shapes: (1, heads, length, size), key and value with fewer heads; see transformers."""
        parts = []
        for branch in tree:
            own = (branch.begin, branch.end)
            where = [*branch.ancestors, own]
            seen = [torch.cat([x[:, :, a:b] for a, b in where], 2) if len(where) > 1
                    else x[:, :, own[0]:own[1]] for x in (key, value)]
            asked = query[:, :, own[0]:own[1]]
            parts.append(products(asked, *seen, scaling) if branch.plain else attend(
                asked, *seen, attn_mask=branch.mask, is_causal=branch.mask is None,
                scale=scaling, enable_gqa=query.shape[1] != key.shape[1]))
        return torch.cat(parts, 2).transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register(NAME, tree_attention)
    transformers.AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)


def _products(torch):
    """
    Return an attention of two matrix products for each group of heads that share a key.

    The last tokens of the key are those of the query, which see themselves and what is before them.
    """
    class Products(torch.autograd.Function):
        @staticmethod
        def forward(ctx, query, key, value, scaling):
            _, heads, length, size = query.shape
            groups, seen = key.shape[1:3]
            scaling = scaling or size ** -0.5
            stacked = (query * scaling).reshape(groups, heads // groups * length, size)
            weights = torch.bmm(stacked, key[0].transpose(1, 2))
            weights.view(heads, length, seen)[:, :, seen - length:].add_(torch.full(
                (length, length), float('-inf'), dtype=weights.dtype).triu_(1))
            weights = torch.softmax(weights, -1)
            ctx.save_for_backward(stacked, key, value, weights)
            ctx.scaling = scaling
            return torch.bmm(weights, value[0]).view(1, heads, length, size)

        @staticmethod
        def backward(ctx, grad):
            stacked, key, value, weights = ctx.saved_tensors
            shape, grad = grad.shape, grad.reshape(stacked.shape)
            of_value = torch.bmm(weights.transpose(1, 2), grad)
            of_scores = torch.ops.aten._softmax_backward_data(
                torch.bmm(grad, value[0].transpose(1, 2)), weights, -1, weights.dtype)
            of_query = (torch.bmm(of_scores, key[0]) * ctx.scaling).view(shape)
            of_key = torch.bmm(of_scores.transpose(1, 2), stacked)
            return of_query, of_key.unsqueeze(0), of_value.unsqueeze(0), None
    return Products.apply
