"""
Runs nodes as processes: prefixed output, restarts with back-off, and a clean end.

This is what `ros2 launch` does where it is installed; here it needs nothing but Python. Each node
leads a process group of its own, so that a Ctrl-C at the terminal reaches only the supervisor,
which ends the nodes in order, and so that nothing a node started outlives it.
"""
import collections
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.bringup import ament_prefix_path, NodeSpec

STOP_STEPS = ((signal.SIGINT, 8.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
"""Signals of an orderly end, each with the seconds that it gets before the next one."""


class SupervisorError(Exception):
    """A node cannot be started. The message names it and the remedy."""


@dataclass(frozen=True)
class RestartPolicy:
    """When a node that died is started again."""

    limit: int = 5
    """Restarts within `window_s` before the supervisor gives up on the node; 0: never restart."""
    window_s: float = 60.0
    first_delay_s: float = 0.5
    """Delay before the first restart in the window; it doubles with each further one."""
    longest_delay_s: float = 8.0


NEVER_RESTART = RestartPolicy(limit=0)


@dataclass(frozen=True)
class NodeEvent:
    """Something that happened to a node: started, ended, restarting or failed."""

    node: str
    kind: str
    text: str
    pid: int = 0
    returncode: Optional[int] = None


def describe_end(returncode: int) -> str:
    """Return an exit status in words: 'exit status 1', 'killed by SIGSEGV'."""
    if returncode < 0:
        try:
            return f'killed by {signal.Signals(-returncode).name}'
        except ValueError:
            return f'killed by signal {-returncode}'
    return f'exit status {returncode}'


def child_environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """
    Return the environment for a node process.

    The ROS wheels start Python anew once with LD_LIBRARY_PATH and a guard variable set; both are
    in os.environ by now or neither is, and a copy keeps it so. They do not set AMENT_PREFIX_PATH,
    which the package index needs.
    """
    env = dict(os.environ)
    prefixes = ament_prefix_path(env)
    if prefixes:
        env['AMENT_PREFIX_PATH'] = prefixes
    env['PYTHONUNBUFFERED'] = '1'
    env.update(extra or {})
    return env


def find_command(spec: NodeSpec, env: Mapping[str, str]) -> List[str]:
    """
    Return the command that runs a node's executable, without its ROS arguments.

    Raises SupervisorError naming the package and executable and where they were looked for.
    """
    prefixes = [p for p in env.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for prefix in prefixes:
        path = os.path.join(prefix, 'lib', spec.package, spec.executable)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return [path]
    raise SupervisorError(
        f'the package {spec.package} has no executable {spec.executable} under '
        f'{", ".join(prefixes) or "any prefix (AMENT_PREFIX_PATH is empty)"}; build and install '
        'the package again (pip install . or colcon build), and source the workspace')


class _Node:
    """One supervised process; its fields are guarded by the supervisor's lock."""

    def __init__(self, spec):
        self.spec = spec
        self.process = None
        self.thread = None
        self.wanted = False
        self.restarts = collections.deque()
        self.wake = threading.Event()


class Supervisor:
    """
    Starts nodes, keeps them running, ends them all.

    `output(node, line)` gets each line that a node prints and `on_event(event)` each NodeEvent,
    both from the supervisor's threads. Methods may be called from any thread.
    """

    def __init__(self, specs: Sequence[NodeSpec], *,
                 env: Optional[Mapping[str, str]] = None,
                 output: Optional[Callable[[str, str], None]] = None,
                 on_event: Optional[Callable[[NodeEvent], None]] = None,
                 restart: RestartPolicy = RestartPolicy()):
        names = [spec.name for spec in specs]
        double = [name for name, count in collections.Counter(names).items() if count > 1]
        if double:
            raise SupervisorError(f'two nodes have the same name: {", ".join(double)}')
        self._env = child_environment(env)
        self._output = output or (lambda node, line: print(f'[{node}] {line}', flush=True))
        self._on_event = on_event or (lambda event: None)
        self._policy = restart
        self._lock = threading.Condition()
        self._nodes = {spec.name: _Node(spec) for spec in specs}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self) -> None:
        """Start every node. Raises SupervisorError before any is started if one is not there."""
        for node in self._nodes.values():
            find_command(node.spec, self._env)
        for name in self._nodes:
            self.start_node(name)

    def start_node(self, name: str) -> None:
        """Start one node that is not running; also one that has been killed or has failed."""
        node = self._node(name)
        with self._lock:
            if node.thread is not None and node.thread.is_alive():
                if node.wanted:
                    return
                self._lock.wait_for(lambda: node.process is None, timeout=1.0)
            node.wanted = True
            node.restarts.clear()
            node.wake.clear()
            node.thread = threading.Thread(target=self._keep_running, args=(node,),
                                           name=f'supervise {name}', daemon=True)
            node.thread.start()

    def stop(self, steps: Sequence[Tuple[int, float]] = STOP_STEPS) -> None:
        """End every node: SIGINT, then SIGTERM, then SIGKILL; returns when all are gone."""
        self._stop(list(self._nodes.values()), steps)

    def stop_node(self, name: str) -> None:
        """End one node in the same way; it is not restarted."""
        self._stop([self._node(name)], STOP_STEPS)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """
        Send a signal to the whole group of a node, as a crash would; return the pid it had.

        The restart policy then applies. Raises SupervisorError when the node is not running.
        """
        with self._lock:
            process = self._node(name).process
            if process is None:
                raise SupervisorError(f'{name} is not running')
            self._signal(process, number)
            return process.pid

    def pid(self, name: str) -> Optional[int]:
        """Return the process id of a node, None while it is not running."""
        with self._lock:
            process = self._node(name).process
            return process.pid if process else None

    def pids(self) -> Dict[str, int]:
        """Return the process ids of the nodes that run."""
        with self._lock:
            return {name: node.process.pid for name, node in self._nodes.items() if node.process}

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait until no node runs or is about to be restarted; return False on timeout."""
        with self._lock:
            return self._lock.wait_for(
                lambda: not any(node.wanted or node.process for node in self._nodes.values()),
                timeout_s)

    def wait_for_new_pid(self, name: str, old_pid: int, timeout_s: float) -> int:
        """Wait until a node that died runs again; raises SupervisorError on timeout."""
        node = self._node(name)
        with self._lock:
            if not self._lock.wait_for(
                    lambda: node.process is not None and node.process.pid != old_pid, timeout_s):
                raise SupervisorError(f'{name} was not restarted within {timeout_s:g} s')
            return node.process.pid

    def _node(self, name):
        try:
            return self._nodes[name]
        except KeyError:
            raise SupervisorError(f'no node is named {name!r}; there are: '
                                  f'{", ".join(self._nodes)}') from None

    def _emit(self, node, kind, text, pid=0, returncode=None):
        self._on_event(NodeEvent(node.spec.name, kind, text, pid, returncode))

    def _keep_running(self, node):
        """Thread of one node: run it, and again, until it is not wanted any more."""
        try:
            while node.wanted:
                returncode = self._run_once(node)
                if not node.wanted:
                    break
                if returncode == 0:
                    self._emit(node, 'ended', 'ended by itself', returncode=0)
                    break
                delay_s = self._restart_delay_s(node)
                if delay_s is None:
                    limit = self._policy.limit
                    more = (f'; it died {limit + 1} times within {self._policy.window_s:g} s, '
                            'so it stays down') if limit else ''
                    self._emit(node, 'failed', describe_end(returncode) + more,
                               returncode=returncode)
                    break
                self._emit(node, 'restarting', f'{describe_end(returncode)}; starting it again '
                           f'in {delay_s:g} s', returncode=returncode)
                node.wake.wait(delay_s)
        except OSError as error:
            self._emit(node, 'failed', f'cannot be started: {error}')
        except SupervisorError as error:
            self._emit(node, 'failed', str(error))
        finally:
            with self._lock:
                node.wanted = False
                self._lock.notify_all()

    def _run_once(self, node):
        command = [*find_command(node.spec, self._env), *node.spec.ros_arguments()]
        # If the supervisor itself is killed, the kernel ends the nodes: the tie is to the thread
        # that forks, which is this one and lives as long as the process. Not SIGINT, which is lost
        # when it meets Python just before the ROS wheels start it anew.
        if shutil.which('setpriv'):
            command = ['setpriv', '--pdeathsig', 'TERM', '--', *command]
        with self._lock:
            if not node.wanted:
                return 0
            process = subprocess.Popen(
                command, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True)
            node.process = process
            self._lock.notify_all()
        reader = threading.Thread(target=self._read, args=(node, process.stdout), daemon=True,
                                  name=f'output of {node.spec.name}')
        reader.start()
        self._emit(node, 'started', f'pid {process.pid}', process.pid)
        # Not reaped yet, so that the group's number cannot be given to anyone else meanwhile.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            self._signal(process, signal.SIGKILL)
            returncode = process.wait()
            node.process = None
            self._lock.notify_all()
        reader.join(timeout=1.0)
        return returncode

    def _read(self, node, stream):
        with stream:
            for line in stream:
                self._output(node.spec.name, line.rstrip('\n'))

    def _restart_delay_s(self, node):
        """Return the seconds to wait before the next restart, None when there is to be none."""
        now_s = time.monotonic()
        while node.restarts and now_s - node.restarts[0] > self._policy.window_s:
            node.restarts.popleft()
        count = len(node.restarts)
        if count >= self._policy.limit:
            return None
        node.restarts.append(now_s)
        return min(self._policy.longest_delay_s, self._policy.first_delay_s * 2 ** count)

    @staticmethod
    def _signal(process, number):
        """Signal the group of a process that has not been reaped yet."""
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass    # all of it is gone already

    def _stop(self, nodes, steps):
        for node in nodes:
            with self._lock:
                node.wanted = False
                node.wake.set()
        for number, patience_s in steps:
            with self._lock:
                for node in nodes:
                    if node.process is not None:
                        self._signal(node.process, number)
                if self._lock.wait_for(lambda: all(n.process is None for n in nodes), patience_s):
                    break
        for node in nodes:
            if node.thread is not None and node.thread is not threading.current_thread():
                node.thread.join(timeout=2.0)
