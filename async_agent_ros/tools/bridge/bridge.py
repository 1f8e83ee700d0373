"""Makes tools of the file's entries and serves them; what is not there yet is waited for."""
from typing import Callable, Dict, List, Optional

from rclpy.action import get_action_names_and_types

from async_agent_ros.tools.bridge import interfaces
from async_agent_ros.tools.bridge.action_tool import ActionTool
from async_agent_ros.tools.bridge.config import Entry
from async_agent_ros.tools.bridge.publish_tool import PublishTool
from async_agent_ros.tools.bridge.service_tool import ServiceTool
from async_agent_ros.tools.bridge.tool import BridgedTool
from async_agent_ros.tools.bridge.topic_tools import ListenTool
from async_agent_ros.tools.bridge.values import Surroundings


class TypeUnknown(Exception):  # noqa: N818 (not an error yet: it may appear)
    """The file names no type, and nothing of that name runs; the message says so."""


def types_on_graph(node, kind: str) -> Dict[str, List[str]]:
    """Return the types of everything of a kind that runs now, by name."""
    found = (get_action_names_and_types(node) if kind == 'action' else
             node.get_service_names_and_types() if kind == 'service' else
             node.get_topic_names_and_types())
    return dict(found)


def make_tool(entry: Entry, surroundings: Surroundings,
              types: Optional[Callable[[str], Dict[str, List[str]]]] = None) -> BridgedTool:
    """
    Return the tool of an entry.

    `types(kind)` looks on the graph, for entries without a type. Raises InterfaceError or
    OptionError, and TypeUnknown when nothing of that name runs yet.
    """
    name = entry.type
    if not name:
        there = (types(entry.kind) if types else {}).get(entry.graph_name, [])
        if not there:
            raise TypeUnknown(f'{entry.what} is not running and the file does not name its '
                              f'type: waiting for it; or add type: package/'
                              f'{interfaces.KINDS[entry.kind]}/Name')
        if len(there) > 1:
            raise interfaces.InterfaceError(f'{entry.what} has the types {" and ".join(there)} '
                                            'on the graph: name one with type:')
        name = there[0]
    cls = interfaces.load(name, entry.kind)
    make = {'action': ActionTool, 'service': ServiceTool, 'latest': ListenTool,
            'next': ListenTool, 'publish': PublishTool}[entry.mode or entry.kind]
    return make(entry, cls, surroundings)
