"""
The sixteen tools of TinyAgent (arXiv 2409.00608), rebuilt on a small world of people and files.

Effects are what the tools do to the person's computer: to look up an address or to summarise a file
reads; to open something puts a window in front of the person, and a meeting link makes a meeting.
"""
from typing import Any, Dict, List, Mapping

from async_agent_ros.bench.workloads.store import Store
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect

_TEXT = {'type': 'string'}
_LIST = {'type': 'array', 'items': _TEXT}


def _tool(name: str, description: str, effect: Effect = Effect.STATE_CHANGING, required='',
          **more: Any) -> ToolSpec:
    properties = {**{key: _TEXT for key in required.split()}, **more}
    return ToolSpec(name, description, {
        'type': 'object', 'properties': properties, 'required': required.split(),
        'additionalProperties': False}, effect=effect)


SPECS = (
    _tool('get_phone_number', 'Look up the phone number of a contact', Effect.READ_ONLY, 'name'),
    _tool('get_email_address', 'Look up the email address of a contact', Effect.READ_ONLY, 'name'),
    _tool('create_calendar_event', 'Put an event into the calendar', required='title start',
          location=_TEXT, notes=_TEXT, invitees=_LIST),
    _tool('open_and_get_file_path', 'Open a file and return its path', required='name'),
    _tool('summarize_pdf', 'Summarise a PDF file', Effect.READ_ONLY, 'path'),
    _tool('compose_new_email', 'Write and send an email', required='subject', to=_LIST,
          body=_TEXT, attachments=_LIST),
    _tool('reply_to_email', 'Reply to the email that is open', required='body', attachments=_LIST),
    _tool('forward_email', 'Forward the email that is open', to=_LIST, body=_TEXT),
    _tool('maps_open_location', 'Show a place on the map', required='query'),
    _tool('maps_show_directions', 'Show the way to a place', required='to', start=_TEXT,
          by=_TEXT),
    _tool('create_note', 'Write a new note', required='name content'),
    _tool('open_note', 'Open a note and return its text', required='name'),
    _tool('append_note_content', 'Add text to a note', required='name content'),
    _tool('create_reminder', 'Set a reminder', required='name', due=_TEXT, notes=_TEXT),
    _tool('send_sms', 'Send a text message', required='content', to=_LIST),
    _tool('get_zoom_meeting_link', 'Make a Zoom meeting and return its link',
          required='topic start'),
)


def specs(data: Mapping[str, Any]) -> List[ToolSpec]:
    """Return the tools."""
    return list(SPECS)


def make_world(data: Mapping[str, Any], seed: int) -> Store:
    """Return a computer with contacts, files and notes on which nothing was done yet."""
    people, files = data['people'], data['files']
    summaries = {f['path']: f['summary'] for f in files.values()}

    def doing(tool: str):
        def do(state: Dict[str, Any], **arguments: Any) -> Dict[str, Any]:
            state['done'].append({'tool': tool, **arguments})
            state['done'].sort(key=repr)    # what was done counts, not in which order
            return {'done': tool}
        return do

    def open_file(state, name):
        state['done'].append({'tool': 'open_and_get_file_path', 'name': name})
        state['done'].sort(key=repr)
        return {'path': files[name]['path']}

    def open_note(state, name):
        state['done'].append({'tool': 'open_note', 'name': name})
        state['done'].sort(key=repr)
        return {'content': state['notes'][name]}

    def append_note(state, name, content):
        state['notes'][name] = f'{state["notes"][name]}\n{content}'
        return {'done': name}

    def zoom(state, topic, start):
        state['done'].append({'tool': 'get_zoom_meeting_link', 'topic': topic, 'start': start})
        state['done'].sort(key=repr)
        return {'link': f'https://zoom.example/j/{sum(map(ord, topic + start))}'}

    functions = {spec.name: doing(spec.name) for spec in SPECS}
    functions.update(
        get_phone_number=lambda state, name: {'number': people[name]['phone']},
        get_email_address=lambda state, name: {'email': people[name]['email']},
        summarize_pdf=lambda state, path: {'summary': summaries[path]},
        open_and_get_file_path=open_file, open_note=open_note, append_note_content=append_note,
        get_zoom_meeting_link=zoom)
    return Store(functions, {'done': [], 'notes': dict(data['notes'])}, seed)
