"""Verify: the same ledger byte for byte, or where it differs; nothing foreign is misread."""
import json
import os

import pytest
from recorded import write_bag

from async_agent_ros import cli
from async_agent_ros.msg import KernelEvent, LedgerEntry
from async_agent_ros.record import history as history_module
from async_agent_ros.record.history import from_bag, from_journal, HistoryError, load
from async_agent_ros.record.verify import describe, verify


def replay_verify(path, capsys):
    code = cli.main(['replay', 'verify', str(path)])
    out = capsys.readouterr()
    return code, out.out + out.err


def test_a_recorded_run_gives_the_same_ledger(tmp_path, journal_file, bag, capsys, world):
    for path, count in ((journal_file, 1), (bag, 1), (tmp_path / 'run', 2)):
        code, text = replay_verify(path, capsys)
        assert code == 0, text
        assert text.count(f'{len(world.ledger)} entries: the same, byte for byte') == count


def test_the_first_difference_is_shown_with_its_cause(journal_file, capsys):
    lines = journal_file.read_text().splitlines()
    broken = [line.replace('\\"percent\\":81', '\\"percent\\":18') for line in lines]
    assert broken != lines
    journal_file.write_text('\n'.join(broken) + '\n')
    code, text = replay_verify(journal_file, capsys)
    assert code == 1
    assert 'NOT the same' in text
    assert 'fields that differ: content' in text
    expected = next(x for x in text.splitlines() if x.strip().startswith('expected'))
    got = next(x for x in text.splitlines() if x.strip().startswith('got'))
    assert 'percent\\":18' in expected and 'percent\\":81' in got
    cause = next(x for x in text.splitlines() if 'caused by event' in x)
    assert 'CallEnded' in cause and '"call_id": "c2"' in cause
    assert 'get_battery' in text.split('expected')[0], 'the neighbours are shown'


def test_of_a_long_entry_the_part_that_differs_is_shown(journal_file, capsys):
    lines = journal_file.read_text().splitlines()
    broken = [line.replace('set_timer', 'set_alarm') for line in lines]
    assert broken != lines
    journal_file.write_text('\n'.join(broken) + '\n')
    code, text = replay_verify(journal_file, capsys)
    expected, got = (next(x for x in text.splitlines() if x.strip().startswith(word))
                     for word in ('expected', 'got'))
    assert code == 1 and len(expected) < 700 and len(got) < 700
    assert 'set_alarm' in expected and 'set_timer' in got


def test_an_event_that_the_kernel_cannot_step_is_named(journal_file):
    history = from_journal(journal_file)
    index = next(i for i, c in enumerate(history.causes) if type(c.event).__name__ == 'CallEnded')
    cause = history.causes[index]
    object.__setattr__(cause.event, 'result', {1, 2})    # no JSON value
    verdict = verify(history)
    assert not verdict.same
    assert f'cannot step event {cause.index} (CallEnded)' in describe(verdict)


@pytest.mark.parametrize('version', ['0.0.9', '1.0.0', ''])
def test_another_version_is_refused(journal_file, version, capsys):
    first, _, rest = journal_file.read_text().partition('\n')
    header = {**json.loads(first), 'version': version}
    journal_file.write_text(json.dumps(header) + '\n' + rest)
    code, text = replay_verify(journal_file, capsys)
    assert code == 1
    assert 'was recorded with version' in text and 'Replay it with the version' in text


def test_another_format_is_refused(journal_file, capsys):
    text = journal_file.read_text()
    journal_file.write_text(text.replace('"format": 1', '"format": 99', 1))
    code, text = replay_verify(journal_file, capsys)
    assert code == 1 and 'journal format 99' in text


def test_what_is_no_recording_is_refused(tmp_path, capsys):
    other = tmp_path / 'x.json'
    other.write_text('{"a": 1}\n')
    for path, word in ((other, 'is not a journal'), (tmp_path, 'no bag in')):
        code, text = replay_verify(path, capsys)
        assert code == 1 and word in text


def test_a_bag_of_another_version_is_refused(tmp_path, world):
    def older(message):
        if isinstance(message, KernelEvent):
            message.version = '0.0.1'
        return message
    with pytest.raises(HistoryError, match='version 0.0.1'):
        load(write_bag(tmp_path / 'bag', world, change=older))


def test_a_bag_with_other_definitions_is_refused(bag, monkeypatch):
    monkeypatch.setattr(history_module, 'definition', lambda name: ('', 'RIHS01_other'))
    with pytest.raises(HistoryError, match='in another way than this version'):
        load(bag)


def test_an_unknown_event_is_refused(tmp_path, world):
    def unknown(message):
        if isinstance(message, KernelEvent) and message.index == 5:
            message.type = 'Dreamt'
        return message
    with pytest.raises(HistoryError, match=r'event 5 \(Dreamt\).*does not know it'):
        load(write_bag(tmp_path / 'bag', world, change=unknown))


def test_lost_messages_are_not_taken_for_a_difference(tmp_path, world):
    lost_event = write_bag(tmp_path / 'a', world, skip=lambda m: getattr(m, 'index', 0) == 7)
    with pytest.raises(HistoryError, match='events 7 to 7 .* are missing'):
        load(lost_event)
    lost_entry = write_bag(tmp_path / 'b', world, skip=lambda m: getattr(m, 'seq', 0) == 4)
    with pytest.raises(HistoryError, match='entry 4 .* is missing'):
        load(lost_entry)
    no_events = write_bag(tmp_path / 'c', world, skip=lambda m: isinstance(m, KernelEvent))
    with pytest.raises(HistoryError, match='holds no kernel events'):
        load(no_events)
    late = write_bag(tmp_path / 'd', world, skip=lambda m: getattr(m, 'index', 9) < 3)
    with pytest.raises(HistoryError, match='the start of session s was not recorded'):
        load(late)


def test_a_recording_that_was_cut_off_is_compared_as_far_as_it_goes(tmp_path, world):
    bag = write_bag(tmp_path / 'bag', world, skip=lambda m: isinstance(m, LedgerEntry)
                    and m.seq > 9)
    file = bag / 'bag.mcap'
    os.truncate(file, file.stat().st_size - 8)    # no end: as after SIGKILL
    [history] = from_bag(bag)
    assert 0 < len(history.entries) <= 10
    verdict = verify(history)
    assert verdict.same and 'was cut off' in describe(verdict)


def test_entries_without_their_event_at_the_end_are_said(tmp_path, world):
    last = len(world.events) - 1
    bag = write_bag(tmp_path / 'bag', world, skip=lambda m: getattr(m, 'index', 0) == last)
    [history] = from_bag(bag)
    assert verify(history).same and 'have no recorded event' in history.remarks[0]


def test_two_recordings_of_one_session_must_agree(tmp_path, journal_file, world, capsys):
    def changed(message):
        if isinstance(message, LedgerEntry) and 'arrived at' in message.content:
            message.content = 'I have arrived nowhere. '
        return message
    write_bag(tmp_path / 'run' / 'bag', world, change=changed)
    code, text = replay_verify(tmp_path / 'run', capsys)
    assert code == 1 and 'NOT the same' in text
    assert 'differ from entry' in text and 'nowhere' in text


def test_a_restarted_manager_is_stepped_from_its_new_start(tmp_path):
    from kernel_world import World
    w = World()
    w.say('hello')
    w.answer('Hello. ')
    w.play_all()
    w.restart()
    starts = [i for i, e in enumerate(w.events) if type(e).__name__ == 'Started']
    assert len(starts) == 2
    # The recorder came after the restart: it has the whole ledger, but only the new events.
    bag = write_bag(tmp_path / 'bag', w, skip=lambda m: getattr(m, 'index', 99) < starts[1])
    [history] = from_bag(bag)
    assert history.earlier and verify(history).same
    assert len(history.entries) == len(w.ledger)
