# Types of http_carrier.py.
cimport cython
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.drivers.carrier cimport Carrier
from asgiws.drivers.scope cimport http_scope
from asgiws.drivers.http_parts cimport HTTPParts
from asgiws.http.connection cimport HTTPConnection
from asgiws.http.head cimport RequestHead
from asgiws.services.runtime cimport Runtime


cdef class Pipeline(Driver):
    cdef readonly HTTPConnection http
    cdef readonly Outlet outlet
    cdef readonly Runtime runtime
    cdef readonly HTTPParts parts

    cpdef object client(self)
    cpdef object body_asked_for(self)
    cpdef object body_taken(self, bint more)
    cpdef object answered(self)
    cpdef object answered_early(self)
    cpdef object left(self, Exchange exchange)
    cpdef object cut(self)


cdef class HTTPCarrier(Carrier):
    cdef RequestHead _head
    cdef readonly Pipeline pipeline

    cdef object _write(self, bytes data)
    cpdef object log(self)


@cython.locals(carrier=HTTPCarrier)
cpdef HTTPCarrier carry(Pipeline pipeline, RequestHead head)
