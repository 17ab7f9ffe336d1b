# Types of httptools_adapter.py.
cimport cython
from asgiws.http.parser cimport HeadParser

cdef dict _NAMES


cdef class HttptoolsParser(HeadParser):
    cdef list _headers
    cdef object _parser
    cdef bint _reusable
    cdef bytes _target

    @cython.locals(headers=list)
    cpdef tuple parse(self, bytes head)
