"""Watching the pipeline: the sweep, what is left to do, dead letters of the recorder."""
