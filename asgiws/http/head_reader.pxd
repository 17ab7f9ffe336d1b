# Types of head_reader.py.
cimport cython
from asgiws.http cimport scan
from asgiws.http.buffer cimport ReceiveBuffer

cdef object METHODS
cdef object check_request_line


cdef class HeadReader:
    cdef Py_ssize_t _checked
    cdef Py_ssize_t _empty_lines
    cdef Py_ssize_t _header_bytes
    cdef Py_ssize_t _header_count
    cdef Py_ssize_t _request_line
    cdef Py_ssize_t _line_end
    cdef Py_ssize_t _lines
    cdef Py_ssize_t _searched
    cdef readonly str http_version
    cdef readonly object limits
    cdef readonly str method

    cdef object _reset(self)
    @cython.locals(
        data=bytes, pos=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, method_end=Py_ssize_t,
        target_end=Py_ssize_t, lines=Py_ssize_t, start=Py_ssize_t, method=bytes, version=bytes,
    )
    cpdef bytes read(self, ReceiveBuffer buffer)
    @cython.locals(data=bytes)
    cdef object _skip_empty_lines(self, ReceiveBuffer buffer)
