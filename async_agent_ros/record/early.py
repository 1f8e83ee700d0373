"""Lanes of the report for what was done before the words were final: drafts, and early reads."""
from typing import Any, Dict, List

from async_agent_ros.record.reader import stamp_ns
from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.watch.view import compact, content_of, NS_PER_S


def _begin_ns(t, words: str, before_ns: int) -> int:
    """Return when the partial transcript that a draft answers had come; the latest that fits."""
    def plain(text):
        return ' '.join(''.join(c for c in text.lower() if c.isalnum() or c.isspace()).split())
    fitting = [stamp for _, stamp, text in t.partials
               if t.start_ns <= stamp <= before_ns and plain(text).startswith(plain(words))]
    return max(fitting, default=before_ns)


def draft_lane(t) -> List[Dict[str, Any]]:
    """
    Return the lane of the drafts, none where nothing was drafted.

    A draft begins with the partial transcript that it answers. A dropped one lasts until it was
    dropped, one that became the answer until the conversation took it over.
    """
    items = []
    for e in t.view.ledger:
        if e.kind != 'end' or e.instance != DRAFT:
            continue
        data, end_ns = content_of(e), stamp_ns(e.stamp)
        assumed = data.get('assumed', '')
        meant = [data.get('text') or ''] + [f'[{c.get("name")}]' for c in data.get('calls') or ()]
        first_ns = t.first_tokens.get(e.generation_id, 0)
        item = {'s': t.seconds(_begin_ns(t, assumed, first_ns or end_ns)), 'e': t.seconds(end_ns),
                'label': assumed, 'style': 'draft', 'seq': int(e.seq),
                'tip': '\n'.join(filter(None, (
                    f'draft {e.generation_id}, on "{assumed}"', ' '.join(filter(None, meant)),
                    f'dropped: {data.get("reason") or "not used"}; '
                    f'{data.get("output_tokens", 0)} tokens')))}
        if first_ns:
            item['mark'] = t.seconds(first_ns)
        items.append(item)
    metrics = {m.generation_id: m for m in t.turns if getattr(m, 'early', False)}
    for generation, start, _ in t.generations:
        first_ns = t.first_tokens.get(generation, 0)
        if generation in metrics and first_ns and first_ns < start:
            items.append({'s': t.seconds(first_ns), 'e': t.seconds(start), 'label': 'used',
                          'style': 'draft-used', 'gen': generation,
                          'tip': f'draft {generation} became the answer'})
    if not items:
        return []
    return [{'id': 'drafts', 'name': 'drafts', 'kind': 'spans',
             'items': sorted(items, key=lambda item: item['s'])}]


def early_lanes(t) -> List[Dict[str, Any]]:
    """Return one lane per tool that was read before the words were final."""
    seqs = {e.call_id: int(e.seq) for e in reversed(t.view.ledger) if e.kind == 'call'}
    lanes: Dict[str, List[Dict[str, Any]]] = {}
    for call in t.view.calls.values():
        if not call.early:
            continue
        end_ns = call.ended_ns or t.end_ns
        outcome = call.error or ('' if call.result is None else compact(call.result, 200))
        item = {'s': t.seconds(call.called_ns), 'e': t.seconds(end_ns),
                'style': 'draft-used' if call.used_by else 'draft', 'call': call.call_id,
                'label': f'{call.name}({compact(call.arguments or {}, 60)})',
                'tip': (f'{call.call_id}, early: the words were not final\n'
                        f'{call.status or "running"}{": " if outcome else ""}{outcome}\n'
                        + (f'its result was used by {call.used_by}' if call.used_by
                           else 'its result was not used')
                        + f'\n{(end_ns - call.called_ns) / NS_PER_S:.2f} s')}
        if call.call_id in seqs:
            item['seq'] = seqs[call.call_id]
        lanes.setdefault(call.name, []).append(item)
    return [{'id': f'early {name}', 'name': f'early {name}', 'kind': 'spans', 'items': items}
            for name, items in lanes.items()]
