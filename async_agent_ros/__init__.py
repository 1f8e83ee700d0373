"""A real-time voice agent for robots that does not take turns."""
__version__ = '0.2.0'
