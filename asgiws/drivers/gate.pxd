# Types of gate.py.
from asgiws.bridge.outlet cimport Outlet
from asgiws.http.head cimport RequestHead
from asgiws.services.runtime cimport Runtime


cdef class Gate:
    cdef object _forwarding
    cdef object _health
    cdef object _hosts
    cdef bint _limits_concurrency
    cdef Runtime _runtime

    cpdef object judge(self, RequestHead head, Outlet outlet)
