"""The clock of a ROS node as the tools see it."""
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration


class NodeClock:
    """Seconds of a node's ROS clock, simulated when use_sim_time."""

    def __init__(self, node):
        self._clock = node.get_clock()
        self._jumps = None

    @property
    def simulated(self) -> bool:
        """Whether /clock drives the time."""
        return self._clock.ros_time_is_active

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self._clock.now().nanoseconds * 1e-9

    def on_jump(self, callback) -> None:
        """Call back, without arguments, whenever simulated time moves."""
        self._jumps = self._clock.create_jump_callback(
            JumpThreshold(min_forward=Duration(nanoseconds=1),
                          min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=lambda jump: callback())

    def close(self) -> None:
        """Stop calling back."""
        if self._jumps is not None:
            self._jumps.unregister()
            self._jumps = None
