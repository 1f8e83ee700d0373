"""A tool server for measurements: `work` takes as long as it is told. Run as a module."""
from async_agent_ros.tools.sdk import tool
from async_agent_ros.tools.server import ToolServer


@tool(effect='read_only', duplicates='allow')
async def work(seconds: float) -> float:
    """Work for some seconds."""
    import asyncio
    await asyncio.sleep(seconds)
    return seconds


def main() -> None:
    """Serve until a signal."""
    ToolServer('workers', [work]).spin()


if __name__ == '__main__':
    main()
