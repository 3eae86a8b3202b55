"""Reader of the makers' formats with bioio, which has an environment of its own."""
