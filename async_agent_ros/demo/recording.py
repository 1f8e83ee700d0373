"""The recorder of a demo, as a process of its own, so that nothing here slows it down."""
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, List

START_S = 30.0
END_S = 30.0


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
        if not self._recording:
            self._process.kill()
            self._process.wait()
            raise RecordingError('the recorder does not start: '
                                 + ('\n'.join(self._output) or f'nothing in {START_S:g} s'))
        return self

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
