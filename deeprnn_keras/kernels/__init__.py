"""A whole sequence at once."""
