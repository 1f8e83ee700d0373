"""
Measures the recorder: `python -m async_agent_ros.record.measure`.

Publishes messages of the size of a usual ledger entry at a given rate from a process of its own,
records them with `async-agent record`, and counts what is in the bag.
"""
import argparse
import json
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Sequence

from async_agent_ros.demo.session import choose_domain
from async_agent_ros.record.reader import BagReader

BYTES = 937
TOPICS = ('ledger', 'kernel_events')
READY_S = 60.0
BURST_S = 0.005
"""Messages are sent in bursts so far apart: sleeping is not finer on a busy machine."""


def publish(rate: float, seconds: float) -> Dict[str, Any]:
    """Publish on TOPICS together `rate` messages a second, once a recorder listens."""
    import rclpy

    from async_agent_ros.msg import KernelEvent, LedgerEntry
    from async_agent_ros.nodes import qos

    rclpy.init(args=[])
    node = rclpy.create_node('load', namespace='/agent', enable_rosout=False)
    text = 'x' * (BYTES - 150)
    ledger = node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
    events = node.create_publisher(KernelEvent, 'kernel_events', qos.RECORD)
    deadline_s = time.monotonic() + READY_S
    while not (ledger.get_subscription_count() and events.get_subscription_count()):
        if time.monotonic() > deadline_s:
            raise SystemExit('no recorder came')
        time.sleep(0.02)
    total, sent = round(rate * seconds), 0
    start_s = time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - start_s) * rate) + 1)
        for number in range(sent, due):
            if number % 2:
                events.publish(KernelEvent(session='load', index=number // 2, payload_json=text))
            else:
                ledger.publish(LedgerEntry(session='load', seq=number // 2, content=text))
        sent = due
        time.sleep(BURST_S)
    took_s = time.monotonic() - start_s
    for publisher in (ledger, events):
        publisher.wait_for_all_acked()
    rclpy.shutdown()
    return {'sent': sent, 'publish_s': took_s}


def measure(rate: float, seconds: float, bag: Path,
            options: Sequence[str] = ()) -> Dict[str, Any]:
    """Return sent, recorded and lost messages, the rate that was reached, and the CPU time."""
    recorder = subprocess.Popen(
        [sys.executable, '-m', 'async_agent_ros.commands.record', '-o', str(bag), '--no-audio',
         *options], stdout=subprocess.PIPE, text=True)
    try:
        if not recorder.stdout.readline().startswith('recording '):
            raise SystemExit('the recorder does not start')
        load = subprocess.run(
            [sys.executable, '-m', 'async_agent_ros.record.measure', '--publish',
             '--rate', str(rate), '--seconds', str(seconds)],
            stdout=subprocess.PIPE, text=True, check=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=60)
    finally:
        recorder.kill()
        recorder.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(load.stdout)
    reader = BagReader(bag)
    seen = {topic: [] for topic in TOPICS}
    for topic, _, message in reader.messages([f'/agent/{t}' for t in TOPICS]):
        name = topic.rsplit('/', 1)[-1]
        seen[name].append(int(message.seq if name == 'ledger' else message.index))
    recorded = sum(map(len, seen.values()))
    cpu_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return {
        'sent': result['sent'], 'recorded': recorded, 'lost': result['sent'] - recorded,
        'in_order': all(numbers == sorted(set(numbers)) for numbers in seen.values()),
        'rate_per_s': round(result['sent'] / result['publish_s']), 'bytes': BYTES,
        'recorder_cpu_s': round(cpu_s, 2), 'recorder_exit': recorder.returncode,
        'files': len(list(bag.glob('*.mcap')))}


def main(argv=None) -> int:
    """Print the result as JSON; 1 when a message was lost."""
    parser = argparse.ArgumentParser(prog='python -m async_agent_ros.record.measure',
                                     description='Measure the recorder.')
    parser.add_argument('--rate', type=float, default=5000.0, help='messages a second')
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--max-bag-size', type=int, default=0, metavar='BYTES')
    parser.add_argument('--publish', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    choose_domain(os.environ)
    if args.publish:
        print(json.dumps(publish(args.rate, args.seconds)))
        return 0
    with tempfile.TemporaryDirectory(prefix='async_agent_record_') as folder:
        options = ['--max-bag-size', str(args.max_bag_size)] if args.max_bag_size else []
        result = measure(args.rate, args.seconds, Path(folder) / 'bag', options)
    print(json.dumps(result))
    return 0 if not result['lost'] else 1


if __name__ == '__main__':
    sys.exit(main())
