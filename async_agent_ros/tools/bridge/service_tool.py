"""A service of the ROS graph as a tool."""
import asyncio
import time

from async_agent_ros.core.words import Error
from async_agent_ros.tools.bridge.tool import BridgedTool, reason_in
from async_agent_ros.tools.msgs import SERVICES
from async_agent_ros.tools.context import ToolCancelled, ToolError
from async_agent_ros.tools.discovery import FOUND_WITHIN_S

SENT_AT_ONCE = 8
"""Requests that wait for their response: a service drops what exceeds its queue, usually 10."""

LOOK_S = 0.5
VANISH_S = 2.5


class ServiceTool(BridgedTool):
    """
    Calls a service and waits for its response, at most `timeout_s`.

    A service cannot be cancelled: a cancelled call ends at once, and says so. A response whose
    field `success` is false is a failure.
    """

    patience_s = FOUND_WITHIN_S + 1.0

    def __init__(self, entry, service_class, surroundings):
        self._service_class = service_class
        super().__init__(entry, service_class.Request, service_class.Response, surroundings)

    def open(self, node, handover):
        self._handover = handover
        self._client = node.create_client(self._service_class, self.entry.graph_name,
                                          qos_profile=SERVICES)
        self._sending = asyncio.Semaphore(SENT_AT_ONCE)

    def look(self):
        return '' if self._client.service_is_ready() else f'no server of {self.entry.what}'

    async def call(self, message, context):
        async with self._sending:
            return await self._call(message)

    async def _call(self, message):
        name = self.entry.graph_name
        until_s = time.monotonic() + FOUND_WITHIN_S
        while not await self._handover.run(self._client.service_is_ready):
            if time.monotonic() > until_s:
                raise ToolError(f'no server answers on the service {name}: is its node running?',
                                Error.SERVER_UNAVAILABLE)
            await asyncio.sleep(0.1)
        sent = []

        def send():
            sent.append(self._client.call_async(message))
            return sent[0]

        asking = asyncio.ensure_future(self._handover.wait_for(send))
        try:
            response = await self._response(asking, name)
        except asyncio.CancelledError:
            raise ToolCancelled('cancelled on request; a service cannot be stopped, so what '
                                f'{name} does is unknown') from None
        finally:
            asking.cancel()
            # else a response that never comes is waited for for ever
            self._handover.post(lambda: sent and self._client.remove_pending_request(sent[0]))
        result = self.result.to_json(response)
        if self.entry.success and getattr(response, self.entry.success, None) is False:
            raise ToolError(reason_in(result) or f'{name} reports a failure', result=result)
        return result

    async def _response(self, asking, name):
        limit_s = self.entry.timeout_s
        began_s, gone_s = time.monotonic(), None
        while True:
            wait_s = LOOK_S
            if limit_s:
                left_s = began_s + limit_s - time.monotonic()
                if left_s <= 0:
                    raise ToolError(f'{name} did not answer within {limit_s:g} s; what it did is '
                                    'unknown', Error.TIMEOUT)
                wait_s = min(wait_s, left_s)
            await asyncio.wait({asking}, timeout=wait_s)
            if asking.done():
                return asking.result()
            if await self._handover.run(self._client.service_is_ready):
                gone_s = None
                continue
            gone_s = gone_s or time.monotonic()
            if time.monotonic() - gone_s > VANISH_S:
                raise ToolError(f'the service {name} vanished during the call; what it did is '
                                'unknown', Error.LOST)
