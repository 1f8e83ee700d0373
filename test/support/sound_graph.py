"""
A sound system of its own: PipeWire with a microphone and a loudspeaker that can be unplugged.

What is played into 'room' comes out of the microphone 'mic'; what is played on the loudspeaker
'spk' can be recorded from its monitor, 'spkmon'. Both are the defaults. 'mic48' and 'spk48' are
the same devices, at 48 kHz only.
Nothing of it touches the sound system of the machine: HOME and XDG_RUNTIME_DIR are its own.
"""
import ctypes.util
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np

RATE = 48_000
PARTS = {
    'mic': ['pw-loopback', '-n', 'mic', '-m', '[ MONO ]',
            '--capture-props=media.class=Audio/Sink node.name=room',
            '--playback-props=media.class=Audio/Source node.name=mic priority.session=3000'],
    # A node of pw-cli lives as long as pw-cli, which reads commands until its input ends.
    'spk': ['sh', '-c', '(echo "create-node adapter { factory.name=support.null-audio-sink '
            'node.name=spk media.class=Audio/Sink audio.position=[ MONO ] '
            'priority.session=2000 }"; sleep 600) | pw-cli'],
}
PROGRAMS = ('pipewire', 'wireplumber', 'dbus-run-session', 'pw-loopback', 'pw-cli', 'pw-play')
_HEADER = struct.Struct('<qi')

_PCM = """
pcm.{name} {{ type pipewire {direction}_node "{node}" {more}
  hint {{ show on description "{name}" }} }}
"""


def missing() -> str:
    """Return what is not installed, or '' when the graph can be set up."""
    absent = [p for p in PROGRAMS if shutil.which(p) is None]
    if ctypes.util.find_library('portaudio') is None:
        absent.append('libportaudio2')
    if not any(Path('/usr/lib').glob('*/alsa-lib/libasound_module_pcm_pipewire.so')):
        absent.append('pipewire-alsa')
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        absent.append('sounddevice')
    return ', '.join(absent)


class SoundGraph:
    """Set up on construction; `env` is for the processes that are to use it."""

    def __init__(self, folder: Path):
        self._folder = folder
        home, run = folder / 'home', folder / 'run'
        home.mkdir()
        run.mkdir(mode=0o700)
        lines = [_PCM.format(name=name, node=node, direction=direction, more='')
                 for name, node, direction in (
                     ('room', 'room', 'playback'), ('spk', 'spk', 'playback'),
                     ('mic', 'mic', 'capture'), ('spkmon', 'spk', 'capture'))]
        lines += [_PCM.format(name=f'{name}48', node=name, direction=direction, more='rate 48000')
                  for name, direction in (('spk', 'playback'), ('mic', 'capture'))]
        (home / '.asoundrc').write_text(''.join(lines))
        self.env = {**os.environ, 'HOME': str(home), 'XDG_RUNTIME_DIR': str(run),
                    'XDG_CONFIG_HOME': str(home / '.config'),
                    'XDG_STATE_HOME': str(home / '.state')}
        for name in ('PULSE_SERVER', 'DBUS_SESSION_BUS_ADDRESS', 'PIPEWIRE_REMOTE', 'DISPLAY'):
            self.env.pop(name, None)
        self._parts = {}
        self.start_server()

    def start_server(self) -> None:
        """Start PipeWire and plug both devices in."""
        self._server = self.start(['dbus-run-session', '--', 'sh', '-c',
                                   'pipewire & wireplumber & wait'], 'server')
        self._wait(lambda: 'Core' in self._cli('info', '0'), 'PipeWire does not start')
        for part in PARTS:
            self.plug(part)

    def stop_server(self) -> None:
        """Kill PipeWire and everything that hangs on it but the clients."""
        for process in (*self._parts.values(), self._server):
            end(process)
        self._parts.clear()
        for socket in (self._folder / 'run').glob('pipewire-0*'):
            socket.unlink()

    def start(self, command, log: str) -> subprocess.Popen:
        """Run a command in the graph, in a process group of its own."""
        with open(self._folder / f'{log}.log', 'ab') as file:
            return subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=file,
                                    stderr=subprocess.STDOUT, start_new_session=True)

    def _cli(self, *command) -> str:
        result = subprocess.run(['pw-cli', *command], env=self.env, capture_output=True,
                                text=True, stdin=subprocess.DEVNULL, timeout=10)
        return result.stdout

    def _wait(self, condition, what, timeout_s=15.0):
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                logs = ''.join(f'\n{p.name}: {p.read_text(errors="replace")[-500:]}'
                               for p in self._folder.glob('*.log'))
                raise RuntimeError(f'{what} within {timeout_s:g} s{logs}')
            time.sleep(0.05)

    def plug(self, part: str) -> None:
        """Let 'mic' or 'spk' appear."""
        self._parts[part] = self.start(PARTS[part], part)
        self._wait(lambda: f'"{part}"' in self._cli('ls', 'Node'), f'{part} does not appear')

    def unplug(self, part: str) -> None:
        """Let 'mic' or 'spk' vanish, as a plug that is pulled."""
        end(self._parts.pop(part))

    def play(self, pcm: np.ndarray, rate: int, node: str = 'room') -> subprocess.Popen:
        """Play int16 mono into a node; the process ends when all of it was played."""
        path = self._folder / f'play{time.monotonic_ns()}.wav'
        with wave.open(str(path), 'wb') as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(pcm.astype('<i2').tobytes())
        return self.start(['pw-play', '--target', node, str(path)], 'play')

    def close(self) -> None:
        """End all of it."""
        self.stop_server()


def end(process) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=3)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Recorder:
    """Records what the loudspeaker plays, with the moment of every sample (ns since 1970)."""

    def __init__(self, graph: SoundGraph, device: str = 'spkmon'):
        self._process = subprocess.Popen(
            [sys.executable, __file__, device], stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, start_new_session=True,
            env={**graph.env, 'PIPEWIRE_ALSA': '{ stream.capture.sink=true }'})
        self._blocks = []
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait(lambda: self._blocks, 15.0)

    def _read(self):
        while header := self._process.stdout.read(_HEADER.size):
            stamp_ns, count = _HEADER.unpack(header)
            pcm = np.frombuffer(self._process.stdout.read(2 * count), '<i2')
            with self.changed:
                self._blocks.append((stamp_ns, pcm))
                self.changed.notify_all()

    def wait(self, condition, timeout_s=10.0):
        """Wait until condition(); raises AssertionError when it does not become true."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), 'not heard in time'

    @property
    def until_ns(self) -> int:
        """Moment up to which the recording goes."""
        return self._blocks[-1][0]

    def since(self, stamp_ns: int):
        """Return (moment of the first sample, samples) of what came from then on."""
        with self.changed:
            blocks = [b for b in self._blocks if b[0] >= stamp_ns]
        return blocks[0][0], np.concatenate([pcm for _, pcm in blocks])

    def loud(self, since_ns: int, level: int = 300):
        """Return the moments of the first and the last loud sample since then, or None."""
        with self.changed:
            blocks = [b for b in self._blocks if b[0] >= since_ns]
        moments = [stamp_ns + int(i) * 1_000_000_000 // RATE for stamp_ns, pcm in blocks
                   for hits in [np.flatnonzero(np.abs(pcm.astype(np.int32)) > level)]
                   if len(hits) for i in (hits[0], hits[-1])]
        return (moments[0], moments[-1]) if moments else None

    def close(self) -> None:
        """End the recording."""
        end(self._process)


def _record(device):
    """Write what a device captures to stdout, until killed."""
    import sounddevice

    def captured(data, frames, times, status):
        age_s = times.currentTime - times.inputBufferAdcTime
        stamp_ns = time.time_ns() - int(max(0.0, age_s) * 1e9)
        try:
            sys.stdout.buffer.write(_HEADER.pack(stamp_ns, frames) + bytes(data))
            sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)    # whoever asked for the recording is gone

    with sounddevice.RawInputStream(device=device, channels=1, dtype='int16', samplerate=RATE,
                                    blocksize=RATE // 100, latency='low', callback=captured):
        threading.Event().wait()


if __name__ == '__main__':
    _record(sys.argv[1])
