"""Quality of service that fits publishers and subscriptions, and comments of interfaces."""
import textwrap

import pytest

from async_agent_ros.tools.bridge.definitions import parse_idl, parse_text
from async_agent_ros.tools.bridge.quality import (BEST_EFFORT, key, profile, RELIABLE,
                                                  to_publish, to_subscribe, TRANSIENT_LOCAL,
                                                  VOLATILE)

SENSOR, EVENT = profile(BEST_EFFORT, VOLATILE, 5), profile(RELIABLE, VOLATILE, 10)
MAP, ODD = profile(RELIABLE, TRANSIENT_LOCAL), profile(BEST_EFFORT, TRANSIENT_LOCAL)


@pytest.mark.parametrize('offered, expected', [
    ([], [(BEST_EFFORT, VOLATILE)]),
    ([SENSOR], [(BEST_EFFORT, VOLATILE)]),
    ([EVENT, EVENT], [(RELIABLE, VOLATILE)]),
    ([EVENT, SENSOR], [(BEST_EFFORT, VOLATILE)]),
    ([MAP], [(RELIABLE, TRANSIENT_LOCAL)]),
    ([MAP, ODD], [(BEST_EFFORT, TRANSIENT_LOCAL)]),
    ([MAP, EVENT], [(RELIABLE, VOLATILE), (RELIABLE, TRANSIENT_LOCAL)]),
    ([MAP, SENSOR], [(BEST_EFFORT, VOLATILE), (RELIABLE, TRANSIENT_LOCAL)]),
])
def test_every_publisher_is_heard(offered, expected):
    profiles = to_subscribe(offered, {})
    assert [(q.reliability, q.durability) for q in profiles] == expected
    for each in offered:
        assert any(
            (each.reliability == RELIABLE or q.reliability == BEST_EFFORT)
            and (each.durability == TRANSIENT_LOCAL or q.durability == VOLATILE)
            for q in profiles), 'compatible by the rules of DDS'


def test_the_file_has_the_last_word():
    one, = to_subscribe([EVENT], {'reliability': 'best_effort', 'durability': 'transient_local',
                                  'depth': 7})
    assert key(one) == key(profile(BEST_EFFORT, TRANSIENT_LOCAL, 7))
    assert key(to_publish([], {})) == key(profile(RELIABLE, VOLATILE, 10))
    assert key(to_publish([EVENT, MAP], {})) == key(profile(RELIABLE, TRANSIENT_LOCAL, 10))
    assert key(to_publish([MAP], {'durability': 'volatile'})) == key(EVENT)


def test_comments_on_the_line_above_and_below():
    text = textwrap.dedent("""\
        # What the file is about.
        # In two lines.

        ################
        # speed limits #
        ################
        uint8 MODE_IDLE=0    # of a constant
        float32 speed  # [m/s]
                       # never above 2
        # The name of the room.
        string<=10 room "#1"  # as on the map
        string bare
        ---
        # Result definition
        bool success
        """)
    sections = parse_text(text, 'srv')
    request = sections['Request']
    assert request.message == 'What the file is about. In two lines.'
    assert request.fields == {'speed': '[m/s] never above 2',
                              'room': 'The name of the room. as on the map', 'bare': ''}
    assert sections['Response'].fields == {'success': ''}


def test_long_comments_are_cut_at_a_word():
    about = parse_text('# ' + 'word ' * 100 + '\nint32 x\n')[''].fields['x']
    assert len(about) < 250 and about.endswith('word …')


def test_comments_and_units_of_idl():
    text = textwrap.dedent("""\
        module robot_msgs { module action {
            struct Move_Goal {
              @verbatim (language="comment", text=
                "How \\"far\\"" "\\n" "to go")
              @unit (value="m")
              double distance;
              sequence<int32, 3> steps;
              @unit(value="s")
              float limit[2];
            };
        }; };
        """)
    assert parse_idl(text)['Goal'].fields == {
        'distance': 'How "far" to go [m]', 'steps': '', 'limit': '[s]'}
