"""Feedback of an action, all of it: rclpy's own client drops what comes after the result."""
from typing import Any, Callable

from async_agent_ros.nodes import qos


def subscribe_feedback(node, action_type, action_name: str, callback: Callable[[Any], None],
                       profile=qos.EVENT):
    """
    Call back with every feedback message of an action, of all goals and clients; return the reader.

    `rclpy.action.ActionClient` forgets a goal's feedback callback once the goal's result is there.
    Feedback and result come by different routes, so the last feedback of a fast goal is lost now
    and then. This reads the feedback topic itself; tell goals apart by what is in the message.
    """
    return node.create_subscription(
        action_type.Impl.FeedbackMessage, f'{action_name}/_action/feedback',
        lambda message: callback(message.feedback), profile)
