"""Child processes: both ends of their pipes, the messages on them, time limits, and why a process ended."""
