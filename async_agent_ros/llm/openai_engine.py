"""
Any OpenAI-compatible server: llama.cpp, vLLM, Ollama, or one in the cloud.

The agent's prompt is ChatML with roles of its own, so /completions is used where the server has
it; else the prompt is taken apart again into messages for /chat/completions. Closing the stream
is what stops the server.
"""
import importlib
import json
import os
import queue
import re
import threading
from typing import Any, Dict, Iterator, List, Mapping, Optional

from async_agent_ros.llm import grammar
from async_agent_ros.llm.abortable import DONE, until_abort
from async_agent_ros.llm.engine import EngineError, EngineInfo, GenerationRequest

ENDPOINTS = ('auto', 'completions', 'chat')
GRAMMARS = ('', 'gbnf', 'lark')
_MESSAGE = re.compile(r'<\|im_start\|>([^\n]*)\n(.*?)(?:<\|im_end\|>\n?|\Z)', re.S)


class _NoSuchEndpoint(Exception):
    """The server does not offer this endpoint."""


class OpenAIEngine:
    """
    Engine behind HTTP.

    :param base_url: up to and with the version, e.g. http://127.0.0.1:8080/v1
    :param model: name of the model on the server.
    :param api_key_env: name of the environment variable that holds the key; the key itself never
        stands in a parameter, because parameters are visible to everybody on the graph.
    :param endpoint: 'completions', 'chat', or 'auto', which tries them in this order.
    :param grammar_field: 'gbnf' or 'lark' sends the grammar of calls in llama.cpp's field
        `grammar`; '' sends none, as other servers may refuse the field.
    :param connect_timeout_s: seconds to wait for the connection.
    :param read_timeout_s: seconds without a byte until the server counts as hung.
    """

    def __init__(self, model: str = '', base_url: str = 'http://127.0.0.1:8080/v1',
                 api_key_env: str = 'OPENAI_API_KEY', endpoint: str = 'auto',
                 temperature: float = 0.0, grammar_field: str = '',
                 connect_timeout_s: float = 5.0, read_timeout_s: float = 60.0,
                 call_marker: str = grammar.CALL_MARKER):
        if endpoint not in ENDPOINTS:
            raise EngineError(f'endpoint is {endpoint!r}; known are {", ".join(ENDPOINTS)}')
        if grammar_field not in GRAMMARS:
            raise EngineError(
                f'grammar_field is {grammar_field!r}; known are {", ".join(map(repr, GRAMMARS))}')
        self._model = model
        self._base_url = base_url.rstrip('/')
        self._key_env = api_key_env
        self._endpoint = endpoint
        self._temperature = temperature
        self._grammar = grammar_field
        self._connect_s = connect_timeout_s
        self._read_s = read_timeout_s
        self._marker = call_marker
        self._client: Any = None

    def load(self) -> None:
        """Check that the server is there and knows the model; raises EngineError if not."""
        try:
            httpx = self._httpx = importlib.import_module('httpx')
        except ImportError as error:
            raise EngineError(f'the engine openai needs the package httpx ({error}); get it '
                              f'with: pip install httpx') from error
        key = os.environ.get(self._key_env, '') if self._key_env else ''
        self._client = httpx.Client(
            headers={'Authorization': f'Bearer {key}'} if key else {},
            timeout=httpx.Timeout(self._read_s, connect=self._connect_s))
        try:
            answer = self._client.get(f'{self._base_url}/models')
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code in (401, 403):
            raise self._refused(answer.status_code, answer.text)
        known = _model_names(answer)
        if not self._model and known:
            self._model = known[0]
        elif known and self._model not in known:
            raise EngineError(f'{self._base_url} does not serve the model {self._model!r}; '
                              f'it serves: {", ".join(known[:10])}')

    def info(self) -> EngineInfo:
        """Describe what is connected."""
        return EngineInfo('openai', self._model, self._base_url, 0,
                          {'endpoint': self._endpoint, 'temperature': self._temperature})

    def stream(self, request: GenerationRequest, abort: threading.Event) -> Iterator[str]:
        """Yield text as it arrives; see Engine.stream."""
        if self._client is None:
            raise EngineError('the engine openai is not loaded; call load() first')
        if self._endpoint == 'auto':
            try:
                first = True
                for text in self._run('completions', request, abort):
                    first = False
                    yield text
                self._endpoint = 'completions'
                return
            except _NoSuchEndpoint:
                if not first:
                    raise
                self._endpoint = 'chat'
        try:
            yield from self._run(self._endpoint, request, abort)
        except _NoSuchEndpoint as error:
            raise EngineError(
                f'{self._base_url} has no endpoint for {self._endpoint} or does not know the '
                f'model {self._model!r}: {error}; check base_url (does it end in /v1?), model '
                f'and endpoint') from error

    def forget(self, instance: str) -> None:
        """Nothing to do: caches are the server's business."""

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _body(self, endpoint, request) -> Dict[str, Any]:
        body: Dict[str, Any] = {
            'model': self._model, 'stream': True, 'max_tokens': request.max_tokens,
            'temperature': self._temperature, 'stop': list(request.stop)[:4],
            'stream_options': {'include_usage': True}}
        if endpoint == 'completions':
            body['prompt'] = request.prompt
        else:
            body['messages'] = to_messages(request.prompt)
        if request.tools and self._grammar == 'gbnf':
            body['grammar'] = grammar.gbnf(request.tools, self._marker)
        elif request.tools and self._grammar == 'lark':
            body['grammar'] = grammar.lark(request.tools, self._marker)
        return body

    def _run(self, endpoint, request, abort) -> Iterator[str]:
        """Read the stream in a thread of its own, so that an abort is never waited for."""
        path = '/completions' if endpoint == 'completions' else '/chat/completions'
        out: 'queue.SimpleQueue' = queue.SimpleQueue()
        opened: List[Any] = []

        def work():
            try:
                with self._client.stream('POST', self._base_url + path,
                                         json=self._body(endpoint, request)) as answer:
                    opened.append(answer)
                    if answer.status_code != 200:
                        answer.read()
                        raise self._refused(answer.status_code, answer.text)
                    for chunk in _events(answer):
                        if abort.is_set() or stop.is_set():
                            return
                        out.put(chunk)
                out.put(DONE)
            except Exception as error:
                out.put(error)

        stop = threading.Event()
        threading.Thread(target=work, name='openai-stream', daemon=True).start()
        try:
            for item in until_abort(out, abort):
                if isinstance(item, (_NoSuchEndpoint, EngineError)):
                    raise item
                if isinstance(item, self._httpx.HTTPError):
                    raise self._unreachable(item) from item
                if isinstance(item, Exception):
                    raise EngineError(f'{self._base_url}: {item}') from item
                if 'error' in item:
                    raise EngineError(f'{self._base_url} failed: {_message(item)}')
                text = _take(item, request.stats)
                if text:
                    yield text
            if abort.is_set():
                request.stats.finish_reason = 'abort'
        finally:
            stop.set()
            for answer in opened:
                # the server notices the closed connection and stops; the reader ends with it
                _shut(answer)

    def _unreachable(self, error) -> EngineError:
        if isinstance(error, self._httpx.TimeoutException):
            return EngineError(f'{self._base_url} did not answer in time ({error}); is the model '
                               f'still loading? Raise read_timeout_s, or check the server')
        return EngineError(f'no server answers at {self._base_url} ({error}); start it, or set '
                           f'base_url')

    def _refused(self, status, text) -> Exception:
        try:
            message = _message(json.loads(text))
        except ValueError:
            message = text[:200]
        if status in (401, 403):
            return EngineError(f'{self._base_url} refused the key ({status} {message}); set the '
                               f'environment variable {self._key_env} to a valid one')
        if status in (404, 405, 501):
            return _NoSuchEndpoint(f'{status} {message}')
        if status == 429:
            return EngineError(f'{self._base_url} is over its limit: {message}; wait, or use '
                               f'another model')
        return EngineError(f'{self._base_url} answered {status}: {message}')


def to_messages(prompt: str) -> List[Dict[str, str]]:
    """
    Take a ChatML prompt apart into messages of the roles that every server knows.

    Notifications become user messages that say what they are; the clock in a header stays in the
    text of users and notifications. The open assistant header at the end is dropped.
    """
    messages: List[Dict[str, str]] = []
    for match in _MESSAGE.finditer(prompt):
        header, content = match.group(1).strip(), match.group(2)
        role, _, clock = header.partition(' ')
        if not content and match.end() == len(prompt):
            continue
        if role not in ('system', 'user', 'assistant'):
            content = f'[{header}] {content}'
            role = 'user'
        elif role == 'user' and clock:
            content = f'[{clock}] {content}'
        if messages and messages[-1]['role'] == role and role != 'system':
            # some templates insist on alternation
            messages[-1]['content'] += '\n' + content
        else:
            messages.append({'role': role, 'content': content})
    return messages


def _events(answer) -> Iterator[Mapping[str, Any]]:
    for line in answer.iter_lines():
        data = line.removeprefix('data:').strip()
        if not line.startswith(('data:', '{')) or not data:
            continue
        if data == '[DONE]':
            return
        yield json.loads(data)


def _take(chunk, stats) -> Optional[str]:
    usage = chunk.get('usage')
    if usage:
        stats.prompt_tokens = usage.get('prompt_tokens') or stats.prompt_tokens
        stats.output_tokens = usage.get('completion_tokens') or stats.output_tokens
        details = usage.get('prompt_tokens_details') or {}
        stats.cached_tokens = details.get('cached_tokens') or stats.cached_tokens
    for choice in chunk.get('choices') or ():
        stats.finish_reason = choice.get('finish_reason') or stats.finish_reason
        text = choice.get('text') or (choice.get('delta') or {}).get('content')
        if text:
            if not usage:
                stats.output_tokens += 1
            return text
    return None


def _message(value) -> str:
    error = value.get('error', value) if isinstance(value, dict) else value
    return str(error.get('message', error) if isinstance(error, dict) else error)[:300]


def _model_names(answer) -> List[str]:
    try:
        return [m['id'] for m in answer.json().get('data') or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _shut(answer) -> None:
    """Close the socket under a response that another thread is reading."""
    stream = answer.extensions.get('network_stream')
    raw = stream.get_extra_info('socket') if stream is not None else None
    if raw is not None:
        try:
            raw.shutdown(2)
        except OSError:
            pass
