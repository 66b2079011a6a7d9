"""What keeps the controller going: clock, keyed queue, scheduler, workers and the store of observed objects."""
