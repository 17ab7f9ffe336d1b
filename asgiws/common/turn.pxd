# Types of turn.py.

cdef Py_ssize_t _UNITS


cdef class Turn:
    cdef object _begins
    cdef readonly Py_ssize_t left

    cpdef int take(self, Py_ssize_t units) except -1
    cpdef object renew(self)
