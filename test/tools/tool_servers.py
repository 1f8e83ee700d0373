"""A tool server for the tests, as a process of its own: python tool_servers.py NAME."""
import asyncio
import queue
import sys
import threading
from typing import Generator

from async_agent_ros.tools import (Progress, tool, ToolCancelled, ToolContext, ToolError,
                                   ToolServer)

RUNS = []
"""Every run of `count_me`, by call id."""

STEPS = queue.SimpleQueue()
"""The tool `steps` takes one before it goes on."""

RELEASE = threading.Event()


@tool(effect='read_only')
def echo(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


@tool
def fail() -> None:
    """Fail as tools do."""
    raise ToolError('the door is locked')


@tool
def crash() -> None:
    """Fail as programs do."""
    raise KeyError('left hand')


@tool
def leave() -> None:
    """Try to end the server."""
    raise SystemExit(3)


@tool
def no_json() -> object:
    """Return what has no JSON form."""
    return threading.Lock()


@tool(effect='read_only', wait_for_final=True, max_per_minute=30, resources=['line'])
def search(words: str) -> list:
    """Look something up at a stranger's."""
    return [words]


@tool(effect='read_only')
def count_me(context: ToolContext) -> int:
    """Count the runs."""
    RUNS.append(context.call_id)
    return len(RUNS)


@tool
def steps(n: int) -> Generator[Progress, None, str]:
    """Work in steps."""
    for i in range(n):
        yield Progress(i / n, f'step {i}')
        STEPS.get(timeout=20.0)
    return f'{n} steps'


@tool(motion=True)
def work(seconds: float, context: ToolContext) -> str:
    """Work for a while; say how far it came when it is cancelled."""
    context.report(0.0, 'working')
    try:
        context.wait(seconds)
    except ToolCancelled as cancelled:
        raise ToolCancelled(f'{cancelled}, half done', {'done': 'half'}) from None
    return 'worked'


@tool
async def nap(seconds: float, context: ToolContext) -> str:
    """Sleep on the loop."""
    await asyncio.sleep(seconds)
    return 'slept'


@tool
def stubborn(seconds: float) -> str:
    """Ignore every cancel."""
    RELEASE.wait(seconds)
    return 'did it anyway'


TOOLS = [echo, fail, crash, leave, no_json, search, count_me, steps, work, nap, stubborn]

if __name__ == '__main__':
    ToolServer(sys.argv[1], TOOLS).spin()
