"""The agent's logic, pure: no ROS, no I/O, no thread, no clock, no randomness."""
