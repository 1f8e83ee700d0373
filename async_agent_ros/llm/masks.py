"""Masks of the tokens that a grammar allows next, from llguidance, applied with numpy."""
import importlib
from typing import Any

from async_agent_ros.llm.engine import EngineError


class Masks:
    """Holds llguidance's view of a tokenizer, which takes seconds to build."""

    def __init__(self, tokenizer: Any, vocabulary: int, end_token: int):
        try:
            self._llguidance = importlib.import_module('llguidance')
            hf = importlib.import_module('llguidance.hf')
        except ImportError as error:
            raise EngineError(f'constrained calls need the package llguidance ({error}); get it '
                              f'with: pip install llguidance, or set constrain to false'
                              ) from error
        self.vocabulary = vocabulary
        self._tokenizer = hf.from_tokenizer(
            tokenizer, n_vocab=vocabulary, eos_token=end_token)

    def matcher(self, lark: str) -> 'Matcher':
        """Return a matcher at the start of a grammar; raises EngineError when it is wrong."""
        matcher = self._llguidance.LLMatcher(self._tokenizer, lark)
        if matcher.get_error():
            raise EngineError(f'a tool schema makes no grammar: {matcher.get_error()}')
        return Matcher(matcher, self.vocabulary)


class Matcher:
    """Follows one generation."""

    def __init__(self, matcher: Any, vocabulary: int):
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._numpy = importlib.import_module('numpy')
        self._torch = importlib.import_module('torch')

    def allow(self, logits: Any) -> Any:
        """Return the logits with what is not allowed at minus infinity."""
        np = self._numpy
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        # llguidance's own torch helper compiles for 15 s at first use
        bits = np.unpackbits(mask, bitorder='little')[:self._vocabulary]
        forbidden = self._torch.from_numpy(bits == 0).to(logits.device)
        width = min(len(forbidden), logits.shape[-1])
        logits = logits.clone()
        logits[:width].masked_fill_(forbidden[:width], float('-inf'))
        logits[width:] = float('-inf')
        return logits

    def accept(self, token: int) -> bool:
        """Go on with a token; False when the grammar is at its end."""
        return self._matcher.consume_token(token) and not self._matcher.is_stopped()
