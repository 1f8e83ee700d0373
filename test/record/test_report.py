"""The report shows what the bag holds, needs no network and works in a browser."""
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

from async_agent_ros.commands import report as command
from async_agent_ros.record.report import render
from async_agent_ros.record.stereo import mix, Track, write_stereo
from async_agent_ros.record.timeline import report_data, Timeline
from builtin_interfaces.msg import Time
import numpy as np
import pytest
from sample_run import SampleRun


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp('run')
    SampleRun(path / 'bag').write()
    return path


@pytest.fixture(scope='module')
def data(run_dir):
    return report_data(Timeline.from_bag(run_dir))


def lane(data, name):
    return next(item for item in data['lanes'] if item['id'] == name)


def test_lanes_hold_what_happened(data):
    assert [i['label'] for i in lane(data, 'person')['items']][:2] == [
        'Please drive to the kitchen.', 'What is your battery level?']
    drive = lane(data, 'call c1')['items'][0]
    assert (drive['s'], drive['e'], drive['style']) == (3.8, 23.0, 'call-succeeded')
    assert len(drive['ticks']) == 8
    cut = [i for i in lane(data, 'robot')['items'] if i['style'] == 'robot-cut']
    assert len(cut) == 1 and 'cut off, heard: "I can drive to rooms, pick things' in cut[0]['tip']
    assert [i['label'] for i in data['interrupts']] == ['pause', 'stop']
    generations = lane(data, 'generation')['items']
    assert [g['gen'] for g in generations] == [1, 2, 3, 4, 5]
    states = lane(data, 'state')['items']
    assert states[0]['label'] == 'idle' and all(
        a['e'] == b['s'] for a, b in zip(states, states[1:]))
    assert max(lane(data, 'robot')['wave']) > 30


def test_summary(data):
    summary = data['summary']
    assert summary['answers'] == 5 and summary['worst_response'] == 2.0
    assert summary['median_response'] == 1.5 and summary['median_spoken'] == 1.5
    assert summary['yields'] == [pytest.approx(0.2, abs=0.01)]
    assert summary['calls'] == {'succeeded': 2} and summary['stops'] == 1
    assert data['complete'] and data['duration'] == pytest.approx(25.1, abs=0.2)
    turn = data['turns'][1]
    assert turn['stages'][:3] == [0.5, 0.2, 0.002] and turn['audible'] == 10.2


def test_page_is_self_contained_and_its_data_cannot_break_out(run_dir):
    page = render(Timeline.from_bag(run_dir), title='A <run> & more')
    assert '<h1>A &lt;run> &amp; more</h1>' in page
    assert not re.search(r'(src|href)=|https?://|@import|fetch\(', page)
    assert page.count('</script>') == 2
    held = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    decoded = json.loads(held[1])
    assert any('</script>' in e['content'] for e in decoded['ledger'])
    assert decoded['sound'] and '{{' not in page.split('<script id="data"')[0]


def test_command_finds_the_bag_of_a_run(run_dir, capsys):
    args = SimpleNamespace(bag=run_dir, output=None, title='', no_sound=True)
    assert command.run(args) == 0
    assert (run_dir / 'report.html').stat().st_size < 300_000
    assert '5 answers, 27 ledger entries' in capsys.readouterr().out


def test_command_refuses_what_is_no_bag(tmp_path, capsys):
    args = SimpleNamespace(bag=tmp_path, output=None, title='', no_sound=True)
    assert command.run(args) == 1
    assert f'no bag in {tmp_path}' in capsys.readouterr().err


@pytest.mark.parametrize('early', [False, True])
def test_page_runs_in_a_browser(run_dir, tmp_path, early):
    browser = shutil.which('chromium') or shutil.which('google-chrome')
    if not browser:
        pytest.skip('needs Chromium')
    page = tmp_path / 'report.html'
    if early:
        SampleRun(tmp_path / 'bag').write_early()
    page.write_text(render(Timeline.from_bag(tmp_path / 'bag' if early else run_dir)),
                    encoding='utf-8')
    result = subprocess.run(
        [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         f'--user-data-dir={tmp_path}/profile', '--enable-logging=stderr', '--dump-dom',
         page.as_uri()], capture_output=True, text=True, timeout=120)
    assert 'CONSOLE' not in result.stderr, result.stderr
    assert result.stdout.count('class="turn"') == (1 if early else 5)
    assert len(re.findall(r'class="row ', result.stdout)) == (12 if early else 27)
    assert ('<span>answers begun early</span>' in result.stdout) == early
    assert len(re.findall(r'class="row [^"]* early"', result.stdout)) == (7 if early else 0)


def block(seconds, first, data, rate=16000, channels=1):
    return SimpleNamespace(stamp=Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9)),
                           first_sample=first, sample_rate=rate, channels=channels, data=data)


def test_blocks_follow_their_sample_count_not_the_jitter_of_stamps():
    track = Track()
    for index, jitter in enumerate([0.0, 0.004, -0.003, 0.001]):
        track.add(block(10 + index * 0.02 + jitter, index * 320, np.full(320, 1000)))
    samples = track.render(10 * 10**9, 10 * 10**9 + 80_000_000)
    assert len(samples) == 1280 and (samples == 1000).all()


def test_a_pause_of_playback_is_a_gap():
    track = Track()
    track.add(block(10.0, 0, np.full(320, 8000)))
    track.add(block(12.0, 320, np.full(320, 8000)))
    assert track.sounds() == [(10_000_000_000, 10_020_000_000),
                              (12_000_000_000, 12_020_000_000)]
    assert track.span_ns == (10_000_000_000, 12_020_000_000)


def test_person_left_robot_right(tmp_path):
    import wave
    person, robot = Track(), Track()
    person.add(block(10.0, 0, np.full(1600, 1000)))
    robot.add(block(10.1, 0, np.repeat(np.full(2205, 2000), 2), rate=22050, channels=2))
    frames = mix(person, robot, 10 * 10**9, 10 * 10**9 + 200_000_000)
    assert frames.shape == (3200, 2)
    assert abs(frames[800][0] - 1000) < 20 and frames[800][1] == 0
    assert frames[2400][0] == 0 and abs(frames[2400][1] - 2000) < 20
    write_stereo(tmp_path / 'x.wav', frames)
    with wave.open(str(tmp_path / 'x.wav')) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 16000, 3200)


def test_reading_needs_no_ros(run_dir):
    code = ('import sys; sys.modules["rclpy"] = None\n'
            'from async_agent_ros.record.timeline import Timeline\n'
            'from pathlib import Path\n'
            f'print(len(Timeline.from_bag(Path({str(run_dir)!r})).turns))')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.stdout.strip() == '5', result.stderr


def test_helpers_have_lanes_of_their_own(tmp_path):
    run = SampleRun(tmp_path / 'bag')
    run.entry(0.0, 'call', {'arguments': {'task': 'count'}}, call_id='c1', name='fork')
    for number, status in ((1, 'succeeded'), (2, 'failed')):
        run.entry(number, 'fork', {'parent': 'main', 'task': f'count {number}'}, call_id='c1',
                  instance=f'i{number}')
        run.entry(number + 3.0, 'end', {'report': 'three', 'reason': ''}, call_id='c1',
                  instance=f'i{number}', status=status)
    run.entry(9.0, 'spawn', {'parent': 'i1', 'task': 'for ever'}, instance='i3')
    run.state(10.0, 'idle')
    run.bag.close()
    data = report_data(Timeline.from_bag(tmp_path / 'bag'))
    lanes = {lane['name']: lane['items'] for lane in data['lanes']}
    [first], [second], [third] = (lanes[f'helper i{n}'] for n in (1, 2, 3))
    assert (first['s'], first['e'], first['label']) == (1.0, 4.0, 'count 1')
    assert 'succeeded' in first['tip'] and 'three' in first['tip']
    assert second['style'] == 'generation-cut' and third['e'] == 10.0
    assert 'spawn of i1' in third['tip']


def test_what_was_done_early_is_told_apart(tmp_path):
    SampleRun(tmp_path / 'bag').write_early()
    data = report_data(Timeline.from_bag(tmp_path / 'bag'))
    dropped, used = lane(data, 'drafts')['items']
    assert (dropped['s'], dropped['mark'], dropped['e']) == (1.4, 1.6, 2.1)
    assert dropped['label'] == 'How full' and dropped['style'] == 'draft'
    assert 'Let me see. [get_pose]' in dropped['tip'] and 'the words went on; 9 tokens' in (
        dropped['tip'])
    assert (used['s'], used['e'], used['style']) == (2.3, 3.2, 'draft-used')
    [wrong], [right] = (lane(data, f'early {n}')['items'] for n in ('get_pose', 'get_battery'))
    assert wrong['style'] == 'draft' and 'not used' in wrong['tip']
    assert right['style'] == 'draft-used' and 'used by c1' in right['tip']
    assert [item['id'] for item in data['lanes'] if item['id'].startswith('call')] == ['call c1']
    assert data['summary']['calls'] == {'succeeded': 1}, 'nobody asked for the early ones'
    made = data['summary']['speculation']
    assert (made['early'], made['early_hits'], made['early_calls']) == (1, 1, 2)
    assert (made['wasted_tokens'], made['wasted_tool_s'], made['output_tokens']) == (9, 0.5, 24)
    assert data['turns'][0]['early'] == (
        'answer begun early; 2 drafts; 1 of 2 early reads used, 0.80 s ahead; 9 tokens wasted; '
        '0.5 s of tools wasted; not read early: get_pose')
