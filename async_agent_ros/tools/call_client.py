"""An action client for many goals at once."""
import time

from rclpy.action import ActionClient

CROWD = 50
"""Goals in a status message beyond which not every message is unpacked."""

PERIOD_S = 0.25


class CallClient(ActionClient):
    """
    An action client that in a crowd of goals looks at their status only now and then.

    A status message holds every goal that the server keeps, and comes at every change of any of
    them; rclpy unpacks it goal by goal. With a thousand calls that are a million goals, and the
    responses wait behind them. In a crowd `handle.status` is late by up to PERIOD_S.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._crowded = False
        self._unpacked_s = 0.0

    def take_data(self):
        """Take what is ready; in a crowd the status waits for its period."""
        if self._is_status_ready and self._crowded:
            self._is_status_ready = time.monotonic() - self._unpacked_s > PERIOD_S
        data = super().take_data()
        status = data.get('status')
        if status is not None:
            self._crowded = len(status.status_list) > CROWD
            self._unpacked_s = time.monotonic()
        return data

    async def execute(self, taken_data):
        """Hand over what was taken; the result last, as it ends what feedback tells about."""
        result = taken_data.pop('result', None)
        await super().execute(taken_data)
        if result is not None:
            await super().execute({'result': result})
