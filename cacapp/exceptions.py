"""Errors a user can cause or mend. The command line prints them as one line; anything else is a bug and shows its traceback."""


class CacappError(Exception):
    """What was wrong, where (file, channel, plugin, parameter) and what to do, in one line."""


class StorageError(CacappError):
    """The database could not be read or written: a full disk, a lock, a lost server. The work itself is sound and can go on later."""


class UsageError(CacappError):
    """The request itself is wrong: an unknown name, a value out of range, a contradiction. Exit code 2."""
