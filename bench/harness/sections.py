# SPDX-License-Identifier: MIT
"""All parts of the report, in order."""
from . import device, gathering, raft, segments, threads

ALL = threads.SECTIONS + device.SECTIONS + (segments.SECTIONS +
                                            gathering.SECTIONS +
                                            raft.SECTIONS)
