"""The bag: types as on the live graph, readable by others, complete, closed when the disk fills."""
import json
import os
import subprocess

from async_agent_ros.record.bag import BagError, BagWriter
from async_agent_ros.record.definitions import definition, share_dirs, UnknownTypeError
from async_agent_ros.record.reader import BagReader, BagReadError, find_bag
from async_agent_ros.record.topics import bag_qos, overrides
import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sample_run import SampleRun
from std_msgs.msg import String
import yaml

QOS = [bag_qos(QoSProfile(depth=10))]


def write(bag, count, *, first=0, size=0):
    for index in range(first, first + count):
        data = serialize_message(String(data=f'{index}' + 'x' * size))
        bag.write('/agent/text_in', 'std_msgs/msg/String', QOS, index + 1, data)


def read(path):
    reader = BagReader(path)
    return reader, [m.data.rstrip('x') for _, _, m in reader.messages()]


@pytest.mark.parametrize('package', ['async_agent_ros', 'diagnostic_msgs', 'rcl_interfaces'])
def test_hashes_are_those_of_the_type_support(package):
    files = [f for share in share_dirs() for f in (share / package / 'msg').glob('*.json')]
    assert files
    for file in files:
        hashes = {h['type_name']: h['hash_string']
                  for h in json.loads(file.read_text())['type_hashes']}
        name = f'{package}/msg/{file.stem}'
        assert definition(name)[1] == hashes[name]


def test_definitions_keep_their_comments_and_bring_what_they_use():
    text, _ = definition('async_agent_ros/msg/AgentState')
    assert '# raised by every interrupt; older work is stale' in text
    assert 'MSG: async_agent_ros/RunningCall\n' in text
    assert 'MSG: builtin_interfaces/Time\n' in text


def test_unknown_type_is_named_with_the_remedy():
    with pytest.raises(UnknownTypeError, match='no definition of nothing_msgs/msg/None.*install'):
        definition('nothing_msgs/msg/None')


def test_bag_is_read_by_three_readers(tmp_path):
    bag = BagWriter(tmp_path / 'bag', custom_data={'key': 'value'})
    write(bag, 100)
    bag.close()
    bag.close()
    assert (bag.written, bag.dropped, bag.error) == (100, 0, '')
    reader, texts = read(tmp_path / 'bag')
    assert texts == [str(i) for i in range(100)] and reader.complete

    from rosbags.rosbag2 import Reader
    with Reader(tmp_path / 'bag') as other:
        assert other.message_count == 100
        assert other.connections[0].digest == definition('std_msgs/msg/String')[1]
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory
    with open(tmp_path / 'bag' / 'bag.mcap', 'rb') as file:
        decoded = list(make_reader(
            file, decoder_factories=[DecoderFactory()]).iter_decoded_messages())
    assert [m.decoded_message.data for m in decoded] == texts
    info = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    info = info['rosbag2_bagfile_information']
    assert info['version'] == 9 and info['storage_identifier'] == 'mcap'
    assert info['custom_data'] == {'key': 'value'}


@pytest.mark.parametrize('write_run', [SampleRun.write, SampleRun.write_early])
def test_two_foreign_readers_decode_every_message_of_a_run_to_the_same(tmp_path, write_run):
    write_run(SampleRun(tmp_path / 'bag'))
    from rosbags.highlevel import AnyReader
    with AnyReader([tmp_path / 'bag']) as reader:    # by the definitions in the bag
        one = [(c.topic, stamp, reader.deserialize(raw, c.msgtype))
               for c, stamp, raw in reader.messages()]
        assert len(one) == reader.message_count
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory
    with open(tmp_path / 'bag' / 'bag.mcap', 'rb') as file:
        other = list(make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
                     .iter_decoded_messages())
    assert [(c.topic, m.log_time) for _, c, m, _ in other] == [(t, s) for t, s, _ in one]
    for (topic, _, a), (_, _, _, b) in zip(one, other):
        for name in a.__dataclass_fields__:
            value = getattr(a, name)
            if not name.startswith('_') and name.islower() and isinstance(
                    value, (str, int, float, bool)):
                assert value == getattr(b, name), (topic, name)


def test_a_bag_is_never_overwritten(tmp_path):
    BagWriter(tmp_path / 'bag').close()
    with pytest.raises(BagError, match='exists already'):
        BagWriter(tmp_path / 'bag')


def test_unknown_type_ends_the_recording_with_a_message(tmp_path):
    errors = []
    bag = BagWriter(tmp_path / 'bag', on_error=errors.append)
    write(bag, 3)
    bag.write('/x', 'nothing_msgs/msg/None', QOS, 9, b'')
    bag.close()
    assert 'nothing_msgs/msg/None' in errors[0]
    assert read(tmp_path / 'bag')[1] == ['0', '1', '2']


def test_a_torn_file_is_read_up_to_the_tear(tmp_path):
    bag = BagWriter(tmp_path / 'bag')
    write(bag, 400, size=10_000)
    bag.close()
    file = tmp_path / 'bag' / 'bag.mcap'
    os.truncate(file, file.stat().st_size * 2 // 3)
    reader, texts = read(tmp_path / 'bag')
    assert not reader.complete
    assert 100 < len(texts) < 400 and texts == [str(i) for i in range(len(texts))]


def test_what_is_no_bag_is_refused_by_name(tmp_path):
    with pytest.raises(BagReadError, match='no bag in'):
        find_bag(tmp_path)
    (tmp_path / 'x.mcap').write_bytes(b'something else')
    with pytest.raises(BagReadError, match='x.mcap is not a bag'):
        list(BagReader(tmp_path).records())


@pytest.fixture
def small_disk(tmp_path):
    """Yield a directory on a file system of 8 MiB."""
    path = tmp_path / 'disk'
    path.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', str(path)],
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f'needs the right to mount: {mounted.stderr.strip()}')
    yield path
    subprocess.run(['umount', str(path)], check=True)


def test_a_full_disk_ends_the_recording_and_loses_nothing_written(small_disk, wait_until):
    errors = []
    bag = BagWriter(small_disk / 'bag', on_error=errors.append)
    write(bag, 1000, size=10_000)
    wait_until(lambda: errors, 'message about the full disk')
    bag.close()
    assert errors == [f'recording stopped: no space left for {small_disk}/bag; '
                      'what was recorded until now is complete and readable']
    reader, texts = read(small_disk / 'bag')
    assert reader.complete and len(texts) == bag.written
    assert texts == [str(i) for i in range(len(texts))]
    assert (small_disk / 'bag' / 'metadata.yaml').exists()


def test_no_space_at_the_start_is_said_at_once(small_disk):
    (small_disk / 'big').write_bytes(bytes(7 * 2**20))
    with pytest.raises(BagError, match='free at least 4 MiB'):
        BagWriter(small_disk / 'bag')


def test_the_override_file_is_that_of_the_recorder():
    path = os.path.join(os.path.dirname(__file__), '..', '..', 'config',
                        'recorder_qos_overrides.yaml')
    with open(path) as file:
        assert yaml.safe_load(file) == overrides('/agent')


def test_a_bag_is_split_by_size_and_read_as_one_by_three_readers(tmp_path):
    bag = BagWriter(tmp_path / 'bag', max_file_bytes=2**20)
    write(bag, 300, size=20_000)
    bag.write('/agent/late', 'std_msgs/msg/String', QOS, 999,
              serialize_message(String(data='late')))
    write(bag, 400, first=300, size=20_000)
    bag.close()
    assert (bag.written, bag.dropped, bag.error) == (701, 0, '')
    files = sorted((tmp_path / 'bag').glob('*.mcap'), key=lambda f: int(f.stem.split('_')[1]))
    assert [f.name for f in files] == [f'bag_{i}.mcap' for i in range(len(files))]
    assert len(files) > 11 and all(f.stat().st_size <= 2**20 + 8192 for f in files)
    assert sorted(p.name for p in (tmp_path / 'bag').iterdir()) == sorted(
        [*(f.name for f in files), 'metadata.yaml'])
    texts = [str(i) for i in range(300)] + ['late'] + [str(i) for i in range(300, 700)]
    reader, got = read(tmp_path / 'bag')
    assert got == texts and reader.complete

    from rosbags.rosbag2 import Reader
    with Reader(tmp_path / 'bag') as other:
        assert other.message_count == 701
        assert sum(1 for _ in other.messages()) == 701
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory
    for file in files:    # every file can be read by itself
        with open(file, 'rb') as stream:
            summary = make_reader(stream).get_summary()
            assert summary.statistics.message_count > 0
        with open(file, 'rb') as stream:
            decoded = list(make_reader(
                stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages())
            assert len(decoded) == summary.statistics.message_count
    info = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    info = info['rosbag2_bagfile_information']
    assert info['relative_file_paths'] == [f.name for f in files]
    assert [f['path'] for f in info['files']] == [f.name for f in files]
    assert sum(f['message_count'] for f in info['files']) == info['message_count'] == 701


def test_a_split_bag_whose_recorder_was_killed_is_read_up_to_the_tear(tmp_path):
    bag = BagWriter(tmp_path / 'bag', max_file_bytes=2 * 2**20)
    write(bag, 400, size=20_000)
    bag.close()
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    last = max((tmp_path / 'bag').glob('*.mcap'), key=lambda f: int(f.stem.split('_')[1]))
    os.truncate(last, last.stat().st_size // 2)
    reader, texts = read(tmp_path / 'bag')
    assert not reader.complete and texts == [str(i) for i in range(len(texts))]
    assert len(texts) > 300
