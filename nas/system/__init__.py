"""What has nothing to do with networks: files, locks, signals, processes, and where long work tells how it stands."""
