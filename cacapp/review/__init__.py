"""The review application: every flagged cell before a person's eyes, in the browser."""
