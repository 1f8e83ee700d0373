"""
The dialog_manager node: the kernel's event queue, its journal and its effects.

It is the ledger's only writer. It runs no model, touches no audio and never blocks.
"""
import heapq
import itertools
from pathlib import Path
import time
from typing import List

from rclpy.node import Node

from async_agent_ros.core import effects, events, words
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry, Ledger
from async_agent_ros.msg import AgentState, CallCommand, Interrupt, KernelEvent, LedgerEntry
from async_agent_ros.msg import Say, TurnMetrics
from async_agent_ros.nodes import convert, journal, node_base, qos
from async_agent_ros.nodes.call_orders import CallOrders
from async_agent_ros.nodes.converse_server import ConverseServer
from async_agent_ros.nodes.generate_client import GenerateClient
from async_agent_ros.nodes.kernel_parameters import declare_settings, follow_settings
from async_agent_ros.nodes.node_base import declare, now_ns, to_time
from async_agent_ros.nodes.patient import PatientPublisher
from async_agent_ros.nodes.peers import ToolServers
from async_agent_ros.nodes.senses import Senses
from async_agent_ros.nodes.timers import TimerQueue
from async_agent_ros.srv import GetLedger, ListTools
from async_agent_ros.tools.msgs import spec_to_msg

MOST_ENTRIES = 1000
"""Entries in one answer of get_ledger when the request does not say."""

MOST_CALLS_AT_ONCE = 20
"""With more running calls, AgentState is published every STATE_PERIOD_S at most."""

STATE_PERIOD_S = 0.1

_URGENT = {effects.Interrupt: 0, effects.Execute: 1, effects.CancelCall: 1, effects.Say: 1,
           effects.Generate: 1}


def _urgency(effect: effects.Effect) -> int:
    """Order the effects of a step: what somebody waits for before what is only looked at."""
    return _URGENT.get(type(effect), 2)


class DialogManager(node_base.CleanEnd, Node):
    """Feeds the kernel events in priority order and carries out its effects."""

    def __init__(self, **options):
        """Declare parameters, open or recover the ledger, and start the session."""
        super().__init__('dialog_manager', **options)
        ledger_dir = declare(self, 'ledger_dir', '', 'Directory of the ledgers; empty: '
                             '~/.local/state/async_agent_ros.', read_only=True)
        resume = declare(self, 'resume', 'auto', 'Go on with the latest session in ledger_dir: '
                         'auto (when it was not shut down in good order), never, always.',
                         choices=('auto', 'never', 'always'), read_only=True)
        sync = declare(self, 'sync', False, 'Flush every record to the device: survives a power '
                       'cut, costs milliseconds per event.', read_only=True)
        self._settings = declare_settings(self)
        self._queue: List = []
        self._order = itertools.count()
        self._index = 0
        self._turn_id = 0
        self._turn_ids = {}
        self._latest_turn = {'last_response_s': 'none', 'last_first_token_s': 'none'}
        self._state_at_s, self._state_waits = 0.0, False
        self._open_journal(Path(ledger_dir or '~/.local/state/async_agent_ros').expanduser(),
                           resume, sync)
        self._draining = False
        self._timer_queue = TimerQueue(
            self, lambda t: self.post(events.TimerFired(self._now(), timer_id=t)))
        self._servers = ToolServers(self.post, self._now, self.get_logger().warning)
        self._generate = GenerateClient(self, self._session, self.post, self._now)
        self._converse = ConverseServer(self, self.post, self._now)
        self._create_publishers()
        self._senses = Senses(self, self.post, self._now, self._servers, self._orders)
        self.create_service(GetLedger, 'get_ledger', self._on_get_ledger)
        self.create_service(ListTools, 'list_tools', self._on_list_tools)
        self._housekeeping = self.create_timer(0.5, self._keep_house)
        self._state_timer = self.create_timer(STATE_PERIOD_S, self._on_state_timer)
        self._state_timer.cancel()
        self._diagnostics = node_base.Diagnostics(self, self._status)
        self.post(events.Started(self._now(), session=self._session,
                                 settings=self._settings.to_json()))
        follow_settings(self, lambda settings: self.post(events.SettingsChanged(
            self._now(), settings=settings.to_json())))
        # There is no executor yet that could take it.
        self._beginning = self.create_timer(0.0, self._begin)

    def _now(self) -> int:
        return now_ns(self)

    # -- start and end ----------------------------------------------------------------------------
    def _begin(self) -> None:
        self.destroy_timer(self._beginning)
        self._drain()

    def _open_journal(self, directory: Path, resume: str, sync: bool) -> None:
        last = journal.latest(directory) if resume != 'never' else None
        ledger = Ledger()
        if last and (resume == 'always' or journal.unfinished(last)):
            ledger, self._index = journal.recover(last)
            self._session, path = journal.session_of(last), last
            self.get_logger().info(
                f'session {self._session} goes on with {len(ledger)} entries from {path}')
        else:
            self._session = time.strftime('%Y%m%d-%H%M%S') + f'-{time.time_ns() % 1000000:06d}'
            path = directory / f'{self._session}{journal.SUFFIX}'
        self._journal = journal.Journal(path, self._session, sync=sync)
        self._kernel = Kernel(ledger)
        if not self._index:
            self.get_logger().info(f'session {self._session}, ledger in {path}')

    def shut_down(self) -> None:
        """End the session in good order; called once, after the last callback."""
        self.post(events.Stopping(self._now()))
        self._drain()
        self._journal.close()

    # -- endpoints --------------------------------------------------------------------------------
    def _create_publishers(self) -> None:
        def publisher(kind, topic, profile):
            return self.create_publisher(kind, topic, profile,
                                         qos_overriding_options=qos.OVERRIDABLE)

        self._ledger_pub = publisher(LedgerEntry, 'ledger', qos.LEDGER)
        self._state_pub = publisher(AgentState, 'state', qos.STATE)
        self._interrupt_pub = publisher(Interrupt, 'interrupt', qos.COMMAND)
        self._say_pub = PatientPublisher(self, publisher(Say, 'say', qos.COMMAND), reader='tts')
        self._orders = CallOrders(
            self, publisher(CallCommand, 'call_command', qos.COMMAND).publish,
            lost=lambda call_id: self.post(events.CallEnded(
                self._now(), call_id=call_id, status=str(words.Status.LOST),
                error_code=words.Error.LOST,
                error_msg='the dispatcher does not answer orders; see its log')))
        self._metrics_pub = publisher(TurnMetrics, 'metrics', qos.EVENT)
        self._event_pub = publisher(KernelEvent, 'kernel_events', qos.RECORD)

    # -- the kernel -------------------------------------------------------------------------------
    def post(self, event: events.Event) -> None:
        """Queue an event; the kernel takes the highest priority first, then the oldest."""
        heapq.heappush(self._queue, (event.PRIORITY, next(self._order), event))
        if not self._draining and self.executor is not None:
            # A task comes after what already waits: all of that is queued by priority first.
            self._draining = True
            self.executor.create_task(self._drain)

    def _drain(self) -> None:
        self._draining = False
        while self._queue:
            self._step(heapq.heappop(self._queue)[2])

    def _step(self, event: events.Event) -> None:
        out = self._kernel.step(event)
        entries = [e.entry for e in out if isinstance(e, effects.Append)]
        # Write ahead: nothing of this step is seen or done before it stands on the disk.
        durable = self._journal.write(self._index, event, entries)
        for effect in sorted(out, key=_urgency):
            self._carry_out(effect, durable)
        # Recorders come last: publishing can cost milliseconds where the reader takes the core.
        self._event_pub.publish(convert.event_to_msg(event, self._session, self._index, entries))
        self._index += 1
        self._note_storage(durable)

    def _note_storage(self, durable: bool) -> None:
        if durable == self._kernel.state.storage_ok or not self._kernel.state.running:
            return
        message = 'the ledger is written to disk again' if durable else self._journal.error
        self.get_logger().error(message) if not durable else self.get_logger().info(message)
        self.post(events.StorageChanged(self._now(), writable=durable, message=message))

    def _carry_out(self, effect: effects.Effect, durable: bool) -> None:
        if isinstance(effect, effects.Append):
            self._publish_entry(effect.entry)
        elif isinstance(effect, effects.Execute):
            self._execute(effect, durable)
        elif isinstance(effect, effects.Say):
            self._say_pub.publish(Say(
                segment_id=effect.segment_id, generation_id=effect.generation_id,
                epoch=effect.epoch, text=effect.text, interruptible=effect.interruptible,
                stamp=to_time(self._now())))
        elif isinstance(effect, effects.Prepare):
            self._say_pub.publish(Say(epoch=effect.epoch, text=effect.text, prepare=True,
                                      stamp=to_time(self._now())))
        elif isinstance(effect, effects.Interrupt):
            if effect.action == Interrupt.ACTION_STOP:
                self._say_pub.discard(lambda say: say.epoch < effect.epoch)
            self._interrupt_pub.publish(Interrupt(
                stamp=to_time(self._now()), epoch=effect.epoch, action=effect.action,
                scope=str(effect.scope), reason=effect.reason))
        elif isinstance(effect, effects.Generate):
            self._generate.start(effect)
        elif isinstance(effect, effects.AbortGeneration):
            self._generate.abort(effect.generation_id)
        elif isinstance(effect, effects.SetTimer):
            self._timer_queue.set(effect.timer_id, effect.at_ns)
        elif isinstance(effect, effects.ClearTimer):
            self._timer_queue.clear(effect.timer_id)
        elif isinstance(effect, effects.StateChanged):
            self._publish_state()
        elif isinstance(effect, effects.CancelCall):
            self._orders.send(CallCommand(
                command=CallCommand.CANCEL, session=self._session, call_id=effect.call_id,
                commit_seq=effect.retract_seq, stamp=to_time(self._now())))
        elif isinstance(effect, effects.FindCall):
            self._orders.send(CallCommand(
                command=CallCommand.FIND, session=self._session, call_id=effect.call_id,
                instance=effect.instance, name=effect.spec.name,
                action_name=effect.spec.action_name, commit_seq=effect.commit_seq,
                stamp=to_time(self._now())))
        elif isinstance(effect, effects.TurnMeasured):
            self._report_turn(effect)
        elif isinstance(effect, effects.TurnEnded):
            self._converse.on_turn_ended(effect)
        elif isinstance(effect, effects.Ignored):
            self.get_logger().debug(f'ignored: {effect.reason} {" ".join(effect.details)}')
        else:
            raise TypeError(f'effect {effect!r} is not carried out by anyone')

    def _publish_state(self) -> None:
        # With hundreds of calls the message is long: then it comes at most ten times a second.
        now_s = time.monotonic()
        crowd = len(self._kernel.state.calls) > MOST_CALLS_AT_ONCE
        self._state_waits = crowd and now_s - self._state_at_s < STATE_PERIOD_S
        if self._state_waits:
            self._state_timer.reset()
            return
        self._state_at_s = now_s
        self._state_pub.publish(convert.state_to_msg(self._kernel.state, to_time(self._now())))

    def _on_state_timer(self) -> None:
        self._state_timer.cancel()
        if self._state_waits:
            self._publish_state()

    def _publish_entry(self, entry: Entry) -> None:
        message = convert.entry_to_msg(entry, self._session)
        self._ledger_pub.publish(message)
        self._converse.on_entry(message, self._first_seq_of)

    def _first_seq_of(self, request_id: str) -> int:
        turn = self._kernel.state.turns.get(request_id)
        return turn.first_seq if turn else -1

    def _execute(self, effect: effects.Execute, durable: bool) -> None:
        if not durable and effect.spec.effect != words.Effect.READ_ONLY:
            self.post(events.CallEnded(
                self._now(), call_id=effect.call_id, status='failed',
                error_code=words.Error.LEDGER_UNAVAILABLE,
                error_msg=f'not executed: {self._journal.error}'))
            return
        self._orders.send(
            convert.execute_to_msg(effect, self._session, to_time(self._now())))

    def _report_turn(self, effect: effects.TurnMeasured) -> None:
        turn_id = self._turn_ids.get(effect.generation_id)
        if turn_id is None:
            self._turn_id += 1
            turn_id = self._turn_ids[effect.generation_id] = self._turn_id
        if effect.complete:
            del self._turn_ids[effect.generation_id]
        message = convert.metrics_to_msg(effect, turn_id, to_time(self._now()))
        self._metrics_pub.publish(message)
        for key, value in (('last_response_s', message.response_s),
                           ('last_first_token_s', message.first_token_s)):
            if value >= 0.0:
                self._latest_turn[key] = f'{value:.3f}'

    # -- services and housekeeping ----------------------------------------------------------------
    def _on_get_ledger(self, request, response):
        ledger = self._kernel.state.ledger
        response.next_seq, response.session = ledger.next_seq, self._session
        if request.from_seq > ledger.next_seq:
            response.error_code = GetLedger.Response.ERROR_BEYOND_END
            response.error_msg = (f'from_seq {request.from_seq} is beyond the end: '
                                  f'the next entry gets seq {ledger.next_seq}')
            return response
        end = request.from_seq + (request.max_entries or MOST_ENTRIES)
        response.entries = [convert.entry_to_msg(e, self._session)
                            for e in ledger[request.from_seq:end]]
        return response

    def _on_list_tools(self, request, response):
        state = self._kernel.state
        names = sorted(n for n in state.catalogue if request.name in ('', n))
        if request.name and not names:
            response.error_code = ListTools.Response.ERROR_UNKNOWN_TOOL
            response.error_msg = (f'there is no tool {request.name!r}; the tools are: '
                                  f'{", ".join(sorted(state.catalogue)) or "none"}')
        response.tools = [spec_to_msg(state.catalogue[n]) for n in names]
        response.servers = [state.server_of[n] for n in names]
        return response

    def _keep_house(self) -> None:
        self._servers.expect(set(self._kernel.state.server_of.values()))
        self._servers.check()
        self._senses.check()
        self._generate.look_after()
        if self._journal.waiting:
            self._note_storage(self._journal.flush())

    def _status(self):
        state = self._kernel.state
        values = {'session': self._session, 'state': str(state.phase), 'epoch': state.epoch,
                  'ledger entries': len(state.ledger), 'queue': len(self._queue),
                  'running calls': len(state.calls), 'tools': len(state.catalogue),
                  'tool servers': ', '.join(self._servers.alive) or 'none',
                  'journal': str(self._journal.path), **self._latest_turn}
        if not state.storage_ok:
            return node_base.ERROR, self._journal.error or 'the ledger waits for the disk', values
        return node_base.OK, str(state.phase), values


def main(args=None):
    """Run the node."""
    node_base.run_node(DialogManager, args)


if __name__ == '__main__':
    main()
