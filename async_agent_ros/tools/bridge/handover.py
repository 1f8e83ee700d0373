"""Between the asyncio loop of the calls and the executor's thread of the node."""
import asyncio
import queue
from typing import Any, Callable

from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy


class Handover:
    """
    Runs functions in the executor's thread, for coroutines that wait for them.

    rclpy's clients note a request after they have sent it, so that a response that comes in
    between is lost when another thread sends: all of rclpy is used from the executor's thread.
    """

    def __init__(self, node):
        self._inbox: 'queue.SimpleQueue' = queue.SimpleQueue()
        self._ready = node.create_guard_condition(self._work)
        self._log = node.get_logger().error

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns in the executor's thread, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def work():
            try:
                value, error = function(), None
            except Exception as raised:
                value, error = None, raised
            _settle(loop, future, value, error)
        self._post(work)
        return await future

    async def wait_for(self, request: Callable[[], Any]) -> Any:
        """Return the result of the rclpy future that the request returns."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def work():
            try:
                ros_future = request()
            except Exception as error:
                _settle(loop, future, None, error)
                return
            ros_future.add_done_callback(done)

        def done(ros_future):
            error = ros_future.exception()
            _settle(loop, future, None if error else ros_future.result(), error)
        self._post(work)
        return await future

    def post(self, function: Callable[[], Any]) -> None:
        """Run the function in the executor's thread without waiting for it."""
        self._post(function)

    def _post(self, work):
        self._inbox.put(work)
        try:
            self._ready.trigger()
        except _rclpy.InvalidHandle:
            pass    # the node is gone; nobody waits any longer either

    def _work(self):
        while True:
            try:
                work = self._inbox.get_nowait()
            except queue.Empty:
                return
            try:
                work()
            except Exception as error:    # it would end the executor, and with it every tool
                self._log(f'{error!r}')


def _settle(loop, future, value, error):
    def settle():
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)
    call_in(loop, settle)


def call_in(loop, function, *arguments) -> None:
    """Call in the loop's thread; nothing happens when the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        pass
