"""Errors that a user can cause or fix. The command line prints them as one line; any other exception is a bug and shows its traceback."""


class CacappError(Exception):
    """An error that says in one line what was wrong, where (file, channel, plugin, parameter) and what to do."""


class StorageError(CacappError):
    """The database could not be read or written: a full disk, a lock, a lost server. The request is valid and can be resumed later."""


class UsageError(CacappError):
    """The request itself is wrong: an unknown name, a value out of range, a contradiction. Exit code 2."""
