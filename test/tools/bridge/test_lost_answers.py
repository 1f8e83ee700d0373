"""The answer to a goal gets lost, as it does where a server was only just found."""
import asyncio
from types import SimpleNamespace

from action_msgs.msg import GoalStatus
from async_agent_ros.core.words import Error
from async_agent_ros.tools.bridge import action_tool
from async_agent_ros.tools.context import ToolError
import pytest


class Handover:
    """Does in the loop what the bridge has done in the executor."""

    async def run(self, what):
        return what()

    async def wait_for(self, what):
        return await what()

    def post(self, what):
        what()


class Server:
    """Takes goals without a word; the process that is asked for results knows none."""

    def __init__(self, feedback):
        self.goals, self._feedback = 0, feedback

    def server_is_ready(self):
        return True

    async def send_goal_async(self, message, *, feedback_callback, goal_uuid):
        self.goals += 1
        if self._feedback:
            feedback_callback(SimpleNamespace(feedback='half way'))
        await asyncio.Event().wait()

    async def _get_result_async(self, handle):
        return SimpleNamespace(status=GoalStatus.STATUS_UNKNOWN)

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(endpoint_gid=b'one')]


@pytest.mark.parametrize('feedback', (True, False))
def test_a_goal_that_gave_feedback_is_never_sent_again(monkeypatch, feedback):
    monkeypatch.setattr(action_tool, 'ANSWER_WAIT_S', 0.05)
    server = Server(feedback)
    handle = SimpleNamespace(accepted=True, get_result_async=lambda: server._get_result_async(0),
                             cancel_goal_async=None)
    monkeypatch.setattr(action_tool, 'ClientGoalHandle', lambda *args: handle)
    context = SimpleNamespace(report=lambda *fields: None, cancel_reason='')

    async def call():
        tool = SimpleNamespace(
            entry=SimpleNamespace(graph_name='/walk', success=''), _client=server, _node=server,
            _handover=Handover(), _feedback=SimpleNamespace(of=lambda message: (-1.0, message)),
            result=SimpleNamespace(to_json=lambda result: {}), sending=asyncio.Semaphore(1))
        await action_tool._Goal(tool, None, context).run()
    with pytest.raises(ToolError) as raised:
        asyncio.run(call())
    assert raised.value.error_code == Error.LOST
    assert server.goals == (1 if feedback else action_tool.GOAL_ATTEMPTS)
