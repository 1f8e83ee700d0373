"""The recorder of a demo, as a process of its own, so that nothing here slows it down."""
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, List

START_S = 30.0
END_S = 30.0
ATTEMPTS = 3


class RecordingError(Exception):
    """The recorder does not start. The message says why."""


class Recording:
    """`async-agent record` as a context: it records from the beginning to the end of it."""

    def __init__(self, bag: Path, namespace: str, *,
                 on_remark: Callable[[str], None] = lambda text: None):
        self.bag = bag
        self._command = [sys.executable, '-m', 'async_agent_ros.commands.record',
                         '-o', str(bag), '--namespace', namespace]
        self._on_remark = on_remark
        self.ok = True
        """False when the recording was cut off."""

    def __enter__(self) -> 'Recording':
        for _ in range(ATTEMPTS):
            self._start()
            if self._recording:
                return self
            try:
                code = self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            if code != -signal.SIGABRT:
                break
            # The middleware gives up when it meets a lock that a killed process left behind.
            shutil.rmtree(self.bag, ignore_errors=True)
        raise RecordingError('the recorder does not start: '
                             + ('\n'.join(self._output) or f'nothing in {START_S:g} s'))

    def _start(self):
        # A session of its own: Ctrl-C at the terminal must not end it before the agent.
        self._process = subprocess.Popen(
            self._command, env=dict(os.environ, PYTHONUNBUFFERED='1'), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self._started = threading.Event()
        self._recording = False
        self._output: List[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True, name='recorder output')
        self._reader.start()
        self._started.wait(START_S)

    def _read(self):
        for line in self._process.stdout:
            if self._recording:
                self._on_remark('recorder: ' + line.strip())
            elif line.startswith('recording '):
                self._recording = True
                self._started.set()
            else:
                # A warning of the middleware, or why it ends.
                self._output.append(line.strip())
        self._started.set()

    def __exit__(self, *exc_info) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=2.0)
        self.ok = self._process.returncode == 0
