"""The prompt format in both directions: ledger entries to ChatML, model output to events."""
from async_agent_ros.core.chatml_format import PromptFormat, Shot
from async_agent_ros.core.chatml_parse import Call, Output, Parser, Rejected, Remove, Text
from async_agent_ros.core.chatml_render import escape, render, Renderer, RunningCall, tool_line

__all__ = ['Call', 'Output', 'Parser', 'PromptFormat', 'Rejected', 'Remove', 'Renderer',
           'RunningCall', 'Shot', 'Text', 'escape', 'render', 'tool_line']
