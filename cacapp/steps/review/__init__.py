"""Steps of the review: accounts, decisions, second reading, signature, carry-over of reviews to a new count."""
