"""Mistakes put into a copy of the product on purpose: each has to make the tests fail that it names."""
