"""What a coordinator and its worker processes write to each other: names of arrays, keys of headers, exit codes."""

WORK, ITEM, RESULT = "work", "item", "result"
"""Arrays of bytes: pickles."""

BEGUN = "begun"
"""In a header: the work is loaded and the item begins."""

ACTIVE = "active"
"""In a header: the algorithm that begins, or "" when it has ended."""

IDLE_EXIT = 75
"""Exit code of a worker that had nothing to do for a while: a request sent to it meanwhile was not begun."""
