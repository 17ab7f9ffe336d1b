# Types of upgrade.py.
cimport cython
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.drivers.http_carrier cimport HTTPCarrier
from asgiws.drivers.scope cimport websocket_scope
from asgiws.http.head cimport RequestHead
from asgiws.services.runtime cimport Runtime
from asgiws.websocket.handshake cimport Handshake, check


@cython.locals(runtime=Runtime, handshake=Handshake)
cpdef object upgrade(RequestHead head, Outlet outlet, HTTPCarrier carrier)
cdef object _refusal(RequestHead head, Outlet outlet, Runtime runtime)
