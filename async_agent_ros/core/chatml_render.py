"""
Ledger entries to ChatML, incrementally: a new entry only appends, so a KV cache stays valid.

The text is a list of messages. What a generation wrote stands behind what it had read
(`context_seq` of its end), so its prompt and its output are the beginning of the next prompt; what
arrived meanwhile follows. Two things change what was written before: an `interrupt` takes back what
nobody heard, and where all that partial words have led to was taken back, the final words stand
alone, as if nothing had been planned: a small model gets lost in its own detours. The calls that
run now are shown in a block before the unanswered messages, which is not kept.
"""
from dataclasses import replace
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.core.chatml_format import PAUSE_MARK, PromptFormat
from async_agent_ros.core.chatml_head import as_list, Head
from async_agent_ros.core.chatml_message import (
    END, first_unanswered, header, Message, own_text, up_to_own)
from async_agent_ros.core.chatml_planned import Planned
from async_agent_ros.core.chatml_running import clip, running_text, RunningCall
from async_agent_ros.core.chatml_text import dumps, escape
from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Kind, Phase


class Renderer:
    """Renders the entries of one instance. feed() in order, then prompt()."""

    def __init__(self, prompt_format: PromptFormat = PromptFormat(), instance: str = MAIN,
                 prefixes: Mapping[str, int] = {}):
        """`prefixes`: for a fork, its ancestors and the seq up to which it shares their context."""
        self.format = prompt_format
        self.instance = instance
        self._prefixes = dict(prefixes)
        self.running: Dict[str, RunningCall] = {}
        """Calls that have not ended, oldest first."""
        self._calls: Dict[str, Tuple[str, Any]] = {}
        self._planned = Planned()
        self._forgotten: FrozenSet[str] = frozenset()
        """Calls that are not shown any more, nor what comes of them."""
        self._head = Head(prompt_format)
        self._head_open = True
        self._messages: List[Message] = []
        self._generations: Dict[int, Message] = {}
        self._first_ns: Optional[int] = None
        self._last_ns = 0
        self.next_seq = 0
        """Entries below this seq were fed."""

    @property
    def tools(self) -> Dict[str, ToolSpec]:
        """The catalogue as the fed entries announce it."""
        return self._head.tools

    @property
    def shown_tools(self) -> List[ToolSpec]:
        """The tools that the model sees and may call."""
        return self._head.shown

    @property
    def next_call(self) -> int:
        """The number of the model's next call, 0 where it may be an earlier one: an edit."""
        return self._planned.next_call

    @property
    def starts_anew(self) -> bool:
        """Tell whether the final words stand alone: what was planned on them was taken back."""
        return self._planned.starts_anew

    def branch(self) -> 'Renderer':
        """Return a renderer that stands where this one does and goes its own way from here."""
        other = Renderer(self.format, self.instance, self._prefixes)
        copies = {id(m): replace(m, parts=list(m.parts), heard=dict(m.heard))
                  for m in self._messages}
        other.__dict__.update(
            self.__dict__, running={k: replace(v) for k, v in self.running.items()},
            _head=self._head.branch(), _planned=replace(self._planned), _calls=dict(self._calls),
            _messages=[copies[id(m)] for m in self._messages],
            _generations={k: copies[id(m)] for k, m in self._generations.items()})
        return other

    # -- feeding ----------------------------------------------------------------------------------
    def feed(self, entries: Iterable[Entry]) -> None:
        """Take the next entries; those of other instances only move the clock."""
        for entry in entries:
            if self._first_ns is None:
                self._first_ns = entry.stamp_ns
            self._last_ns = max(self._last_ns, entry.stamp_ns)
            self.next_seq = max(self.next_seq, entry.seq + 1)
            if entry.call_id in self._forgotten:
                continue
            catalogue = entry.kind == Kind.SYSTEM and entry.name == 'tools'
            if catalogue or entry.instance == self.instance or (
                    entry.seq < self._prefixes.get(entry.instance, 0)):
                self._feed(entry)

    def _feed(self, entry: Entry) -> None:
        if entry.kind != Kind.SYSTEM:
            if entry.kind == Kind.SPAWN and entry.instance == self.instance:
                self._head.allowed = tuple(as_list(_data(entry).get('tools')))
            self._close_head()
        handler = getattr(self, '_on_' + str(entry.kind), None)
        if handler is not None:
            handler(entry)

    def _on_system(self, entry: Entry) -> None:
        if entry.name == 'tools':
            news = self._head.announce(_data(entry))
            if news and not self._head_open:
                self._add('system', escape(news), entry)
        elif self._head_open:
            self._head.texts.append(self._clip(entry.content))
        else:
            self._add('system', self._clip(entry.content), entry)

    def _on_fork(self, entry: Entry) -> None:
        # What the parent has running is the parent's to tell of.
        self.running.clear()
        self._task(entry, self.format.fork_task)

    def _on_spawn(self, entry: Entry) -> None:
        self._task(entry, self.format.spawn_task)

    def _task(self, entry: Entry, form: str) -> None:
        if entry.instance == self.instance:
            task = str(_data(entry).get('task', ''))
            self._add('user', self._clip(form.format(task=task)), entry)

    def _on_user(self, entry: Entry) -> None:
        # Words that go on, and the words to which those belonged: marks that nobody can forge.
        mark = '<partial>' if entry.name == 'partial' else '<final>' * (entry.about_seq >= 0)
        if entry.name == 'partial':
            self._planned.goes_on(entry.seq)
        elif mark:
            self._planned.is_whole(entry.about_seq)
            if self.starts_anew:
                mark = ''
                self._forget(entry.about_seq)
        text = self._message('user', mark + escape(self._clip(entry.content)), entry.stamp_ns)
        self._append(text, entry, partial=entry.name == 'partial')

    def _forget(self, first_seq: int) -> None:
        """Leave out the words that went on from a seq on, and what was planned on them."""
        self._forgotten |= self._planned.removed
        self._messages = [m for m in self._messages if m.seq < first_seq or not (
            m.partial or m.reacts or m.call_id in self._forgotten)]
        for call_id in self._planned.removed:
            self.running.pop(call_id, None)

    def _on_assistant(self, entry: Entry) -> None:
        self._extend(entry, True, self._clip(entry.content).strip())

    def _on_call(self, entry: Entry) -> None:
        arguments = _data(entry).get('arguments', {})
        self._calls[entry.call_id] = (entry.name, arguments)
        self._planned.add(entry.call_id)
        known = self.running.get(entry.call_id)
        if known is not None:  # an edit
            known.name, known.arguments = entry.name, arguments
        else:
            self.running[entry.call_id] = RunningCall(
                entry.call_id, entry.name, arguments, entry.stamp_ns)
        self._extend(entry, False, self.call_line(entry.call_id, entry.name, arguments))

    def _on_commit(self, entry: Entry) -> None:
        self._phase(entry, Phase.COMMITTED)

    def _on_retract(self, entry: Entry) -> None:
        self._phase(entry, Phase.CANCELLING)
        self._planned.remove(entry.call_id)
        if entry.generation_id:    # the model wrote so
            self._extend(entry, False, f'{self.format.remove_marker} {entry.call_id}')

    def _phase(self, entry: Entry, phase: Phase) -> Optional[RunningCall]:
        call = self.running.get(entry.call_id)
        if call is not None and call.phase != Phase.CANCELLING:
            call.phase = str(phase)
        return call

    def _on_result(self, entry: Entry) -> None:
        self.running.pop(entry.call_id, None)
        data = _data(entry)
        value = self._about(entry)
        value['status'] = entry.status
        if data.get('error_msg'):
            value['error'] = self._clip(str(data['error_msg']), self.format.result_chars)
        result = data.get('result')
        if result is not None:
            text = dumps(result)
            whole = len(text) <= self.format.result_chars
            value['result'] = result if whole else self._clip(text, self.format.result_chars)
        note = self.format.result_notes.get(entry.status, '')
        if note:
            value['note'] = note.replace('{tool}', value.get('tool', 'tool'))
        self._add('notification', dumps(value), entry)

    def _on_notification(self, entry: Entry) -> None:
        data = _data(entry)
        text = str(data.get('text', ''))
        if entry.name == 'accepted':
            self._phase(entry, Phase.RUNNING)
        elif entry.name == 'confirm':
            self._phase(entry, Phase.CONFIRMING)
        elif entry.name == 'waiting':
            self._phase(entry, Phase.WAITING)
        call = self.running.get(entry.call_id)
        if call is not None and entry.name in ('accepted', 'progress', 'waiting'):
            call.text = text
            progress = data.get('progress')
            call.progress = progress if isinstance(progress, (int, float)) else None
        if entry.name in self.format.hidden_notifications:
            return
        value = self._about(entry)
        if entry.name in ('accepted', 'progress'):
            value['status'] = 'running'
        if text:
            value['text' if entry.name in ('accepted', 'progress') else entry.name or 'note'] = (
                self._clip(text, self.format.result_chars))
        if value:
            self._add('notification', dumps(value), entry)

    def _on_interrupt(self, entry: Entry) -> None:
        data = _data(entry)
        for message in self._messages:
            if any(seq == entry.about_seq and speech for seq, speech, _ in message.parts):
                message.heard[entry.about_seq] = self._clip(str(data.get('heard', ''))).strip()
                self._render_assistant(message)
                return
        message = self._generations.get(entry.generation_id)
        if entry.generation_id and message is not None:
            message.cut = True
            self._render_assistant(message)

    def _on_end(self, entry: Entry) -> None:
        data = _data(entry)
        if not data.get('partial'):
            self._planned.answered()
        elif entry.generation_id not in self._generations:
            self._extend(entry, False, PAUSE_MARK)
        message = self._generations.get(entry.generation_id)
        if not entry.generation_id or message is None:
            return
        message.reacts = bool(data.get('partial'))
        read = data.get('context_seq')
        if isinstance(read, int) and read > 0:
            self._move(message, read)

    def _move(self, message: Message, context_seq: int) -> None:
        """Put what a generation wrote behind what it had read."""
        place = next(i for i, m in enumerate(self._messages) if m is message)
        first = next((i for i, m in enumerate(self._messages[:place]) if m.seq >= context_seq),
                     place)
        self._messages.insert(first, self._messages.pop(place))

    # -- messages ---------------------------------------------------------------------------------
    def _add(self, role: str, content: str, entry: Entry) -> None:
        self._append(self._message(role, escape(content), entry.stamp_ns), entry,
                     call_id=entry.call_id)

    def _append(self, text: str, entry: Entry, **fields: Any) -> None:
        known = self._known()
        self._messages.append(Message(
            text, entry.seq, ran=frozenset(known),
            block=self._running_block(known, entry.stamp_ns), **fields))

    def _extend(self, entry: Entry, speech: bool, text: str) -> None:
        message = self._generations.get(entry.generation_id)
        if message is None or not entry.generation_id:
            # text without a generation is a line of the agent's own: a message for itself
            message = Message(seq=entry.seq, generation_id=entry.generation_id)
            self._messages.append(message)
            self._generations[entry.generation_id] = message
        message.parts.append((entry.seq, speech, text))
        self._render_assistant(message)

    def _render_assistant(self, message: Message) -> None:
        text = own_text(message, self.format.interrupt_mark)
        message.text = self._message('assistant', text, 0)

    def _message(self, role: str, content: str, stamp_ns: int) -> str:
        return f'{self._header(role, stamp_ns)}{content}{END}\n'

    def _header(self, role: str, stamp_ns: int) -> str:
        return header(role, stamp_ns - (self._first_ns or 0), self.format)

    def call_line(self, call_id: str, name: str, arguments: Any) -> str:
        """Return a call as the model writes it."""
        call = {'id': call_id} if self.format.show_ids and call_id else {}
        call.update(name=name, arguments=arguments)
        return f'{self.format.call_marker} {escape(dumps(call))}'

    def _about(self, entry: Entry) -> Dict[str, Any]:
        """Return the fields that name the call of an entry; empty when it is about none."""
        if not entry.call_id:
            return {}
        name, arguments = self._calls.get(entry.call_id, (entry.name, None))
        value: Dict[str, Any] = {'call': entry.call_id} if self.format.show_ids else {}
        value['tool'] = name
        if (arguments and self.format.repeat_arguments
                and len(dumps(arguments)) <= self.format.result_chars):
            value['arguments'] = arguments
        return value

    def _clip(self, text: str, limit: Optional[int] = None) -> str:
        return clip(self.format, text, limit)

    def _close_head(self) -> None:
        if self._head_open:
            self._messages.insert(0, Message(self._head_text()))
            self._head_open = False

    def _head_text(self) -> str:
        # examples stand before the session: their clock is its zero
        return ''.join(self._message(role, content, self._first_ns or 0)
                       for role, content in self._head.messages(
                           lambda name, arguments: self.call_line('', name, arguments)))

    # -- reading ----------------------------------------------------------------------------------
    @property
    def text(self) -> str:
        """All messages, without the block of running calls and the assistant header."""
        head = self._head_text() if self._head_open else ''
        return head + ''.join(m.text for m in self._messages)

    @property
    def begun(self) -> bool:
        """Tell whether anything but system messages was fed: the head does not change any more."""
        return not self._head_open

    @property
    def settled(self) -> str:
        """What the next prompt begins with, unless something is said or cut off before it."""
        parts, more = self._parts()
        return ''.join(parts) + ('' if self.running and not self.format.running_last else more)

    def prompt(self, now_ns: Optional[int] = None) -> str:
        """
        Return the prompt of a generation: messages, running calls, the assistant's header.

        The running calls stand before what has not been answered yet: a model answers what it
        read last, and with the block there it told the progress instead of answering. The block
        tells what was known when the first unanswered message came, and stays where it is until
        the model has said something to it: a result that the model asked for is read on top of
        what was read already. Calls that began since have a block of their own, behind them. A
        reaction to words that go on tells nothing, and has no block: its context only grows.
        `now_ns` (ROS time) dates the calls that began since; None: the newest entry's stamp.
        """
        now_ns = self._last_ns if now_ns is None else now_ns
        parts, more = self._parts()
        running, first = self._known(), first_unanswered(self._messages)
        if more and self._messages[-1].partial:
            running = {}
        elif not self.format.running_last and first < len(self._messages):
            shown = self._messages[first].ran
            running = {k: v for k, v in running.items() if k not in shown}
        block = self._running_block(running, now_ns)
        behind = (more, block) if self.format.running_last else (block, more)
        return ''.join((*parts, *behind, self._header('assistant', now_ns)))

    def _parts(self) -> Tuple[List[str], str]:
        """Return the text up to the model's last own message, and the messages behind that."""
        own, first = up_to_own(self._messages), first_unanswered(self._messages)
        told = self._messages[:first]
        block = '' if self.format.running_last or first == len(self._messages) or (
            self._messages[-1].partial) else self._messages[first].block
        return ([self._head_text() if self._head_open else '', *(m.text for m in told), block,
                 *(m.text for m in self._messages[first:own])],
                ''.join(m.text for m in self._messages[own:]))

    def _known(self) -> Dict[str, RunningCall]:
        """Return what runs, but for what the model has just planned on words that went on."""
        return {k: call for k, call in self.running.items()
                if k not in self._planned.calls or call.phase != Phase.PENDING}

    def _running_block(self, running: Mapping[str, RunningCall], now_ns: int) -> str:
        text = running_text(running, self.format, self.tools, now_ns)
        return self._message('notification', escape(text), now_ns) if text else ''


def render(entries: Sequence[Entry], prompt_format: PromptFormat = PromptFormat(),
           instance: str = MAIN, now_ns: Optional[int] = None) -> str:
    """Return the prompt for entries, from scratch."""
    renderer = Renderer(prompt_format, instance)
    renderer.feed(entries)
    return renderer.prompt(now_ns)


def _data(entry: Entry) -> Mapping[str, Any]:
    """Return the JSON object of an entry; one without is treated as empty, never as an error."""
    try:
        value = entry.data
    except ValueError:
        return {'text': entry.content} if entry.content else {}
    return value if isinstance(value, dict) else {}
