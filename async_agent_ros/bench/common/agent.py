"""An agent of one's own to measure: its nodes as processes in a ROS domain of their own."""
import os
from pathlib import Path
import tempfile
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from async_agent_ros import bringup
from async_agent_ros.demo.session import choose_domain, NodeLog
from async_agent_ros.supervisor import NEVER_RESTART, NodeEvent, Supervisor

READY_S = 90.0


class AgentError(Exception):
    """The agent that is to be measured does not come up. The message says which node and why."""


class MeasuredAgent:
    """
    Starts the nodes of `settings`; a node that ends makes the measurement fail.

    Use as a context manager. `parameters` adds parameters by node name. Needs a folder for the
    ledger and the log, which is removed at the end.
    """

    def __init__(self, settings: bringup.Settings,
                 parameters: Optional[Mapping[str, Mapping[str, Any]]] = None):
        choose_domain(os.environ)    # in this process too: the probe joins the same graph
        self._folder = tempfile.TemporaryDirectory(prefix='async_agent_bench_')
        self.folder = Path(self._folder.name)
        more: Dict[str, Dict[str, Any]] = {
            'dialog_manager': {'ledger_dir': str(self.folder / 'ledger'), 'resume': 'never'}}
        for node, values in (parameters or {}).items():
            more.setdefault(node, {}).update(values)
        self._failed: List[NodeEvent] = []
        self.log = NodeLog(self.folder / 'nodes.log')
        self._specs = bringup.agent_nodes(settings, more)
        self._supervisor = Supervisor(self._specs, output=self.log.line, on_event=self._on_event,
                                      restart=NEVER_RESTART)

    def _on_event(self, event: NodeEvent) -> None:
        if event.kind in ('failed', 'ended'):
            self._failed.append(event)

    def __enter__(self) -> 'MeasuredAgent':
        self._supervisor.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._supervisor.stop()
        self.log.close()
        self._folder.cleanup()

    @property
    def pids(self) -> Dict[str, int]:
        """Process ids of the nodes, by name."""
        return self._supervisor.pids()

    def check(self) -> None:
        """Raise AgentError, with the last lines of its log, when a node has ended."""
        for event in self._failed:
            raise AgentError(f'{event.node} {event.text}; its last lines:\n'
                             f'{self.log.tail(event.node)}')

    def wait_ready(self, spin: Callable[[float], None], missing: Callable[[], List[str]],
                   timeout_s: float = READY_S) -> None:
        """Call `spin(seconds)` until missing() names nothing; raises AgentError after the time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.check()
            names = missing()
            if not names:
                return
            if time.monotonic() > deadline_s:
                tails = '\n'.join(self.log.tail(spec.name) for spec in self._specs)
                raise AgentError(f'not there within {timeout_s:g} s: {", ".join(names)}; the '
                                 f'nodes said:\n{tails}')
            spin(0.1)
