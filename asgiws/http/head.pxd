# Types of head.py.

cpdef list list_members(list values)


cdef class RequestHead:
    cdef public str method
    cdef public bytes target
    cdef public bytes raw_path
    cdef public bytes query
    cdef public str http_version
    cdef public list headers
    cdef public Py_ssize_t content_length
    cdef public bint chunked
    cdef public bint keep_alive
    cdef public bint expect_continue
    cdef public list upgrade
    cdef public bint has_forwarded
    cdef public object origin

    cpdef bint has_body(self) except -1
