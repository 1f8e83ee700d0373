"""The transformers engine on the smallest packaged model: the cache is right, also after aborts."""
import json
import threading
import time

from helpers_at_work import while_a_helper_works
import pytest
from reactions import waits

from async_agent_ros import models
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm.engine import EngineError, GenerationRequest, ModelMissingError

pytest.importorskip('torch', reason='pip install torch')
pytest.importorskip('transformers', reason='pip install transformers')
from async_agent_ros.llm.kv_cache import common_prefix  # noqa: E402
from async_agent_ros.llm.transformers_engine import (  # noqa: E402
    _without_partial, TransformersEngine)

MODEL = 'smollm2-135m'
LONG = 'The red box is on the table. ' * 30
TOOLS = (ToolSpec('get_battery'), ToolSpec('navigate_to', arguments_schema={
    'type': 'object', 'required': ['place'],
    'properties': {'place': {'type': 'string', 'enum': ['kitchen', 'office']}}}))


def chatml(user, system='You are a helpful assistant.'):
    return (f'<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n'
            f'<|im_start|>assistant\n')


@pytest.fixture(scope='module')
def engine():
    try:
        models.find(MODEL)
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    engine = TransformersEngine(MODEL, device='cpu', context_tokens=4096, prefill_chunk=64)
    engine.load()
    yield engine
    engine.close()


def run(engine, prompt, instance='main', abort=None, **fields):
    request = GenerationRequest(instance, prompt, **fields)
    text = ''.join(engine.stream(request, abort or threading.Event()))
    return text, request.stats


def test_streams_and_counts(engine):
    request = GenerationRequest('main', chatml('Count from one to ten.'), max_tokens=16)
    pieces = list(engine.stream(request, threading.Event()))
    assert len(pieces) > 3
    assert '<|im_end|>' not in ''.join(pieces)
    assert request.stats.finish_reason in ('stop', 'length')
    assert 0 < request.stats.output_tokens <= 16


def test_same_text_with_and_without_cache(engine):
    first = chatml('What colour is the box?', LONG)
    answer, _ = run(engine, first, 'kept', max_tokens=12)
    second = first + answer + '<|im_end|>\n' + chatml('And where is it?', 'Be brief.')
    kept, stats = run(engine, second, 'kept', max_tokens=12)
    fresh, fresh_stats = run(engine, second, 'fresh', max_tokens=12)
    assert kept == fresh
    assert fresh_stats.cached_tokens == 0
    assert stats.cached_tokens > 150


def test_a_reaction_is_less_apt_to_wait(engine, monkeypatch):
    assert waits(engine, reacts=True)
    monkeypatch.setattr(engine, '_pause_penalty', 40.0)
    assert not waits(engine, reacts=True) and waits(engine, reacts=False)


def test_a_changed_middle_is_read_again(engine):
    run(engine, chatml('What colour is the box?', LONG), 'kept', max_tokens=4)
    other = chatml('What colour is the box?', LONG.replace('red', 'blue', 50))
    kept, _ = run(engine, other, 'kept', max_tokens=12)
    fresh, _ = run(engine, other, 'fresh2', max_tokens=12)
    assert kept == fresh


@pytest.mark.parametrize('part, tools', [
    ('whole', TOOLS), ('half', TOOLS), ('other', ()), ('longer', ())])
def test_a_guess_changes_nothing_but_the_time(engine, tools, part, monkeypatch):
    prompt = chatml('Count from one to ten, then stop.')
    plain, stats = run(engine, prompt, 'plain', max_tokens=16, tools=tools)
    half = plain[:len(plain) // 2]
    guess = {'whole': plain, 'half': half + ' banana split', 'other': 'Zebra crossing ahead.',
             'longer': plain + ' and on it goes'}[part]
    passes = []
    real = engine._pass
    monkeypatch.setattr(engine, '_pass', lambda *a: (passes.append(len(a[1])), real(*a))[1])
    engine.forget('guessed')
    guessed, counted = run(engine, prompt, 'guessed', max_tokens=16, tools=tools, guess=guess)
    assert guessed == plain and counted.output_tokens == stats.output_tokens
    if part in ('whole', 'longer'):
        assert len(passes) < stats.output_tokens / 2
    # What was read ahead for nothing is not in the way of what comes next.
    again = prompt + plain + '<|im_end|>\n' + chatml('And backwards?', 'Be brief.')
    kept, _ = run(engine, again, 'guessed', max_tokens=8)
    fresh, _ = run(engine, again, 'plain', max_tokens=8)
    assert kept == fresh


def test_abort_in_a_prefill_is_quick_and_leaves_a_sound_cache(engine):
    prompt = chatml('What colour is the box?', LONG)
    expected, _ = run(engine, prompt, 'whole', max_tokens=12)
    abort, at = threading.Event(), []

    def fire():
        at.append(time.monotonic())
        abort.set()
    threading.Timer(0.25, fire).start()
    text, stats = run(engine, chatml('x', LONG + LONG * 2), 'cut', abort, max_tokens=4)
    assert at and time.monotonic() - at[0] < 10.0
    assert text == '' and stats.finish_reason == 'abort'
    cut, stats = run(engine, prompt, 'cut', max_tokens=12)
    assert cut == expected


def test_abort_while_decoding_then_going_on(engine):
    prompt = chatml('Tell me a long story.')
    whole, _ = run(engine, prompt, 'x', max_tokens=20)
    abort = threading.Event()
    stream = engine.stream(GenerationRequest('y', prompt, 20), abort)
    next(stream)
    next(stream)
    abort.set()
    assert len(list(stream)) <= 1
    again, stats = run(engine, prompt, 'y', max_tokens=20)
    assert again == whole
    assert stats.cached_tokens == stats.prompt_tokens - 1


def test_fork_gives_the_same_text_without_reading_again(engine):
    prompt = chatml('What colour is the box?', LONG)
    expected, _ = run(engine, prompt, 'parent', max_tokens=12)
    engine.fork('parent', 'child')
    text, stats = run(engine, prompt, 'child', max_tokens=12)
    assert text == expected
    assert stats.cached_tokens == stats.prompt_tokens - 1
    engine.forget('child')
    _, stats = run(engine, prompt, 'parent', max_tokens=1)
    assert stats.cached_tokens == stats.prompt_tokens - 1


def test_calls_are_calls_of_the_catalogue(engine):
    pytest.importorskip('llguidance')
    examples = ''.join(f'<|im_start|>user\nGo to the {p}.<|im_end|>\n<|im_start|>assistant\n'
                       f'CALL {{"name": "navigate_to", "arguments": {{"place": "{p}"}}}}'
                       f'<|im_end|>\n' for p in ('kitchen', 'office', 'kitchen'))
    text, _ = run(engine, examples + '<|im_start|>user\nGo to the moon.<|im_end|>\n'
                  '<|im_start|>assistant\n', tools=TOOLS, max_tokens=40)
    assert text.startswith('CALL ')
    call = json.loads(text.splitlines()[0][5:])
    assert call['name'] in ('navigate_to', 'get_battery')
    assert set(call['arguments']) <= {'place'}


def test_too_long_a_prompt_is_refused_with_the_numbers(engine):
    with pytest.raises(EngineError, match='context holds 4096'):
        run(engine, 'word ' * 5000)


def test_unknown_quantisation_and_missing_model():
    with pytest.raises(EngineError, match="quantise is 'int2'"):
        TransformersEngine(MODEL, quantise='int2')
    with pytest.raises(ModelMissingError, match='no-such'):
        TransformersEngine('no-such').load()


def test_common_prefix_and_partial_stops():
    assert common_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_prefix([], [1]) == 0
    assert _without_partial('Hello<|im_', ('<|im_end|>',)) == 'Hello'
    assert _without_partial('a < b', ('<|im_end|>',)) == 'a < b'
    assert _without_partial('caf\ufffd', ()) == 'caf'


def test_the_person_is_answered_before_a_helper_goes_on(engine, monkeypatch):
    monkeypatch.setattr(engine._joint, '_most', 1)
    prompt, helper = chatml('Count to five.'), chatml('Count from one to twenty, in words.')
    alone, _ = run(engine, prompt, 'fresh', max_tokens=12)
    helped, _ = run(engine, helper, 'fresh2', max_tokens=40)
    answer, report, order = while_a_helper_works(engine, prompt, helper)
    assert answer == alone and report == helped, 'a pause changes no text'
    first, last = order.index('person'), len(order) - 1 - order[::-1].index('person')
    assert 'helper' not in order[first:last], 'the person is answered without a pause'
    assert order[-1] == 'helper'


def test_a_helper_goes_on_in_the_passes_of_the_person(engine, monkeypatch):
    prompt, helper = chatml('Tell me a story.'), chatml('Tell me a long story.')
    alone, _ = run(engine, prompt, 'fresh3', max_tokens=12)
    helped, _ = run(engine, helper, 'fresh4', max_tokens=40)
    sizes, real = [], engine._joint._read_rows
    monkeypatch.setattr(engine._joint, '_read_rows',
                        lambda rows: (sizes.append(len(rows)), real(rows))[1])
    answer, report, order = while_a_helper_works(engine, prompt, helper)
    assert answer == alone and report == helped, 'company changes no text'
    first, last = order.index('person'), len(order) - 1 - order[::-1].index('person')
    assert 'helper' in order[first:last]
    assert sizes.count(2) >= 3, 'tokens came in joint passes'


def test_one_of_a_joint_pass_is_aborted_and_its_cache_is_sound(engine):
    prompt, helper = chatml('Tell me a story.'), chatml('Tell me a long story.')
    alone, _ = run(engine, prompt, 'alone', max_tokens=24)
    whole, _ = run(engine, helper, 'alone', max_tokens=24)
    abort, texts = threading.Event(), []

    def help_out():
        request = GenerationRequest('i9', helper, max_tokens=24)
        for count, _ in enumerate(engine.stream(request, abort)):
            if count == 3:
                abort.set()
        texts.append(request.stats.finish_reason)

    thread = threading.Thread(target=help_out, daemon=True)
    thread.start()
    answer, _ = run(engine, prompt, 'main', max_tokens=24)
    thread.join(60.0)
    assert texts == ['abort'] and answer == alone
    again, stats = run(engine, helper, 'i9', max_tokens=24)
    assert again == whole and stats.cached_tokens == stats.prompt_tokens - 1


def test_a_joint_pass_that_fails_is_told_to_all_and_leaves_sound_caches(engine, monkeypatch):
    prompt = chatml('Tell me a story.')
    whole, _ = run(engine, prompt, 'alone2', max_tokens=8)
    real, layer = engine._torch.nn.functional.scaled_dot_product_attention, []

    def broken(*args, **kwargs):
        layer.append(1)
        if len(layer) == 3:
            raise RuntimeError('the device is on fire')
        return real(*args, **kwargs)

    request = GenerationRequest('burnt', prompt, max_tokens=8)
    stream = engine.stream(request, threading.Event())
    next(stream)
    monkeypatch.setattr(engine._torch.nn.functional, 'scaled_dot_product_attention', broken)
    with pytest.raises(EngineError, match='on fire'):
        list(stream)
    monkeypatch.undo()
    again, _ = run(engine, prompt, 'burnt', max_tokens=8)
    assert again == whole
