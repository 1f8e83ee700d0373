"""The llama.cpp engine on the smallest packaged model: streaming, cache, abort, grammar, errors."""
import json
import subprocess
import sys
import threading

from helpers_at_work import while_a_helper_works
import pytest
from reactions import waits

from async_agent_ros import models
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm import grammar
from async_agent_ros.llm.engine import EngineError, GenerationRequest, ModelMissingError

pytest.importorskip('xllamacpp', reason='pip install xllamacpp')
from async_agent_ros.llm.llama_cpp import LlamaCppEngine  # noqa: E402

MODEL = 'smollm2-135m'
LONG = 'The red box is on the table. ' * 50
TOOLS = (ToolSpec('get_battery'), ToolSpec('navigate_to', arguments_schema={
    'type': 'object', 'required': ['place'],
    'properties': {'place': {'type': 'string', 'enum': ['kitchen', 'office']}}}))


def chatml(user, system='You are a helpful assistant.'):
    return (f'<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n'
            f'<|im_start|>assistant\n')


@pytest.fixture(scope='module')
def engine(tmp_path_factory):
    try:
        models.find(MODEL)
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    engine = LlamaCppEngine(MODEL, context_tokens=4096, instances=2,
                            prefix_folder=str(tmp_path_factory.mktemp('prefixes')))
    engine.load()
    yield engine
    engine.close()


def run(engine, prompt, instance='main', abort=None, **fields):
    request = GenerationRequest(instance, prompt, **fields)
    text = ''.join(engine.stream(request, abort or threading.Event()))
    return text, request.stats


def test_streams_piece_by_piece_and_counts(engine):
    request = GenerationRequest('main', chatml('Count from one to ten.'), max_tokens=24)
    pieces = list(engine.stream(request, threading.Event()))
    assert len(pieces) > 3
    assert '<|im_end|>' not in ''.join(pieces)
    assert request.stats.prompt_tokens > 10
    assert request.stats.output_tokens >= len(pieces)
    assert request.stats.finish_reason in ('stop', 'length')


def test_same_text_with_and_without_cache(engine):
    prompt = chatml('What colour is the box?', LONG)
    engine.forget('main')
    cold, first = run(engine, prompt, 'a', max_tokens=16)
    warm, second = run(engine, prompt, 'a', max_tokens=16)
    assert warm == cold
    assert second.cached_tokens > 0.9 * first.prompt_tokens


def test_a_reaction_is_less_apt_to_wait(engine, monkeypatch):
    assert waits(engine, reacts=True)
    monkeypatch.setattr(engine, '_pause_penalty', 40.0)
    assert not waits(engine, reacts=True) and waits(engine, reacts=False)


def test_only_what_is_new_is_prefilled(engine):
    prompt = chatml('What colour is the box?', LONG)
    answer, _ = run(engine, prompt, max_tokens=16)
    more = prompt + answer + '<|im_end|>\n<|im_start|>user\nWhere is it?<|im_end|>\n'
    _, stats = run(engine, more + '<|im_start|>assistant\n', max_tokens=1)
    assert stats.prompt_tokens - stats.cached_tokens < 40


def test_abort_while_decoding_ends_the_stream(engine):
    abort = threading.Event()
    request = GenerationRequest('main', chatml('Tell me a long story.'), max_tokens=400)
    stream = engine.stream(request, abort)
    next(stream)
    abort.set()
    assert len(list(stream)) <= 1
    assert request.stats.finish_reason == 'abort'


def test_abort_in_a_prefill_is_quick_and_leaves_a_sound_cache(engine):
    prompt = chatml('What colour is the box?', LONG)
    engine.forget('main')
    expected, _ = run(engine, prompt, 'b', max_tokens=12)
    abort = threading.Event()
    threading.Timer(0.3, abort.set).start()
    text, stats = run(engine, 'words and more words ' * 700, 'c', abort, max_tokens=8)
    assert text == '' and stats.finish_reason == 'abort'
    again, _ = run(engine, prompt, 'c', max_tokens=12)
    assert again == expected


CALLS = '<|im_start|>system\nYou call tools.<|im_end|>\n' + ''.join(
    f'<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n{done}<|im_end|>\n'
    for said, done in (
        ('Go to the office.', 'CALL {"name": "navigate_to", "arguments": {"place": "office"}}'),
        ('How full is your battery?', 'CALL {"name": "get_battery", "arguments": {}}'),
        ('Go to the kitchen, and how full is your battery?',
         'CALL {"name": "navigate_to", "arguments": {"place": "kitchen"}}\n'
         'CALL {"name": "get_battery", "arguments": {}}'),
        ('Fly to the moon.', 'Sorry, I cannot fly.'))) + '<|im_start|>user\n'


@pytest.mark.parametrize('said, done', [
    ('Go to the kitchen.', 'CALL {"name": "navigate_to", "arguments": {"place": "kitchen"}}'),
    ('How full is your battery?', 'CALL {"name": "get_battery", "arguments": {}}')])
def test_what_a_call_has_no_choice_in_is_not_written(engine, said, done):
    prompt = f'{CALLS}{said}<|im_end|>\n<|im_start|>assistant\n'
    request = GenerationRequest('main', prompt, max_tokens=80, tools=TOOLS)
    pieces, stream = [], engine.stream(request, threading.Event())
    while not ''.join(pieces).startswith(done):
        pieces.append(next(stream))
    stream.close()
    _, of_copy = run(engine, prompt + done, max_tokens=1)
    _, of_prompt = run(engine, prompt, max_tokens=1)
    tokens = of_copy.prompt_tokens - of_prompt.prompt_tokens
    assert len(pieces) < 0.7 * tokens
    assert abs(request.stats.output_tokens - tokens) <= 2    # what was read counts, too


def test_calls_are_calls_of_the_catalogue(engine):
    prompt = CALLS + 'Go to the office.<|im_end|>\n<|im_start|>assistant\n'
    text, stats = run(engine, prompt, tools=TOOLS[:1], max_tokens=60)
    lines = text.splitlines()[:-1 if stats.finish_reason == 'length' else None]
    calls = [json.loads(line.removeprefix('CALL ')) for line in lines if line.startswith('CALL')]
    assert calls and {call['name'] for call in calls} == {'get_battery'}


def test_abort_within_a_call_ends_the_stream_and_leaves_a_sound_cache(engine):
    prompt = CALLS + 'Go to the kitchen.<|im_end|>\n<|im_start|>assistant\n'
    whole, _ = run(engine, prompt, tools=TOOLS, max_tokens=20)
    for count in range(1, 6):
        abort, request = threading.Event(), GenerationRequest('main', prompt, 20, tools=TOOLS)
        stream = engine.stream(request, abort)
        pieces = [next(stream) for _ in range(count)]
        abort.set()
        assert whole.startswith(''.join([*pieces, *stream]))
        assert request.stats.finish_reason == 'abort'
    again, _ = run(engine, prompt, tools=TOOLS, max_tokens=20)
    assert again == whole


def test_gbnf_is_understood_by_llama_cpp(engine):
    only_calls = grammar.gbnf(TOOLS).replace('line ::= text | call', 'line ::= call')
    body = {'prompt': chatml('Go to the kitchen.'), 'max_tokens': 40, 'grammar': only_calls,
            'temperature': 0.0}
    chunks = engine._loaded.chunks('main', body, threading.Event())
    text = ''.join(c['choices'][0]['text'] for c in chunks if c.get('choices'))
    call = json.loads(text.splitlines()[0].removeprefix('CALL '))
    assert call['name'] in {t.name for t in TOOLS}


def test_warm_prefix_comes_from_disk_the_second_time(engine):
    prompt = chatml('', LONG)
    cold_s = engine.warm('d', prompt, keep=True)
    engine.forget('d')
    quick_s = engine.warm('e', prompt, keep=True)
    _, stats = run(engine, prompt, 'e', max_tokens=1)
    assert stats.cached_tokens >= stats.prompt_tokens - 1
    assert quick_s < cold_s


def test_fork_shares_what_its_parent_has_read(engine):
    prompt = chatml('What colour is the box?', LONG)
    expected, _ = run(engine, prompt, 'p', max_tokens=12)
    engine.fork('p', 'q')
    text, stats = run(engine, prompt, 'q', max_tokens=12)
    assert text == expected
    assert stats.cached_tokens > 0.9 * stats.prompt_tokens


def test_too_long_a_prompt_is_refused_with_the_numbers(engine):
    with pytest.raises(EngineError, match='context holds 4096'):
        run(engine, 'word ' * 6000)


def test_missing_model_says_how_to_get_it(tmp_path):
    with pytest.raises(ModelMissingError, match='no-such'):
        LlamaCppEngine('no-such').load()
    with pytest.raises(ModelMissingError, match='no model at'):
        LlamaCppEngine(str(tmp_path / 'x.gguf')).load()


def test_a_file_that_is_no_model_is_an_engine_error(tmp_path):
    path = tmp_path / 'model.gguf'
    path.write_bytes(b'not a model')
    with pytest.raises(EngineError, match='check that it is a GGUF file'):
        LlamaCppEngine(str(path)).load()


def test_a_process_may_end_in_the_middle_of_a_generation(engine):
    program = (
        'import threading\n'
        'from async_agent_ros.llm.engine import GenerationRequest\n'
        'from async_agent_ros.llm.llama_cpp import LlamaCppEngine\n'
        f'engine = LlamaCppEngine({MODEL!r}, context_tokens=4096, prefix_folder="")\n'
        'engine.load()\n'
        'request = GenerationRequest("main", "Once upon a time", 3000, ())\n'
        'stream = engine.stream(request, threading.Event())\n'
        'print(next(stream), flush=True)\n')
    done = subprocess.run([sys.executable, '-c', program], timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]


def test_the_person_is_answered_before_a_helper_goes_on(engine):
    answer, report, order = while_a_helper_works(
        engine, chatml('Count to five.'),
        chatml('Write the numbers from one to twelve, each on a line of its own.'))
    assert answer.strip() and report.strip()
    first, last = order.index('person'), len(order) - 1 - order[::-1].index('person')
    assert 'helper' not in order[first:last]
