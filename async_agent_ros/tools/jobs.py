"""The work behind goals: runs tools in threads or on an asyncio loop, each call id once."""
import asyncio
import collections
import threading
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Dict, Hashable, List, Optional

from async_agent_ros.core.words import Error, Status
from async_agent_ros.tools.context import InvalidArguments, ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.sdk import Tool


@dataclass(frozen=True)
class Outcome:
    """How a call ended; the fields are those of ExecuteTool's result."""

    status: Status
    error_code: int = Error.NONE
    error_msg: str = ''
    result_json: str = 'null'


class Job:
    """One call of one tool. `goals` are the goal handles that wait for its outcome."""

    def __init__(self, key: Hashable, tool: Tool, arguments_json: str, context: ToolContext):
        self.key = key
        self.tool = tool
        self.arguments_json = arguments_json
        self.context = context
        self.goals: List[Any] = []
        self.outcome: Optional[Outcome] = None
        self.task: Optional[asyncio.Task] = None


class Jobs:
    """
    Starts jobs and hands their outcomes over.

    `ended(job)` is called from the thread that ran the job, when `job.outcome` stands.
    `log(message)` is told about crashes, with the traceback.
    """

    def __init__(self, ended: Callable[[Job], None], log: Callable[[str], None], *,
                 remember: int = 1000):
        self._ended = ended
        self._log = log
        self._remember = remember
        self._known: 'collections.OrderedDict[Hashable, Job]' = collections.OrderedDict()
        self._running: Dict[int, Job] = {}
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._tasks = set()

    @property
    def running(self) -> List[Job]:
        """Jobs without an outcome, oldest first."""
        with self._lock:
            return list(self._running.values())

    def find(self, key: Hashable) -> Optional[Job]:
        """Return the job that was submitted under the key, running or not long ended."""
        return self._known.get(key)

    def submit(self, job: Job) -> None:
        """Run the job; returns at once. A job with a key is remembered after its end."""
        with self._lock:
            self._running[id(job)] = job
        if job.key is not None:
            self._known[job.key] = job
            for key in list(self._known):
                if len(self._known) <= self._remember:
                    break
                if self._known[key].outcome is not None:
                    del self._known[key]
        if job.tool.is_async:
            loop = self._async_loop()
            loop.call_soon_threadsafe(self._start_task, job)
        else:
            threading.Thread(target=self._run, args=(job,), daemon=True,
                             name=f'{job.tool.spec.name} {job.context.call_id}').start()

    def cancel(self, job: Job, reason: str) -> None:
        """Ask the job to stop; its own end decides what becomes of it."""
        job.context.cancel(reason)
        if job.tool.is_async and self._loop is not None:
            self._loop.call_soon_threadsafe(
                lambda: job.task is not None and job.task.cancel())

    def close(self) -> None:
        """Stop the asyncio loop. Threads are daemons: a tool that hangs holds nobody up."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _async_loop(self):
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True,
                             name='async tools').start()
        return self._loop

    def _start_task(self, job):
        task = asyncio.ensure_future(self._run_async(job))
        self._tasks.add(task)    # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def _run(self, job):
        self._finish(job, self._guarded(job, lambda: job.tool.run(
            job.tool.parse(job.arguments_json), job.context)))

    async def _run_async(self, job):
        try:
            arguments = job.tool.parse(job.arguments_json)
            if job.context.cancelled:
                raise ToolCancelled(job.context.cancel_reason)
            # A task of its own, so that a cancel before its first step still ends up here.
            job.task = asyncio.ensure_future(job.tool.run_async(arguments, job.context))
            value = await job.task
        except BaseException as error:
            raised = error    # outlives the except clause

            def again():
                raise raised
            self._finish(job, self._guarded(job, again))
        else:
            self._finish(job, self._guarded(job, lambda: value))

    def _guarded(self, job, work):
        try:
            return Outcome(Status.SUCCEEDED, result_json=job.tool.result_json(work()))
        except InvalidArguments as error:
            return Outcome(Status.FAILED, Error.INVALID_ARGUMENTS, str(error))
        except ToolError as error:
            return Outcome(Status.FAILED, error.error_code,
                           str(error) or 'the tool failed', self._partial(job, error))
        except ToolCancelled as error:
            return Outcome(Status.CANCELLED, Error.CANCELLED, str(error),
                           self._partial(job, error))
        except asyncio.CancelledError:
            return Outcome(Status.CANCELLED, Error.CANCELLED,
                           job.context.cancel_reason or 'cancelled')
        except BaseException as error:    # a tool may even raise SystemExit: the server goes on
            self._log(f'tool {job.tool.spec.name} crashed:\n'
                      + ''.join(traceback.format_exception(error)))
            return Outcome(Status.FAILED, Error.TOOL_CRASHED,
                           f'{type(error).__name__}: {error}')

    def _partial(self, job, error):
        try:
            return job.tool.result_json(error.result)
        except TypeError as problem:
            self._log(f'tool {job.tool.spec.name}, result of what did not succeed: {problem}')
            return 'null'

    def _finish(self, job, outcome):
        job.outcome = outcome
        with self._lock:
            self._running.pop(id(job), None)
        self._ended(job)
