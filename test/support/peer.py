"""A node that plays a part in a test and is off the graph at its end."""
from rclpy.node import Node

from async_agent_ros.nodes.node_base import CleanEnd


class Peer(CleanEnd, Node):
    """What rclpy.create_node() makes, with a clean end: for nodes with actions."""
