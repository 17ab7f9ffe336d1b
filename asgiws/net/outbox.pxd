# Types of outbox.py.
cimport cython


cdef class Outbox:
    cdef object _call_soon
    cdef object _holders
    cdef bint _is_scheduled
    cdef readonly long long number
    cdef public bint serving

    cpdef object wrote(self)
    cpdef object hold(self, object connection)
    cpdef Py_ssize_t size(self) except -1
    cpdef object send_some(self)
    cpdef object end_turn(self)
