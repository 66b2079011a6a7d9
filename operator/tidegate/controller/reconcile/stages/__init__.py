"""The four stages of a pass in their order: gather, decide, carry out, conclude; each hands a value to the next and is done."""
