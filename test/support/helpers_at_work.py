"""A person who speaks while a helper generates on the same engine."""
import threading

from async_agent_ros.llm.engine import GenerationRequest


def while_a_helper_works(engine, prompt, helper_prompt):
    """Answer the person in the middle of a helper's generation; return all texts and an order."""
    order = []
    began = threading.Event()

    def help_out():
        request = GenerationRequest('i1', helper_prompt, max_tokens=40)
        text = ''
        for piece in engine.stream(request, threading.Event()):
            order.append('helper')
            began.set()
            text += piece
        results.append(text)

    results = []
    thread = threading.Thread(target=help_out, daemon=True)
    thread.start()
    assert began.wait(60.0)
    request = GenerationRequest('main', prompt, max_tokens=12)
    pieces = []
    for piece in engine.stream(request, threading.Event()):
        order.append('person')
        pieces.append(piece)
    thread.join(120.0)
    return ''.join(pieces), results[0], order
