from async_agent_ros.tools import tool, ToolServer


@tool(effect='read_only', examples=[('How warm is the oven?', {})])
def oven_temperature() -> float:
    """Measure the temperature of the oven, in degrees Celsius."""
    return 180.0


ToolServer('kitchen_tools', tools=[oven_temperature]).spin()
