"""Publishing on a topic of the ROS graph as a tool."""
import asyncio
import time
from typing import Any, Dict, NamedTuple

from std_msgs.msg import Empty, Header

from async_agent_ros.core.words import Error
from async_agent_ros.tools.bridge.options import OptionError
from async_agent_ros.tools.bridge.quality import key, QUIET_PUBLISHER, to_publish
from async_agent_ros.tools.bridge.tool import BridgedTool
from async_agent_ros.tools.bridge.values import FieldError
from async_agent_ros.tools.context import InvalidArguments, ToolCancelled, ToolError
from async_agent_ros.tools.discovery import FOUND_WITHIN_S

RATE_HZ = 10.0
DURATION = 'duration_s'


class _Order(NamedTuple):
    message: Any
    duration_s: float


class PublishTool(BridgedTool):
    """
    Publishes a message, once, some times, or for a while at a rate; then perhaps a zero message.

    It waits for subscribers before it begins, and says when there are none: a message that nobody
    hears moves nothing. The zero message comes also after a cancel and a failure.
    """

    def __init__(self, entry, message_class, surroundings):
        self._message_class = message_class
        options = entry.publish
        self._count = options.get('count', 0)
        self._rate_hz = options.get('rate_hz', RATE_HZ)
        self._zero = options.get('zero_at_end', False)
        self._wait_s = options.get('wait_s', FOUND_WITHIN_S)
        self._subscribers = options.get('subscribers', 1)
        self._duration = _duration(options.get('duration_s', 0.0))
        if self._rate_hz <= 0.0:
            raise OptionError('publish.rate_hz must be above 0')
        if self._count and self._duration:
            raise OptionError('publish: give count or duration_s, not both')
        super().__init__(entry, message_class, Empty, surroundings)
        if DURATION in dict(self.arguments.entries()) and self._asks_duration:
            raise OptionError(f'publish.duration_s: the message has a field {DURATION} too; '
                              'rename it')
        self._publisher, self._key = None, None

    @property
    def _asks_duration(self):
        return self._duration.get('fixed') is None and bool(self._duration)

    def derived_description(self):
        """Return a description where the file has none."""
        return f'Publish on the {self.entry.what}.'

    def arguments_schema(self):
        schema = super().arguments_schema()
        if self._asks_duration:
            bounds = {'type': 'number', 'minimum': 0, 'description': 'how long, in seconds',
                      **{k: v for k, v in self._duration.items()
                         if k in ('default', 'maximum')}}
            schema['properties'] = {**schema['properties'], DURATION: bounds}
            if 'default' not in self._duration:
                schema['required'] = [*schema.get('required', ()), DURATION]
        return schema

    def message_of(self, arguments: Dict[str, Any]) -> Any:
        """Return message and duration."""
        arguments = dict(arguments)
        duration_s = self._duration.get('fixed', self._duration.get('default', 0.0))
        if self._asks_duration and DURATION in arguments:
            duration_s = arguments.pop(DURATION)
        elif self._asks_duration and 'default' not in self._duration:
            raise InvalidArguments(f'{DURATION}: is required')
        if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)) \
                or not 0.0 <= duration_s <= self._duration.get('maximum', 1e9):
            maximum = self._duration.get('maximum')
            raise InvalidArguments(f'{DURATION}: must be a number of seconds, 0 to '
                                   f'{maximum:g}' if maximum else f'{DURATION}: must be seconds')
        try:
            message = self.arguments.to_ros(arguments, '', self._surroundings)
        except FieldError as error:
            raise InvalidArguments(str(error)) from None
        return _Order(message, float(duration_s))

    def open(self, node, handover):
        self._node, self._handover = node, handover
        self._fit()

    def _fit(self) -> int:
        """Make the publisher fit the subscriptions; return how many hear it."""
        infos = self._node.get_subscriptions_info_by_topic(self.entry.graph_name)
        qos = to_publish([i.qos_profile for i in infos], self.entry.qos)
        if self._key != key(qos):
            if self._publisher is not None:
                self._node.destroy_publisher(self._publisher)
            self._publisher = self._node.create_publisher(
                self._message_class, self.entry.graph_name, qos,
                event_callbacks=QUIET_PUBLISHER)
            self._key = key(qos)
        return self._publisher.get_subscription_count()

    async def call(self, order, context):
        await self._wait_for_subscribers()
        count = self._count or 1
        if order.duration_s:
            count = max(1, round(order.duration_s * self._rate_hz))
        sent = 0
        began_s = context.clock.now_s()
        try:
            for sent in range(1, count + 1):
                await self._handover.run(lambda: self._publish(order.message))
                if order.duration_s:
                    context.report(sent / count, f'{order.duration_s - sent / self._rate_hz:.1f} '
                                   's left' if sent % max(1, round(self._rate_hz)) == 0 else '')
                if sent < count or order.duration_s:
                    # from the beginning on, so that delays do not add up
                    due_s = began_s + sent / self._rate_hz
                    await context.sleep(max(0.0, due_s - context.clock.now_s()))
        except (asyncio.CancelledError, ToolCancelled):
            raise ToolCancelled('cancelled on request' + (', stopped' if self._zero else ''),
                                {'published': sent}) from None
        finally:
            if self._zero and sent:
                self._handover.post(lambda: self._publish(self._zero_like(order.message)))
        return {'published': sent}

    def _publish(self, message):
        if isinstance(getattr(message, 'header', None), Header):
            message.header.stamp = self._surroundings.now()    # controllers ignore old orders
        self._publisher.publish(message)

    def _zero_like(self, message):
        zero = self._message_class()
        if isinstance(getattr(message, 'header', None), Header):
            zero.header.frame_id = message.header.frame_id
        return zero

    async def _wait_for_subscribers(self):
        if not self._subscribers:
            return
        until_s = time.monotonic() + self._wait_s
        while True:
            hearing = await self._handover.run(self._fit)
            if hearing >= self._subscribers:
                return
            if time.monotonic() > until_s:
                break
            await asyncio.sleep(0.05)
        name = self.entry.graph_name
        there = await self._handover.run(
            lambda: self._node.get_subscriptions_info_by_topic(name))
        if len(there) > hearing:
            raise ToolError(
                f'{len(there)} subscribe to {name}, but {hearing} of them can hear this type and '
                'quality of service', Error.SERVER_UNAVAILABLE)
        raise ToolError(f'nobody subscribes to {name}: is its node running?' if not hearing else
                        f'only {hearing} of {self._subscribers} subscribe to {name}',
                        Error.SERVER_UNAVAILABLE)


def _duration(given) -> Dict[str, float]:
    """Return 'fixed', or 'default' and 'maximum' of an argument, from the file's duration_s."""
    if not isinstance(given, dict):
        return {'fixed': given} if given else {}
    for name, value in given.items():
        if name not in ('default', 'maximum') or isinstance(value, bool) \
                or not isinstance(value, (int, float)) or value < 0:
            raise OptionError('publish.duration_s is a number of seconds, or a table with '
                              'default and maximum, to make it an argument')
    return dict(given) or {'maximum': 10.0}
