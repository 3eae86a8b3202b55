"""The pages of the review application, one module each."""
