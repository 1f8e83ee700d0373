"""
Tools: the @tool SDK, the server that offers them as ROS actions, and the executor of calls.

`from async_agent_ros.tools import tool, ToolServer` is all that a tool server needs.
"""
from async_agent_ros.tools.context import Progress, ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.sdk import Tool, tool, ToolDefinitionError

__all__ = ['Progress', 'Tool', 'tool', 'ToolCancelled', 'ToolContext', 'ToolDefinitionError',
           'ToolError', 'ToolServer']


def __getattr__(name):
    # Late, so that tools can be defined and tested where there is no ROS.
    if name == 'ToolServer':
        from async_agent_ros.tools.server import ToolServer
        return ToolServer
    raise AttributeError(name)
