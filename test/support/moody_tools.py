"""A tool server with moods, for stress tests: python moody_tools.py SEED."""
import asyncio
import random
import sys

from async_agent_ros.tools.context import ToolContext, ToolError
from async_agent_ros.tools.sdk import tool
from async_agent_ros.tools.server import ToolServer


def build(seed):
    """Return a tool that takes a random time, fails now and then, and tells of its progress."""
    moods = random.Random(seed)

    @tool(effect='read_only', duplicates='allow', timeout_s=60.0)
    async def mood(number: int, context: ToolContext) -> int:
        """Do something moody."""
        delay_s, fails = moods.uniform(0.0, 1.5), moods.random() < 0.2
        for step in range(3):
            context.report(step / 3, f'step {step}')
            await asyncio.sleep(delay_s / 3)
        if fails:
            raise ToolError('not in the mood')
        return number

    return mood


if __name__ == '__main__':
    ToolServer('moody', [build(int(sys.argv[1]))], lease_s=2.0).spin()
