"""An action of the ROS graph as a tool."""
import asyncio
import time
from types import SimpleNamespace
from typing import Any
import uuid

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from builtin_interfaces.msg import Time
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from unique_identifier_msgs.msg import UUID

from async_agent_ros.core.words import Error
from async_agent_ros.tools.bridge.feedback import FeedbackText
from async_agent_ros.tools.bridge.handover import call_in
from async_agent_ros.tools.bridge.tool import BridgedTool, reason_in
from async_agent_ros.tools.msgs import SERVICES
from async_agent_ros.tools.context import ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.discovery import FOUND_WITHIN_S

ANSWER_WAIT_S = 2.0
"""Patience with the answer to a goal; then the server is asked whether it has it."""

GOAL_ATTEMPTS = 3
SENT_AT_ONCE = 4
"""Goals of one tool that wait for their answer."""

ASK_AGAIN_S = 2.0
"""After so long, then twice as long and so on, the result is asked for again."""

LOOK_S = 0.5
"""Period of the looks at whether the server is still there."""

VANISH_S = 2.5
"""A server that is gone for so long while a call runs is lost."""

FEEDBACK_PERIOD_S = 0.1


class ActionTool(BridgedTool):
    """
    Sends goals to an action server that knows nothing of this project.

    Its terminal status of the goal wins over any cancel, and a cancel is remembered until there
    is a goal to cancel.
    """

    def __init__(self, entry, action_class, surroundings):
        self._action_class = action_class
        super().__init__(entry, action_class.Goal, action_class.Result, surroundings)
        self._feedback = FeedbackText(action_class.Feedback, entry.feedback)

    def open(self, node, handover):
        self._node, self._handover = node, handover
        # deep queues here, and few goals at once there: foreign servers have the default of 10
        self._client = ActionClient(
            node, self._action_class, self.entry.graph_name, goal_service_qos_profile=SERVICES,
            result_service_qos_profile=SERVICES, cancel_service_qos_profile=SERVICES)
        self.sending = asyncio.Semaphore(SENT_AT_ONCE)

    def look(self):
        return '' if self._client.server_is_ready() else f'no server of {self.entry.what}'

    async def call(self, message, context):
        return await _Goal(self, message, context).run()


class _Goal:
    """One call: a task of its own, so that a cancel interrupts nothing half done."""

    def __init__(self, tool: ActionTool, message: Any, context: ToolContext):
        self._name = tool.entry.graph_name
        self._success = tool.entry.success
        self._tool, self._message, self._context = tool, message, context
        self._client, self._handover = tool._client, tool._handover
        self._cancelled = asyncio.Event()
        self._goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        self._answers = []
        self._known = False    # the server has accepted it
        self._progress = _Progress(tool._feedback, context)

    async def run(self) -> Any:
        life = asyncio.ensure_future(self._live())
        while True:
            try:
                return await asyncio.shield(life)
            except asyncio.CancelledError:
                self._cancelled.set()

    async def _live(self):
        await self._wait_for_server()
        try:
            for _ in range(GOAL_ATTEMPTS):
                async with self._tool.sending:
                    if self._cancelled.is_set():
                        raise ToolCancelled('cancelled before it began')
                    handle = await self._send()
                if not handle.accepted:
                    raise ToolError(f'{self._name} refused the goal', Error.REJECTED)
                response = await self._follow(handle)
                # feedback says that it ran, also where the answer to the goal got lost
                ran = self._known or self._progress.heard
                if response.status != GoalStatus.STATUS_UNKNOWN or ran:
                    return self._outcome(response)
            raise ToolError(f'{self._name} does not answer goals', Error.LOST)
        finally:
            for answer in self._answers:
                answer.add_done_callback(self._disown)

    async def _follow(self, handle):
        """Wait for the result of the goal, and cancel it when that is wanted."""
        stop = asyncio.ensure_future(self._cancel_when_asked(handle))
        try:
            return await self._result(handle)
        finally:
            stop.cancel()
            self._progress.close()

    async def _wait_for_server(self):
        until_s = time.monotonic() + FOUND_WITHIN_S
        while not await self._handover.run(self._client.server_is_ready):
            if time.monotonic() > until_s:
                raise ToolError(f'no action server answers on {self._name}: is its node running, '
                                'and active?', Error.SERVER_UNAVAILABLE)
            await _within(0.1, self._cancelled.wait())
            if self._cancelled.is_set():
                return

    async def _send(self):
        """
        Return the handle of the goal.

        The answer of a server that was only just found, or that is busy, may get lost: then the
        goal may run or not. It is taken to run; if the server does not know it, it is sent again,
        under the same id, so that it never runs twice.
        """
        loop = asyncio.get_running_loop()
        answer = asyncio.ensure_future(self._handover.wait_for(
            lambda: self._client.send_goal_async(
                self._message, feedback_callback=self._progress.receiver(loop),
                goal_uuid=self._goal_id)))
        self._answers.append(answer)
        await asyncio.wait(self._answers, timeout=ANSWER_WAIT_S,
                           return_when=asyncio.FIRST_COMPLETED)
        answered = [a.result() for a in self._answers if a.done()]
        for handle in answered:
            if handle.accepted:
                self._known = True
                return handle
        if answered and len(self._answers) == 1:
            return answered[0]
        # a repeated goal is refused also when the first one arrived after all
        return ClientGoalHandle(self._client, self._goal_id,
                                SimpleNamespace(accepted=True, stamp=Time()))

    def _disown(self, answer):
        """Cancel a goal that is accepted when nobody waits for it any more."""
        if answer.cancelled() or answer.exception() is not None or self._known:
            return
        if answer.result().accepted:
            self._handover.post(answer.result().cancel_goal_async)

    async def _result(self, handle):
        """Return the response; asks again, since answers get lost where servers are new."""
        asked = []
        watch = asyncio.ensure_future(self._watch())
        wait_s, growth = ASK_AGAIN_S, 2
        try:
            while True:
                asked.append(asyncio.ensure_future(
                    self._handover.wait_for(handle.get_result_async)))
                await asyncio.wait({*asked, watch}, timeout=wait_s,
                                   return_when=asyncio.FIRST_COMPLETED)
                for answer in asked:
                    if answer.done():
                        return answer.result()
                wait_s = min(growth * wait_s, 16 * ASK_AGAIN_S)
                if watch.done():
                    watch.result()    # raises when there is no server any more
                    watch = asyncio.ensure_future(self._watch())
                    # It does not know the goal, and says so at once.
                    wait_s, growth = ASK_AGAIN_S, 1
        finally:
            for task in (*asked, watch):
                task.cancel()

    async def _watch(self):
        """Return when there is another server; raises ToolError when there is none."""
        before, gone_s = await self._servers(), None
        while True:
            await asyncio.sleep(LOOK_S)
            now = await self._servers()
            if not now:
                gone_s = gone_s or time.monotonic()
                if time.monotonic() - gone_s > VANISH_S:
                    raise ToolError(f'the action server {self._name} vanished while the goal ran; '
                                    'what became of it is unknown', Error.LOST)
            elif now - before:    # a killed one may stay on the graph beside its successor
                return
            else:
                gone_s = None

    async def _servers(self):
        """Return what identifies the processes that serve the action."""
        topic = f'{self._name}/_action/status'
        infos = await self._handover.run(
            lambda: self._tool._node.get_publishers_info_by_topic(topic))
        return {bytes(info.endpoint_gid) for info in infos}

    async def _cancel_when_asked(self, handle):
        await self._cancelled.wait()
        while True:
            answer = await self._handover.wait_for(handle.cancel_goal_async)
            if answer.return_code in (CancelGoal.Response.ERROR_NONE,
                                      CancelGoal.Response.ERROR_GOAL_TERMINATED):
                return    # the result is on its way, whatever it is
            self._context.report(text=f'{self._name} refuses to stop')
            await asyncio.sleep(1.0)

    def _outcome(self, response):
        name, status = self._name, response.status
        if status == GoalStatus.STATUS_UNKNOWN:
            raise ToolError(f'{name} does not know the goal any more: its server was restarted; '
                            'what became of it is unknown', Error.LOST)
        result = self._tool.result.to_json(response.result)
        reason = reason_in(result)
        if status == GoalStatus.STATUS_CANCELED:
            asked = self._cancelled.is_set()
            raise ToolCancelled(self._context.cancel_reason if asked else
                                f'{name} was cancelled by its server or by somebody else'
                                + (f': {reason}' if reason else ''), result)
        if status != GoalStatus.STATUS_SUCCEEDED:
            raise ToolError(f'{name} was aborted by its server' + (f': {reason}' if reason
                                                                   else ''), result=result)
        if self._success and getattr(response.result, self._success, None) is False:
            raise ToolError(reason or f'{name} reports a failure', result=result)
        return result


class _Progress:
    """Takes feedback in the executor's thread and reports it from the loop, thinned out."""

    def __init__(self, text: FeedbackText, context: ToolContext):
        self._text, self._context = text, context
        self.heard = False
        """Whether there was any."""
        self._latest = None
        self._timer = None
        self._reported_s = float('-inf')

    def receiver(self, loop):
        def receive(message):
            self.heard = True
            first, self._latest = self._latest is None, message.feedback
            if first:    # else the loop was told, and has not looked yet
                call_in(loop, self._arrange, loop)
        return receive

    def _arrange(self, loop):
        wait_s = self._reported_s + FEEDBACK_PERIOD_S - time.monotonic()
        if wait_s > 0:
            self._timer = loop.call_later(wait_s, self._report)
        else:
            self._report()

    def _report(self):
        message, self._latest = self._latest, None
        self._reported_s = time.monotonic()
        if message is not None:
            progress, text = self._text.of(message)
            self._context.report(progress, text)

    def close(self):
        if self._timer is not None:
            self._timer.cancel()
        self._report()    # the last of it is not lost


async def _within(timeout_s, awaitable):
    """Return what comes within the time, else None."""
    task = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    task.cancel()
    return task.result() if done else None
