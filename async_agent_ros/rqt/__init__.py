"""The agent in a window: an rqt plugin, and the same as a window of its own."""
