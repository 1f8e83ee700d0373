"""One output of an engine, with its times."""
import threading
import time
from dataclasses import dataclass

from async_agent_ros.core.chatml import Parser
from async_agent_ros.llm.engine import GenerationRequest


@dataclass(frozen=True)
class Written:
    """What an engine wrote."""

    text: str
    first_s: float
    """Seconds to the first whole sentence or call; to the end where there is none."""
    whole_s: float


def write(engine, request: GenerationRequest, parser: Parser) -> Written:
    """Have an engine write until it or the parser ends."""
    text, first_s, started_s = '', -1.0, time.monotonic()
    for piece in engine.stream(request, threading.Event()):
        text += piece
        if parser.feed(piece) and first_s < 0.0:
            first_s = time.monotonic() - started_s
        if parser.done:
            break
    whole_s = time.monotonic() - started_s
    return Written(text, first_s if first_s >= 0.0 else whole_s, whole_s)
