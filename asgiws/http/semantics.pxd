# Types of semantics.py.
cimport cython
from asgiws.http.head cimport RequestHead

cdef dict _MEANINGFUL
cdef int _HOST
cdef int _CONTENT_LENGTH
cdef int _TRANSFER_ENCODING
cdef int _CONNECTION
cdef int _UPGRADE
cdef int _EXPECT
cdef int _FORWARDED

cpdef object check_request_line(bytes method, bytes target, bytes version)
@cython.locals(head=RequestHead, hosts=int)
cpdef RequestHead make_head(str method, bytes target, str http_version, list headers)
cdef set _HOSTS
cdef object _check_host(RequestHead head, int hosts, object host)
cdef object _learn_host(bytes value)
cdef object _set_connection(RequestHead head, list connections, list upgrades)
