"""The judge Evidence: tests on counts that stay valid however often they look.

A usual test, made at every look, is wrong at one of them sooner or later.
"""
