"""Topics of the ROS graph as tools: the latest message, the next one."""
import asyncio
import time

from std_msgs.msg import Empty

from async_agent_ros.core.words import Error
from async_agent_ros.tools.bridge.handover import call_in
from async_agent_ros.tools.bridge.listener import Listener
from async_agent_ros.tools.bridge.tool import BridgedTool
from async_agent_ros.tools.context import ToolError

LOOK_S = 0.2
"""Period of the looks for a publisher while a call waits."""


class ListenTool(BridgedTool):
    """
    Tells a message of a topic, with its age in seconds.

    Mode latest: what came last, or the first that comes within `timeout_s`. Mode next: the first
    that is published after the call began.
    """

    patience_s = 1.0

    def __init__(self, entry, message_class, surroundings):
        self._message_class = message_class
        super().__init__(entry, Empty, message_class, surroundings)
        self._always = (entry.subscribe or
                        ('always' if entry.mode == 'latest' else 'on_call')) == 'always'
        self._callers = 0

    def derived_description(self):
        """Return a description where the file has none."""
        word = 'latest' if self.entry.mode == 'latest' else 'next'
        return f'Get the {word} message of the {self.entry.what}.'

    def open(self, node, handover):
        self._handover = handover
        self._listener = Listener(node, self._message_class, self.entry.graph_name,
                                  self.entry.qos)
        if self._always:
            self._listener.look()

    def look(self):
        if self._always or self._callers:
            self._listener.look()
            return '' if self._listener.publishers else f'no publisher of {self.entry.what}'
        return ''

    async def call(self, message, context):
        self._callers += 1
        try:
            received = await self._received(time.time_ns())
        finally:
            self._callers -= 1
            if not self._always and not self._callers:
                self._handover.post(self._close)
        age_s = round(received.age_s, 2)
        if self.entry.max_age_s and age_s > self.entry.max_age_s:
            raise ToolError(f'the last message of {self.entry.graph_name} is {age_s:g} s old, '
                            f'older than {self.entry.max_age_s:g} s: its publisher is silent')
        value = self.result.to_json(received.message())
        return {**value, ('message_age_s' if 'age_s' in value else 'age_s'): age_s}

    def _close(self):
        if not self._callers:
            self._listener.close()
            self._listener.latest = None

    async def _received(self, called_ns):
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        wants_next = self.entry.mode == 'next'

        def tell(received):
            # what was published before the call and comes only now is not the next one
            if wants_next and received.sent_ns < called_ns:
                self._listener.on_next(tell)
                return
            call_in(loop, lambda: heard.done() or heard.set_result(received))

        def begin():
            self._listener.look()
            if not wants_next and self._listener.latest is not None:
                tell(self._listener.latest)
            else:
                self._listener.on_next(tell)

        await self._handover.run(begin)
        limit_s = self.entry.timeout_s
        began_s = time.monotonic()
        try:
            while True:
                await asyncio.wait({heard}, timeout=LOOK_S)
                if heard.done():
                    return heard.result()
                await self._handover.run(self._listener.look)
                if limit_s and time.monotonic() - began_s >= limit_s:
                    raise self._nothing(limit_s)
        finally:
            self._handover.post(lambda: self._listener.forget(tell))

    def _nothing(self, limit_s):
        name = self.entry.graph_name
        if self._listener.publishers:
            return ToolError(f'nothing was published on {name} within {limit_s:g} s',
                             Error.TIMEOUT)
        if self._listener.others:
            return ToolError(f'{name} is published as {" and ".join(self._listener.others)}, '
                             "not as the bridge's file says; correct type:",
                             Error.SERVER_UNAVAILABLE)
        return ToolError(f'nobody publishes {name}: is its node running?',
                         Error.SERVER_UNAVAILABLE)
