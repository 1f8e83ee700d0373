"""CPU time and memory of processes and of the whole machine, from /proc."""
import os
import time
from typing import Dict, Iterable, List

_TICKS_PER_S = os.sysconf('SC_CLK_TCK')
TOLERANCE_S = 0.02
"""/proc counts in ticks of 10 ms: so much may be off."""


def _stat(pid: int) -> List[str]:
    # The second field is the command in brackets, which may hold spaces.
    with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
        return file.read().rpartition(')')[2].split()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended; 0.0 if gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S


def session_pids(leader: int) -> List[int]:
    """Return the processes of the session that a process leads: a node and all it started."""
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                if int(_stat(int(name))[3]) == leader:
                    found.append(int(name))
            except OSError:
                pass    # it ended meanwhile
    return found


def session_cpu_s(leader: int) -> float:
    """Return the CPU seconds of a session."""
    return sum(map(cpu_s, session_pids(leader)))


def session_memory_mb(leader: int) -> float:
    """Return the memory of a session, megabytes; pages shared by n processes count 1/n each."""
    total_kb = 0
    for pid in session_pids(leader):
        try:
            with open(f'/proc/{pid}/smaps_rollup', encoding='utf-8') as file:
                total_kb += sum(int(line.split()[1]) for line in file if line.startswith('Pss:'))
        except OSError:
            pass
    return total_kb * 1024 / 1e6


def busy_s() -> float:
    """Return the CPU seconds that all cores together have worked since the machine started."""
    with open('/proc/stat', encoding='utf-8') as file:
        ticks = [int(word) for word in file.readline().split()[1:]]
    user, nice, system, _, _, irq, softirq = ticks[:7]
    steal = ticks[7] if len(ticks) > 7 else 0
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


class Quiet:
    """
    Tells whether other programs used the machine while something was measured.

    `others_percent` of a core is what they may use, apart from the agent and this process.
    """

    def __init__(self, pids: Iterable[int], others_percent: float):
        self._pids = [*pids, os.getpid()]
        self._share = others_percent / 100.0
        self.begin()

    def _now(self) -> Dict[str, float]:
        return {'at': time.monotonic(), 'busy': busy_s(), 'own': sum(map(cpu_s, self._pids))}

    def begin(self) -> None:
        """Begin a window of time."""
        self._before = self._now()

    def was_quiet(self) -> bool:
        """Return whether the others stayed below their share since begin()."""
        after = self._now()
        passed, busy, own = (after[k] - self._before[k] for k in ('at', 'busy', 'own'))
        return busy - own <= self._share * passed + TOLERANCE_S
