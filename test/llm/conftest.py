"""What the tests of the engines share."""
import pytest


@pytest.fixture(scope='module')
def accepts():
    """
    Return a judge: does a grammar accept a text? Bytes are the tokens.

    `whole`: the text may end there, too; else more may have to come.
    """
    llguidance = pytest.importorskip('llguidance')
    tokens = [bytes([i]) for i in range(256)] + [b'<end>']

    class Bytes:
        eos_token_id = 256
        bos_token_id = None
        tokens = None
        special_token_ids = [256]

        def __call__(self, text):
            return list(text.encode() if isinstance(text, str) else text)

    raw = Bytes()
    raw.tokens = tokens
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(raw))

    def judge(lark, text, whole=True):
        matcher = llguidance.LLMatcher(tokenizer, lark)
        assert not matcher.get_error(), matcher.get_error()
        return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) \
            and (matcher.is_accepting() or not whole)
    return judge
