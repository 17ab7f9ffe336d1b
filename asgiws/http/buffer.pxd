# Types of buffer.py.

cdef class ReceiveBuffer:
    cdef public bytes data
    cdef public Py_ssize_t pos

    cpdef object feed(self, bytes data)
    cpdef bint is_empty(self) except -1
    cpdef bytes take(self, Py_ssize_t count)
