"""Profiles of the simulator: accounts, and rules that say what happens to which submit, when. Pure but for reading."""
