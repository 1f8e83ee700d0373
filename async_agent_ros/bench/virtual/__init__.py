"""
A conversation with the real kernel on virtual time: person, language model and tools are simulated.

Nothing waits here: an event queue holds what will happen, and the clock jumps to it. So a minute of
conversation takes some milliseconds, and no other program on the machine changes a figure.
"""
