# Types of registry.py: a set of Python's own cannot be extended by a compiled class.
