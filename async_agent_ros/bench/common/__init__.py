"""What benches share: statistics and rows, facts of the machine, a probe in the ROS graph."""
