"""The judge: readings in, verdicts out. Pure: no input or output, no clock."""
