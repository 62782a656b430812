"""Training: recipes, schedules, guards, progress, and the run that ties them together."""
