"""The judge Evidence: tests on counts that stay valid however often they look."""
