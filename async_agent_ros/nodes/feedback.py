"""Feedback of an action, all of it: rclpy's own client drops what comes after the result."""
from typing import Any, Callable

from rclpy.action import ActionClient

from async_agent_ros.nodes import qos


class FeedbackClient(ActionClient):
    """
    An action client that calls back with every feedback message, of all goals and clients.

    `rclpy.action.ActionClient` forgets a goal's feedback callback once the goal's result is there.
    Feedback and result come by different routes, so the last feedback of a fast goal would be lost
    now and then. Tell goals apart by what is in the message.
    """

    def __init__(self, node, action_type, action_name: str, on_feedback: Callable[[Any], None]):
        super().__init__(node, action_type, action_name, feedback_sub_qos_profile=qos.EVENT)
        self._on_feedback = on_feedback

    async def execute(self, taken_data):
        """Hand over what was taken, feedback first."""
        message = taken_data.pop('feedback', None)
        if message is not None:
            self._on_feedback(message.feedback)
        await super().execute(taken_data)
