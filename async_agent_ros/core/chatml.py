"""The prompt format in both directions: ledger entries to ChatML, model output to events."""
from async_agent_ros.core.chatml_calls import Call, Rejected
from async_agent_ros.core.chatml_format import PromptFormat, Shot
from async_agent_ros.core.chatml_parse import Begun, Output, Parser, Remove, Text
from async_agent_ros.core.chatml_render import render, Renderer, RunningCall
from async_agent_ros.core.chatml_text import escape, tool_line

__all__ = ['Begun', 'Call', 'Output', 'Parser', 'PromptFormat', 'Rejected', 'Remove', 'Renderer',
           'RunningCall', 'Shot', 'Text', 'escape', 'render', 'tool_line']
