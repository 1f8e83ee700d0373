"""The report of a run: one HTML file that needs no network."""
import base64
import io
import json
import time
import wave
from pathlib import Path
from typing import Any, Dict

import numpy as np

from async_agent_ros.record.stereo import mix
from async_agent_ros.record.timeline import report_data, Timeline

SOUND_RATE = 12_000
SOUND_LIMIT_S = 300.0
"""A longer run is reported without its sound: 3 MB a minute."""

_HERE = Path(__file__).resolve().parent


def embed(value: Any) -> str:
    """Return JSON that can stand in a script element, whatever the strings hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(',', ':'))
    return text.replace('<', '\\u003c').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')


def _sound(timeline: Timeline) -> str:
    frames = mix(timeline.person, timeline.robot, timeline.start_ns, timeline.end_ns, SOUND_RATE)
    buffer = io.BytesIO()
    with wave.open(buffer, 'wb') as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes(np.ascontiguousarray(frames, '<i2').tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def render(timeline: Timeline, *, title: str = '', sound: bool = True) -> str:
    """Return the page. The sound goes in unless there is none or the run is too long."""
    data: Dict[str, Any] = report_data(timeline)
    heard = timeline.person.span_ns != (0, 0) or timeline.robot.span_ns != (0, 0)
    if sound and heard and data['duration'] <= SOUND_LIMIT_S:
        data['sound'] = _sound(timeline)
    if not title:
        moment = time.localtime(timeline.start_ns / 1e9)
        title = f'Run of {time.strftime("%Y-%m-%d %H:%M:%S", moment)}'
    page = (_HERE / 'report.html').read_text(encoding='utf-8')
    escaped = title.replace('&', '&amp;').replace('<', '&lt;')
    # The data last: it may hold anything, also what looks like a place to fill.
    for place, text in (('title', escaped),
                        ('css', (_HERE / 'report.css').read_text(encoding='utf-8')),
                        ('js', (_HERE / 'report.js').read_text(encoding='utf-8')),
                        ('data', embed(data))):
        page = page.replace('{{' + place + '}}', text)
    return page


def write_report(source: Path, output: Path, *, title: str = '', sound: bool = True) -> Timeline:
    """
    Write the report of a bag or of the folder of a run; return what was found in it.

    Raises BagReadError when there is no bag, OSError when the file cannot be written.
    """
    timeline = Timeline.from_bag(source)
    output.write_text(render(timeline, title=title, sound=sound), encoding='utf-8')
    return timeline
