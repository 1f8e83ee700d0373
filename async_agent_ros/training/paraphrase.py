"""
More wordings of the templates, by any OpenAI-compatible model.

What it writes is kept in paraphrases.json beside the data, and taken from there the next time: so
the data stay reproducible. A wording counts only when it holds the same slots, and none of them
stands in another split.
"""
import json
import pathlib
import re
from typing import Callable, Dict, List, Sequence

from async_agent_ros.training.tables import language, slots, SPLITS, TableError

_ASK = ('Reword this request to a robot in {count} different ways, as people would say it aloud. '
        'Begin each with a verb in the imperative, keep every word in braces such as {{room}} '
        'exactly as it is, one per line, no numbers, no quotes.\n\n{text}')


def usable(text: str, template: str, taken: Sequence[str]) -> bool:
    """Tell whether a wording can stand for a template."""
    return (bool(text) and len(text) < 120 and sorted(slots(text)) == sorted(slots(template))
            and text.lower() not in taken and not re.search(r'[{}](?!\w|\s|$|[,.?!}])', text))


def load_or_ask(folder: pathlib.Path, url: str, model: str, count: int, seed: int,
                progress: Callable[[str], None] = lambda text: None) -> Dict[str, List[str]]:
    """Return wordings by template; raises TableError when the server does not answer."""
    path = pathlib.Path(folder) / 'paraphrases.json'
    known: Dict[str, List[str]] = {}
    if path.is_file():
        known = json.loads(path.read_text('utf-8'))
    templates = [a for c in language('train').concepts for a in c.ask]
    missing = [t for t in templates if t not in known]
    if not missing:
        return known
    try:
        import httpx
    except ImportError as error:
        raise TableError(f'paraphrases need the package httpx ({error}); get it with: '
                         "pip install 'async_agent_ros[openai]'") from error
    taken = {a.lower() for s in SPLITS for c in language(s).concepts for a in (*c.ask, *c.say)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=url.rstrip('/'), timeout=120.0) as client:
        for number, template in enumerate(missing):
            progress(f'paraphrases: {number} of {len(missing)}')
            try:
                answer = client.post('/chat/completions', json={
                    'model': model, 'temperature': 0.8, 'seed': seed, 'messages': [
                        {'role': 'user', 'content': _ASK.format(count=count, text=template)}]})
                answer.raise_for_status()
                text = answer.json()['choices'][0]['message']['content']
            except (httpx.HTTPError, KeyError, ValueError) as error:
                raise TableError(f'{url} does not reword: {error}; is it an OpenAI-compatible '
                                 'server, such as http://localhost:8000/v1?') from error
            lines = [re.sub(r'^[\s\d.)*-]+', '', x).strip().rstrip('.') for x in text.splitlines()]
            known[template] = [x[0].lower() + x[1:] for x in lines
                               if usable(x, template, sorted(taken))][:count]
            path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + '\n', 'utf-8')
    return known
