# Types of scope.py.
cimport cython
from asgiws.bridge.outlet cimport Outlet
from asgiws.http.head cimport RequestHead
from asgiws.services.runtime cimport Runtime

cdef dict _TEMPLATE
cdef dict _EXTENSIONS
cdef tuple _NOT_IN_1_0
cdef dict _HTTP
cdef dict _WEBSOCKET

@cython.locals(scope=dict, extensions=dict, drain=dict)
cpdef object http_scope(Runtime runtime, RequestHead head, Outlet outlet)
@cython.locals(scope=dict)
cpdef object websocket_scope(Runtime runtime, RequestHead head, Outlet outlet, list subprotocols)
cdef bint _is_secure(RequestHead head, Outlet outlet) except -1
@cython.locals(scope=dict, raw_path=bytes, path=str, root_path=str)
cdef dict _common(Runtime runtime, RequestHead head, Outlet outlet)
cdef object _add_tls(dict scope, Outlet outlet)
cpdef str decode_path(bytes raw_path)
