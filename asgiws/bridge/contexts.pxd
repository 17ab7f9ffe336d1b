# Types of contexts.py.


cdef class OwnContext:
    cdef object _context

    cpdef object copy(self)
