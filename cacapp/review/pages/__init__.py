"""The pages, one module each; ``routers()`` gives them to the application."""
