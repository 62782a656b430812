"""Tutorials as scripts, and their conversion to notebooks."""
