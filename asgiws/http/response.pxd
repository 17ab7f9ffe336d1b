# Types of response.py.
cimport cython
from asgiws.http cimport scan
from asgiws.http.date cimport DateCache

cdef Py_ssize_t _COALESCE
cdef int _CONTENT_LENGTH
cdef int _TRANSFER_ENCODING
cdef int _CONNECTION
cdef int _DATE
cdef int _DEFAULT

@cython.locals(block=bytes)
cpdef bytes encode_fields(list pairs)
cdef list _join(bytes before, bytes data, bytes after)


cdef class ResponseDefaults:
    cdef bytes _block
    cdef DateCache _date
    cdef bytes _dated
    cdef bytes _dated_block
    cdef list _pairs
    cdef readonly dict meanings
    cdef readonly bint with_date

    cpdef bytes block(self, bint date)
    cpdef bytes block_without(self, set names, bint date)


cdef class ResponseWriter:
    cdef bytes _common
    cdef ResponseDefaults _defaults
    cdef list _extra
    cdef bytes _fields
    cdef Py_ssize_t _remaining
    cdef readonly bint bodiless
    cdef readonly bint chunked
    cdef readonly bint close
    cdef readonly bint http10
    cdef readonly int status
    cdef readonly bint trailers

    cpdef object start(self, object status, object headers, str method, bint http10, bint close, bint trailers)
    @cython.locals(meanings=dict, pairs=list, date=bint, block=bytes)
    cdef bytes _take_headers(self, object headers)
    cdef bint _take_framing(self, int meaning, object value) except -1
    @cython.locals(framing=bytes)
    cdef bytes _head(self, Py_ssize_t size)
    cdef bytes _connection_field(self)
    cpdef bint is_close_delimited(self) except -1
    cpdef object check_length(self, Py_ssize_t count, bint more)
    @cython.locals(size=Py_ssize_t, head=bytes, end=bytes)
    cpdef list body(self, bytes data, bint more, bint first)
