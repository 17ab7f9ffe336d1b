# Types of parser.py.

cdef class HeadParser:
    cpdef tuple parse(self, bytes head)
