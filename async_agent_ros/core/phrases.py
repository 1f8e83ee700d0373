"""What a short utterance is: a backchannel, a stop, a yes or a no. Words only, no model."""
import re
from typing import Iterable, List

from async_agent_ros.core.settings import Settings

_WORD = re.compile(r"[\w]+(?:['’-][\w]+)*")


def words(text: str) -> List[str]:
    """Return the words of a text in lower case, without punctuation."""
    return [w.replace('’', "'") for w in _WORD.findall(text.lower())]


def _phrases(listed: Iterable[str]) -> List[List[str]]:
    return sorted((words(p) for p in listed), key=len, reverse=True)


def _without(given: List[str], listed: Iterable[str]) -> List[str]:
    """Drop every occurrence of the listed phrases, longest first."""
    phrases = [p for p in _phrases(listed) if p]
    rest, i = [], 0
    while i < len(given):
        for phrase in phrases:
            if given[i:i + len(phrase)] == phrase:
                i += len(phrase)
                break
        else:
            rest.append(given[i])
            i += 1
    return rest


def _starts(given: List[str], listed: Iterable[str]) -> bool:
    return any(p and given[:len(p)] == p for p in _phrases(listed))


def is_backchannel(text: str, settings: Settings) -> bool:
    """Tell whether nothing is said but backchannels; also true of an empty text."""
    return not _without(words(text), settings.backchannels)


def is_stop(text: str, settings: Settings) -> bool:
    """Tell whether the utterance begins with a stop word."""
    return _starts(words(text), settings.stop_words)


def is_motion_stop(text: str, settings: Settings) -> bool:
    """Tell whether the utterance is nothing but an order to stand still."""
    given = words(text)
    return (bool(_without(given, settings.motion_stop_company))
            and not _without(given, settings.motion_stop_words + settings.motion_stop_company))


def stops_speech(partial: str, settings: Settings) -> bool:
    """Tell whether a partial transcript holds enough to stop the voice before it is final."""
    if is_stop(partial, settings):
        return True
    return len(_without(words(partial), settings.backchannels)) >= settings.interrupt_min_words


def answer_to_question(text: str, settings: Settings) -> str:
    """Return 'yes', 'no' or '' (neither); an utterance that holds both is a no."""
    given = words(text)
    if len(_without(given, settings.no_words)) < len(given):
        return 'no'
    return 'yes' if _starts(given, settings.yes_words) else ''
