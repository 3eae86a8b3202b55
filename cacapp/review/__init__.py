"""The review application: a web server on which people review flagged cells and sign results."""
