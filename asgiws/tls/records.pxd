# Types of records.py.
cimport cython

cdef Py_ssize_t _PIECE


cdef class Records:
    cdef object _error
    cdef object _in
    cdef object _inner
    cdef bint _is_dry
    cdef object _out
    cdef object _ssl
    cdef public bint ended

    cpdef object feed(self, object data)
    cpdef bint holds_some(self) except -1
    cpdef bint shake(self) except -1
    @cython.locals(size=Py_ssize_t, at=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t take(self, object data, object room) except -1
    @cython.locals(size=Py_ssize_t, count=Py_ssize_t, piece=Py_ssize_t)
    cpdef Py_ssize_t read(self, object room) except -1
    cpdef object write(self, object data)
    cpdef object close(self)
    cpdef Py_ssize_t made(self) except -1
    cpdef bytes to_send(self)
