"""The journal: whole lines or none, nothing lost on a full disk, clear words for foreign files."""
import json
import os
from pathlib import Path

from kernel_world import World
import pytest

from async_agent_ros.core import effects
from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.nodes import journal


def entries_of(out):
    return [e.entry for e in out if isinstance(e, effects.Append)]


@pytest.fixture
def world():
    world = World()
    world.say('hello')
    world.answer('Hi there.')
    world.play_all()
    return world


def write(path, world):
    book = journal.Journal(path, 's')
    for index, (event, out) in enumerate(zip(world.events, world.effects)):
        assert book.write(index, event, entries_of(out))
    book.close()


def test_what_was_written_comes_back_and_replays(tmp_path, world):
    path = tmp_path / f's{journal.SUFFIX}'
    write(path, world)
    records = list(journal.read(path))
    assert [r.event for r in records] == world.events
    recorded = [e for r in records for e in r.entries]
    assert first_difference(recorded, list(replay(r.event for r in records))) is None
    ledger, index = journal.recover(path)
    assert ledger.text() == world.ledger.text() and index == len(records)
    assert journal.unfinished(path) and journal.session_of(path) == 's'


def test_a_torn_last_line_is_cut_off(tmp_path, world):
    path = tmp_path / f's{journal.SUFFIX}'
    write(path, world)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    ledger, index = journal.recover(path)
    assert index == len(world.events) - 1
    assert path.read_bytes().endswith(b'\n') and whole.startswith(path.read_bytes())
    assert world.ledger.text().startswith(ledger.text())


@pytest.mark.parametrize('keep', range(0, 400, 37))
def test_recovery_takes_any_length(tmp_path, world, keep):
    path = tmp_path / f's{journal.SUFFIX}'
    write(path, world)
    path.write_bytes(path.read_bytes()[:keep])
    ledger, _ = journal.recover(path)
    assert world.ledger.text().startswith(ledger.text())


def test_a_broken_line_in_the_middle_is_named(tmp_path, world):
    path = tmp_path / f's{journal.SUFFIX}'
    write(path, world)
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = 'garbage\n'
    path.write_text(''.join(lines))
    with pytest.raises(journal.JournalError, match='line 3'):
        list(journal.read(path))


def test_another_format_is_refused_with_its_version(tmp_path):
    path = tmp_path / f's{journal.SUFFIX}'
    path.write_text(json.dumps({'format': 99, 'version': '9.9'}) + '\n')
    with pytest.raises(journal.JournalError, match='9.9'):
        list(journal.read(path))


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='/dev/full is not there')
def test_a_full_disk_keeps_records_in_memory_and_names_the_remedy(world):
    book = journal.Journal(Path('/dev/full'), 's')
    assert not book.write(0, world.events[0], entries_of(world.effects[0]))
    assert '/dev/full' in book.error and 'free space' in book.error
    assert book.waiting == 2    # the header and the record


def test_records_that_waited_are_written_in_order(tmp_path, world):
    path = tmp_path / f's{journal.SUFFIX}'
    book = journal.Journal(path, 's')
    os.close(book._file)
    book._file = os.open('/dev/full', os.O_RDWR)
    for index, (event, out) in enumerate(zip(world.events, world.effects)):
        assert not book.write(index, event, entries_of(out))
    os.close(book._file)
    book._file = os.open(path, os.O_RDWR | os.O_APPEND)
    assert book.flush() and book.error is None
    assert [r.event for r in journal.read(path)] == world.events


def test_the_latest_journal_is_found(tmp_path, world):
    assert journal.latest(tmp_path) is None
    write(tmp_path / f'a{journal.SUFFIX}', world)
    write(tmp_path / f'b{journal.SUFFIX}', world)
    os.utime(tmp_path / f'b{journal.SUFFIX}', (1, 1))
    assert journal.latest(tmp_path).name == f'a{journal.SUFFIX}'
