"""Opens and summarizes the data of a run."""
