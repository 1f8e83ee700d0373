"""
The running call, as a tool's function sees it: its context, its progress, and how it may end.

Knows nothing of ROS: the clock is an object with the methods of WallClock.
"""
from dataclasses import dataclass
from typing import Any, Callable, Optional

from async_agent_ros.core.words import Error
from async_agent_ros.tools.waiting import Pause, WallClock


class ToolError(Exception):
    """
    A tool raises it to report a failure; the message is told to the person.

    `error_code` is one of ExecuteTool's, `result` what there is in spite of the failure.
    """

    def __init__(self, message: str = '', error_code: int = Error.TOOL_FAILED,
                 result: Any = None):
        super().__init__(message)
        self.error_code, self.result = error_code, result


class ToolCancelled(Exception):  # noqa: N818 (reads as the event that it is, as in asyncio)
    """
    Raised inside a tool that was asked to stop, and by a tool that has stopped.

    `result` is what the tool achieved until then; the message says why it stopped.
    """

    def __init__(self, message: str = 'cancelled', result: Any = None):
        super().__init__(message)
        self.result = result


class InvalidArguments(ValueError):  # noqa: N818
    """The arguments of a call do not fit; the message names each of them."""


@dataclass(frozen=True)
class Progress:
    """What a tool yields, or reports through its context, while it works."""

    progress: float = -1.0
    """0.0 to 1.0, -1.0 unknown."""
    text: str = ''
    """Short text for people and model, e.g. '2.1 m left'."""


class ToolContext:
    """
    The running call, as its function sees it.

    A function gets it through a parameter annotated with ToolContext, which is not part of the
    schema. This class also serves tools that are called by hand: there it reports to nobody and
    is never cancelled, unless cancel() is called. All methods may be called from any thread.
    """

    def __init__(self, call_id: str = '', session: str = '',
                 report: Optional[Callable[[Progress], None]] = None, clock=None):
        self.call_id = call_id
        self.session = session
        self.clock = clock or WallClock()
        self._report = report
        self._reason: Optional[str] = None
        self._pause = Pause(self.clock)

    def on_report(self, report: Callable[[Progress], None]) -> None:
        """Set who is told about progress."""
        self._report = report

    def report(self, progress: float = -1.0, text: str = '') -> None:
        """Report progress (0.0 to 1.0, -1.0 unknown) and a short text; returns at once."""
        if self._report is not None:
            self._report(Progress(float(progress), text))

    @property
    def cancelled(self) -> bool:
        """Whether the call was asked to stop."""
        return self._reason is not None

    @property
    def cancel_reason(self) -> str:
        """Why the call was asked to stop, '' while it was not."""
        return self._reason or ''

    def check_cancelled(self) -> None:
        """Raise ToolCancelled when the call was asked to stop."""
        if self._reason is not None:
            raise ToolCancelled(self._reason)

    def wait(self, seconds: float) -> None:
        """
        Wait, by the clock of the server (ROS time, simulated or not).

        Raises ToolCancelled as soon as the call is asked to stop. Not for async tools: they
        `await context.sleep(seconds)`.
        """
        self.check_cancelled()
        self._pause.wait(seconds, until=lambda: self.cancelled)
        self.check_cancelled()

    async def sleep(self, seconds: float) -> None:
        """Wait like wait(), in an async tool."""
        self.check_cancelled()
        await self._pause.sleep(seconds, until=lambda: self.cancelled)
        self.check_cancelled()

    def cancel(self, reason: str = 'cancelled') -> None:
        """Ask the call to stop; the first reason stands."""
        if self._reason is None:
            self._reason = reason
        self._pause.wake()

    def wake(self) -> None:
        """Let wait() and sleep() look again at the clock, after it jumped."""
        self._pause.wake()
