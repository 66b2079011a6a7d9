"""What one process of the operator is: its configuration, its tasks, who leads, and what it answers to probes and scrapes."""
