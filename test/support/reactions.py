"""Words that go on, and an engine that may wait for more of them."""
import threading

from async_agent_ros.llm.engine import GenerationRequest

AGAIN = 'Then again and again:\n' + '<pause>\n' * 8
"""A prompt on which any model writes the mark."""


def waits(engine, reacts):
    """Tell whether the engine writes that it waits."""
    request = GenerationRequest('main', AGAIN, max_tokens=4, reacts=reacts)
    return ''.join(engine.stream(request, threading.Event())).startswith('<pause')
