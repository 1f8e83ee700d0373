"""
What if: another model, or other parameters, answer the recorded person.

A newly started agent hears what the recorded person said, at the recorded times, and its tools
answer with the recorded results after the recorded durations. Its own run is then compared with
the recording.
"""
from dataclasses import asdict
import os
from pathlib import Path
import shutil
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from async_agent_ros import bringup
from async_agent_ros.core.settings import Settings
from async_agent_ros.demo.session import AgentSession, choose_domain
from async_agent_ros.record.compare import Comparison
from async_agent_ros.record.history import History, HistoryError, load
from async_agent_ros.record.reader import find_bag
from async_agent_ros.record.runs import Run

NODES = 'dialog_manager,dispatcher'
CONNECT_S = 30.0
SETTLE_S = 2.5
"""The conversation is over when nothing runs and nothing is said for so long."""

LONGEST_END_S = 180.0
"""After the last word of the person and the longest recorded call."""

DISCOVERY_S = 1.5
_POLL_S = 0.25


def kernel_parameters(history: History) -> Dict[str, Any]:
    """Return the recorded settings of the kernel as parameters of dialog_manager."""
    values = asdict(Settings.from_json(history.events[0].settings))
    return {f'kernel.{name}': list(value) if isinstance(value, tuple) else value
            for name, value in values.items() if value not in ((), [])}


def choose(path: Path) -> History:
    """Return the session to hold again: the first that has words of the person."""
    histories = load(path)
    for history in histories:
        if Run(history).turns:
            return history
    raise HistoryError(f'{path}: the person says nothing in it, so there is nothing to answer')


class WhatIfError(Exception):
    """The conversation cannot be held again here. The message says why, and the remedy."""


def refuse_company(namespace: str) -> None:
    """
    Raise WhatIfError when an agent runs in the namespace and ROS domain.

    It would hear the recorded person too, and its robot would move.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from async_agent_ros.record.show import living

    context = rclpy.Context()
    rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'what_if_{os.getpid()}', context=context, enable_rosout=False)
    end_s = time.monotonic() + DISCOVERY_S
    found: List[str] = []
    while not found and time.monotonic() < end_s:
        time.sleep(0.1)
        found = living(node, namespace)
    node.destroy_node()
    rclpy.shutdown(context=context)
    if found:
        raise WhatIfError(
            f'an agent runs in {namespace}, ROS_DOMAIN_ID={os.environ.get("ROS_DOMAIN_ID", 0)} '
            f'({", ".join(found)}): it would hear the recorded person too. Set another '
            'ROS_DOMAIN_ID, or none: then a free one is chosen')


class WhatIf:
    """
    Holds a recorded conversation again with the agent of `settings`.

    `parameters` adds parameters by node name; they win over the parameter file. The journal and
    the log of the new run are left in `folder`. With `sound` (of recorded_sound) the agent's own
    asr, which `settings` must then name, hears the person. `on_remark` is told what goes on.
    """

    def __init__(self, history: History, settings: bringup.Settings, folder: Path, *,
                 parameters: Mapping[str, Mapping[str, Any]] = {}, sound: Sequence[Any] = (),
                 on_remark: Callable[[str], None] = lambda text: None):
        self.recorded, self._sound = Run(history), sound
        self._settings, self._folder, self._on_remark = settings, folder, on_remark
        self._stop = threading.Event()
        self._parameters: Dict[str, Dict[str, Any]] = {
            node: dict(values) for node, values in parameters.items()}
        self._parameters.setdefault('dialog_manager', {}).update(
            ledger_dir=str((folder / 'journal').resolve()), resume='never')
        if not settings.params_file:
            self._parameters['dialog_manager'] = {
                **kernel_parameters(history), **self._parameters['dialog_manager']}

    def hold(self, label: str = 'what-if') -> Comparison:
        """
        Hold the conversation and compare.

        Raises SessionError or DeadlineError when the agent does not come up, WhatIfError when
        another one is there.
        """
        refuse_company(self._settings.namespace)
        remarks: List[str] = []
        with AgentSession(self._settings, self._folder / 'nodes.log',
                          parameters=self._parameters, on_remark=self._on_remark) as session:
            with _Surroundings(self._settings.namespace, self.recorded, self._sound) as around:
                self._on_remark('the agent starts ...')
                session.wait_ready()
                session.follower.wait_for(lambda view: around.known_to(view), CONNECT_S,
                                          'the recorded tools in the catalogue')
                session.follower.wait_for(lambda view: around.person.heard, CONNECT_S,
                                          'the agent listens')
                around.person.speak(self._stop, self._tell)
                if not self._settle(session.follower):
                    remarks.append('the conversation had not come to rest when it was ended')
                remarks += around.calls.remarks
        journals = list((self._folder / 'journal').glob('*.jsonl'))
        other = Run(load(journals[0])[0])
        return Comparison(self.recorded, other, label, remarks)

    def _tell(self, said) -> None:
        text = _told(said.event)
        if text:
            self._on_remark(f'{said.at_s:7.1f} s  {text}')

    def _settle(self, follower) -> bool:
        """Wait until nothing goes on any more; False when that takes too long."""
        longest_s = max((c.duration_s for c in self.recorded.calls), default=0.0)
        end_s = time.monotonic() + longest_s + LONGEST_END_S
        quiet_s = None
        while time.monotonic() < end_s:
            with follower.changed:
                follower.changed.wait(_POLL_S)
                view = follower.view
                # where nothing spoke, nobody tells that a text was heard to its end
                quiet = (view.quiet if self.recorded.voice else view.state == 'idle'
                         and not view.person_speaking) and not view.running_calls
            now_s = time.monotonic()
            quiet_s = (quiet_s or now_s) if quiet else None
            if quiet_s is not None and now_s - quiet_s >= SETTLE_S:
                return True
        return False


def _told(event) -> str:
    if type(event).__name__ == 'Audio':
        return ''    # the agent's own recogniser tells
    text = getattr(event, 'text', '')
    if type(event).__name__ == 'TranscriptUpdated' and not event.final:
        text += ' …'
    return text or type(event).__name__


class _Surroundings:
    """The recorded person, voice and tools, as nodes that a thread of this process spins."""

    def __init__(self, namespace: str, recorded: Run, sound: Sequence[Any]):
        self._namespace, self._recorded, self._sound = namespace, recorded, sound

    def __enter__(self) -> '_Surroundings':
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        from async_agent_ros.record.recorded_person import recorded_inputs, RecordedPerson
        from async_agent_ros.record.recorded_person import RecordedVoice
        from async_agent_ros.record.recorded_tools import RecordedCalls, RecordedTool
        from async_agent_ros.tools.server import ToolServer

        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.calls = RecordedCalls(self._recorded.calls)
        self.server = ToolServer(
            'recorded_tools',
            [RecordedTool(spec, self.calls) for spec in self._recorded.specs.values()],
            namespace=self._namespace)
        self.node = rclpy.create_node('recorded_person', namespace=self._namespace,
                                      enable_rosout=False)
        self.person = RecordedPerson(self.node, recorded_inputs(
            self._recorded.history, self._sound))
        self.voice = (RecordedVoice(self.node, self._recorded.voice)
                      if self._recorded.voice is not None else None)
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self.server):
            self._executor.add_node(node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, name='recorded world', daemon=True)
        self._thread.start()
        return self

    def _spin(self):
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def known_to(self, view) -> bool:
        """Tell whether the agent's catalogue holds every recorded tool."""
        known = set()
        for entry in view.ledger:
            if entry.kind == 'system' and entry.name == 'tools':
                known |= {name for name in self._recorded.specs if f'"{name}"' in entry.content}
        return known == set(self._recorded.specs)

    def __exit__(self, *exc_info) -> None:
        import rclpy
        self._stop.set()
        self._thread.join()
        for node in (self.server, self.node):
            self._executor.remove_node(node)
        self.server.shut_down()
        self.server.destroy_node()
        self.node.destroy_node()
        self._executor.shutdown()
        rclpy.try_shutdown()


def run_what_if(source: Path, settings: bringup.Settings, *, folder: Path = None,
                parameters: Mapping[str, Mapping[str, Any]] = {}, speech: bool = False,
                on_remark: Callable[[str], None] = lambda text: None) -> Comparison:
    """
    Hold the conversation of `source` again and compare; the new run is kept in `folder`, if any.

    With `speech` the recorded sound is recognised anew, by the asr among the nodes of `settings`.
    Joins no other agent: without a ROS_DOMAIN_ID it chooses one. Raises HistoryError,
    BagReadError, SessionError or DeadlineError.
    """
    history = choose(source)
    sound: Sequence[Any] = ()
    if speech:
        from async_agent_ros.record.recorded_person import recorded_sound
        sound = recorded_sound(find_bag(source))
    choose_domain(os.environ)
    label = ' '.join(filter(None, (settings.engine, settings.model))) or 'what-if'
    if folder is not None:
        folder.mkdir(parents=True)
        return WhatIf(history, settings, folder, parameters=parameters, sound=sound,
                      on_remark=on_remark).hold(label)
    made = Path(tempfile.mkdtemp(prefix='async_agent_what_if_'))
    try:
        return WhatIf(history, settings, made, parameters=parameters, sound=sound,
                      on_remark=on_remark).hold(label)
    finally:
        shutil.rmtree(made, ignore_errors=True)
