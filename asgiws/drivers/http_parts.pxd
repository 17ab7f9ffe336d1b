# Types of http_parts.py.
from asgiws.drivers.gate cimport Gate
from asgiws.common.turn cimport Turn
from asgiws.services.runtime cimport Runtime


cdef class HTTPParts:
    cdef readonly bint access_log
    cdef readonly bint cancels
    cdef readonly object defaults
    cdef readonly Gate gate
    cdef readonly Py_ssize_t limit_pipelined
    cdef readonly object limits
    cdef readonly object notices
    cdef readonly object parser
    cdef readonly Runtime runtime
    cdef readonly double timeout_head
    cdef readonly double timeout_keep_alive
    cdef readonly double timeout_send
    cdef readonly double timeout_upload
    cdef readonly Turn turn
