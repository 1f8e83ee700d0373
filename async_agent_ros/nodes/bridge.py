"""bridge: actions, services and topics of the ROS graph as tools, named in a YAML file."""
from typing import Dict, List

from async_agent_ros.nodes.node_base import declare, Diagnostics, OK, run_node, WARN
from async_agent_ros.tools.bridge.bridge import make_tool, types_on_graph, TypeUnknown
from async_agent_ros.tools.bridge.config import BridgeFileError, Entry, load
from async_agent_ros.tools.bridge.handover import Handover
from async_agent_ros.tools.bridge.interfaces import InterfaceError
from async_agent_ros.tools.bridge.options import OptionError
from async_agent_ros.tools.bridge.values import Surroundings
from async_agent_ros.tools.server import ToolServer

LOOK_S = 1.0
"""Period of the looks at the graph."""


class Bridge(ToolServer):
    """
    Serves what its file names.

    A tool that is wrong is refused with its reason, in the log and in the diagnostics; the others
    work. A type that the file leaves out is taken from the graph as soon as it is there.
    """

    def __init__(self, name: str = 'bridge', **node_options):
        super().__init__(name, **node_options)
        path = declare(self, 'file', '', 'YAML file that names actions, services and topics as '
                       'tools (docs/bridge.md)', read_only=True)
        if not path:
            raise ValueError('the parameter file is empty: name a YAML file, as with '
                             'async-agent up --bridge FILE (see docs/bridge.md)')
        try:
            self._file = load(path)
        except BridgeFileError as error:
            raise ValueError(str(error)) from None
        self.problems: List[str] = list(self._file.problems)
        for problem in self.problems:
            self.get_logger().error(f'refused: {problem}')
        self._handover = Handover(self)
        self._surroundings = Surroundings(lambda: self.get_clock().now().to_msg())
        self._waiting: Dict[str, Entry] = {e.name: e for e in self._file.entries}
        self._told = set()
        self._bridged = []
        self._missing: Dict[str, str] = {}
        self._serve_waiting()
        self._look_timer = self.create_timer(LOOK_S, self._look)
        self._diagnostics = Diagnostics(self, self._status)

    def _serve_waiting(self):
        tools = []
        for entry in list(self._waiting.values()):
            try:
                item = make_tool(entry, self._surroundings,
                                 lambda kind: types_on_graph(self, kind))
            except TypeUnknown as unknown:
                if entry.name not in self._told:
                    self._told.add(entry.name)
                    self.get_logger().info(f'tool {entry.name}: {unknown}')
                continue
            except (InterfaceError, OptionError, ValueError) as error:
                del self._waiting[entry.name]
                self._refuse(entry, error)
                continue
            del self._waiting[entry.name]
            try:
                item.open(self, self._handover)
            except Exception as error:
                self._refuse(entry, f'{entry.what} cannot be used: {error}')
                continue
            if item.burden:
                self.get_logger().warning(f'tool {entry.name} {item.burden}')
            self._bridged.append(item)
            tools.append(item)
        if tools:
            self.add_tools(*tools)
            self.get_logger().info('bridged: ' + ', '.join(
                f'{t.entry.name} ({t.entry.what})' for t in tools))

    def _refuse(self, entry, reason):
        self.problems.append(f'{self._file.path}: tool {entry.name}: {reason}')
        self.get_logger().error(f'refused: {self.problems[-1]}')

    def _look(self):
        if self._waiting:
            self._serve_waiting()
        self._missing = {}
        for item in self._bridged:
            try:
                problem = item.look()
            except Exception as error:    # one tool must not end the others
                problem = f'{item.entry.what}: {error!r}'
            if problem:
                self._missing[item.entry.name] = problem

    def _status(self):
        values = {'tools': len(self._bridged), 'running_calls': self.running_calls,
                  **{f'missing {k}': v for k, v in self._missing.items()},
                  **{f'waiting {k}': e.what for k, e in self._waiting.items()},
                  **{f'refused {i}': p for i, p in enumerate(self.problems, 1)}}
        if self.problems:
            return WARN, f'{len(self.problems)} tools of {self._file.path} are refused', values
        if self._missing or self._waiting:
            return WARN, 'some servers are not running', values
        return OK, 'ready', values


def main(args=None):
    """Run the node."""
    run_node(Bridge, args)


if __name__ == '__main__':
    main()
