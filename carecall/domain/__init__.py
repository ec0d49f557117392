"""The words of the product as plain values and pure functions: no input or output, no clock."""
