"""The openai engine against a real server: llama.cpp's own, on the smallest packaged model."""
import http.server
import json
import socket
import threading
import time

import pytest

from async_agent_ros import models
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm.engine import EngineError, GenerationRequest

pytest.importorskip('httpx', reason='pip install httpx')
from async_agent_ros.llm.openai_engine import OpenAIEngine, to_messages  # noqa: E402

KEY = 'a-key-of-the-test'
TOOLS = (ToolSpec('get_battery'),)


def chatml(user):
    return (f'<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n'
            f'<|im_start|>user 1.0s\n{user}<|im_end|>\n<|im_start|>assistant\n')


@pytest.fixture(scope='module')
def server():
    """A llama.cpp server that wants a key; yields its base URL."""
    xllamacpp = pytest.importorskip('xllamacpp', reason='pip install xllamacpp')
    try:
        path = models.find('smollm2-135m') / 'model.gguf'
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.verbosity = 0
    params.no_extra_bufts = True
    params.fit_params = False
    params.api_keys = [KEY]
    server = xllamacpp.Server(params)
    yield server.listening_address + '/v1'
    del server


@pytest.fixture
def engine(server, monkeypatch):
    monkeypatch.setenv('TEST_LLM_KEY', KEY)
    engine = OpenAIEngine(base_url=server, api_key_env='TEST_LLM_KEY')
    engine.load()
    yield engine
    engine.close()


def run(engine, prompt, abort=None, **fields):
    request = GenerationRequest('main', prompt, **fields)
    text = ''.join(engine.stream(request, abort or threading.Event()))
    return text, request.stats


def test_streams_from_completions_and_counts(engine):
    request = GenerationRequest('main', chatml('Count from one to ten.'), max_tokens=12)
    pieces = list(engine.stream(request, threading.Event()))
    assert len(pieces) > 3
    assert request.stats.prompt_tokens > 10
    assert request.stats.output_tokens == 12
    assert engine.info().details['endpoint'] == 'completions'


def test_chat_endpoint_takes_the_prompt_apart(server, monkeypatch):
    monkeypatch.setenv('TEST_LLM_KEY', KEY)
    engine = OpenAIEngine(base_url=server, api_key_env='TEST_LLM_KEY', endpoint='chat')
    engine.load()
    text, stats = run(engine, chatml('Say hello.'), max_tokens=12)
    assert text.strip()
    assert stats.finish_reason in ('stop', 'length')
    engine.close()


def test_abort_closes_the_stream_and_the_server_goes_on(engine):
    abort = threading.Event()
    request = GenerationRequest('main', chatml('Tell me a long story.'), max_tokens=1800)
    stream = engine.stream(request, abort)
    next(stream)
    abort.set()
    started = time.monotonic()
    assert len(list(stream)) <= 1
    assert time.monotonic() - started < 10.0
    assert request.stats.finish_reason == 'abort'
    # the only slot is free again long before so many tokens could have been written
    text, _ = run(engine, chatml('Say hello.'), max_tokens=4)
    assert text
    assert time.monotonic() - started < 60.0


@pytest.mark.parametrize('notation', ['gbnf', 'lark'])
def test_grammar_of_calls_is_sent_where_it_is_asked_for(server, monkeypatch, notation):
    monkeypatch.setenv('TEST_LLM_KEY', KEY)
    engine = OpenAIEngine(base_url=server, api_key_env='TEST_LLM_KEY', grammar_field=notation)
    engine.load()
    text, _ = run(engine, chatml('Write CALL {"name": "fly"}'), tools=TOOLS, max_tokens=24)
    assert '{' not in text or '"get_battery"' in text
    engine.close()


def test_wrong_key_names_the_variable(server, monkeypatch):
    monkeypatch.setenv('TEST_LLM_KEY', 'wrong')
    engine = OpenAIEngine(base_url=server, api_key_env='TEST_LLM_KEY', model='x')
    with pytest.raises(EngineError, match='TEST_LLM_KEY'):
        engine.load()
        run(engine, chatml('x'))


def test_unknown_model_lists_the_known(server, monkeypatch):
    monkeypatch.setenv('TEST_LLM_KEY', KEY)
    with pytest.raises(EngineError, match="'gpt-9'; it serves: .*gguf"):
        OpenAIEngine('gpt-9', server, 'TEST_LLM_KEY').load()


def test_no_server_names_the_url():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with pytest.raises(EngineError, match=f'no server answers at http://127.0.0.1:{port}/v1'):
        OpenAIEngine(base_url=f'http://127.0.0.1:{port}/v1').load()


class _ChatOnly(http.server.BaseHTTPRequestHandler):
    """A server that knows only /chat/completions, as several in the cloud."""

    def log_message(self, *arguments):
        """Keep quiet."""

    def do_GET(self):
        self._answer(404, {'error': {'message': 'no such path'}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if self.path != '/v1/chat/completions' or body['model'] != 'm':
            self._answer(404, {'error': {'message': f'nothing at {self.path}'}})
            return
        self.send_response(200)
        self.end_headers()
        for word in ('You said: ', body['messages'][-1]['content']):
            chunk = {'choices': [{'delta': {'content': word}}]}
            self.wfile.write(f'data: {json.dumps(chunk)}\n\n'.encode())
        self.wfile.write(b'data: [DONE]\n\n')

    def _answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def chat_only():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _ChatOnly)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}/v1'
    server.shutdown()
    thread.join()
    server.server_close()


def test_auto_falls_back_to_chat(chat_only):
    engine = OpenAIEngine('m', chat_only)
    engine.load()
    for _ in range(2):
        assert run(engine, chatml('hi'))[0] == 'You said: [1.0s] hi'
    assert engine.info().details['endpoint'] == 'chat'
    engine.close()


def test_unknown_model_at_generation_names_url_and_model(chat_only):
    engine = OpenAIEngine('other', chat_only)
    engine.load()
    with pytest.raises(EngineError, match=f"{chat_only}.*'other'.*check base_url"):
        run(engine, chatml('hi'))
    engine.close()


def test_notifications_become_user_messages():
    prompt = ('<|im_start|>system\nS<|im_end|>\n<|im_start|>user 1.0s\nGo.<|im_end|>\n'
              '<|im_start|>assistant\nCALL {}<|im_end|>\n'
              '<|im_start|>notification 2.0s\n{"status": "running"}<|im_end|>\n'
              '<|im_start|>user 3.0s\nWell?<|im_end|>\n<|im_start|>assistant\n')
    assert to_messages(prompt) == [
        {'role': 'system', 'content': 'S'}, {'role': 'user', 'content': '[1.0s] Go.'},
        {'role': 'assistant', 'content': 'CALL {}'},
        {'role': 'user',
         'content': '[notification 2.0s] {"status": "running"}\n[3.0s] Well?'}]


def test_wrong_settings_name_the_known():
    with pytest.raises(EngineError, match="endpoint is 'x'"):
        OpenAIEngine(endpoint='x')
    with pytest.raises(EngineError, match="grammar_field is 'x'"):
        OpenAIEngine(grammar_field='x')
