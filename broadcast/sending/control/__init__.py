"""What a sender must know of alerts now: their control records and stops, read from `control.v1`."""

from broadcast.sending.control.control_reader import ControlReader
from broadcast.sending.control.view import ControlView

__all__ = ["ControlReader", "ControlView"]
