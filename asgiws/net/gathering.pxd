# Types of gathering.py.

cdef Py_ssize_t _MOST


cdef class Gathering:
    cdef public object connection
    cdef public list out
    cdef public Py_ssize_t size

    cpdef object begin(self, object connection)
    cpdef bint add(self, bytes data) except -1
    cpdef bint add_all(self, list chunks) except -1
    cpdef object clear(self)
