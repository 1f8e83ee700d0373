"""Sound devices by name, through PortAudio, with errors that name what exists and the remedy."""
import time
from typing import Any, List, Mapping, Optional, Union

from .audio import AudioError

DeviceName = Union[str, int]
"""Part of a device's name (letter case does not matter), its index, or '' for the default."""


def sounddevice() -> Any:
    """Return the module sounddevice, or raise AudioError saying what to install."""
    try:
        import sounddevice as module
    except ImportError:
        raise AudioError('the package sounddevice is missing, so there is no access to sound '
                         'devices. Install it: pip install sounddevice') from None
    except OSError:
        raise AudioError('the PortAudio library is missing, so there is no access to sound '
                         'devices. Install it: sudo apt install libportaudio2') from None
    return module


def list_devices(direction: str) -> List[Mapping[str, Any]]:
    """Return the devices that can do 'input' or 'output'; raises AudioError without PortAudio."""
    sd = sounddevice()
    try:
        devices = sd.query_devices()
    except sd.PortAudioError as error:
        raise AudioError(f'sound devices cannot be listed: {error}. Is a sound server running, '
                         'and are you in the group `audio`?') from None
    return [d for d in devices if d[f'max_{direction}_channels'] > 0]


def find_device(name: DeviceName, direction: str) -> Mapping[str, Any]:
    """
    Return the first device whose name contains `name`; '' is the system's default.

    `direction` is 'input' or 'output'. Raises AudioError naming the devices that exist.
    """
    sd = sounddevice()
    devices = list_devices(direction)
    if not devices:
        kind = 'microphone' if direction == 'input' else 'loudspeaker'
        raise AudioError(
            f'this machine has no {kind}. Plug one in or start a sound server, or use another '
            f"{'source' if direction == 'input' else 'sink'}: `topic` or `wav`.")
    if name == '':
        try:
            return sd.query_devices(kind=direction)
        except (sd.PortAudioError, ValueError):
            return devices[0]
    wanted = str(name).strip()
    for device in devices:
        if wanted == str(device['index']) or wanted == device['name']:
            return device
    for device in devices:
        if wanted.lower() in device['name'].lower():
            return device
    names = ', '.join(repr(d['name']) for d in devices)
    raise AudioError(f"no {direction} device is called '{wanted}'. There are: {names}. Set the "
                     'parameter `device` to a part of one of these names.')


_open_streams = 0


def rescan() -> None:
    """
    Let PortAudio see what was plugged in since it was loaded.

    It lists devices once; only a restart of the library finds new ones, and that would end
    streams that are open, so it is skipped while any is (see stream_opened).
    """
    if _open_streams:
        return
    sd = sounddevice()
    try:
        sd._terminate()
        sd._initialize()
    except sd.PortAudioError as error:
        raise AudioError(f'PortAudio cannot be started: {error}. Is the sound server '
                         'running?') from None


def stream_opened(change: int) -> None:
    """Count streams: +1 when one is opened, -1 when it is closed."""
    global _open_streams
    _open_streams = max(0, _open_streams + change)


class HangWatch:
    """
    Around calls into PortAudio: tells for how long one has not returned.

    When a sound server dies under an open stream, PortAudio's calls may never return, and its
    thread may spin for ever; nothing but the end of the process frees it.
    """

    def __init__(self):
        self._since_s: Optional[float] = None

    def __enter__(self):
        self._since_s = time.monotonic()
        return self

    def __exit__(self, *exc_info):
        self._since_s = None

    @property
    def hung_s(self) -> float:
        """Seconds since the call that is under way began, 0.0 without one."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s


HUNG_S = 4.0
"""A call into PortAudio that takes longer does not return: opening takes less than a second."""
