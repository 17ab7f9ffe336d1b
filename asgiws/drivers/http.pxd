# Types of http.py.
cimport cython
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.outlet cimport Outlet
from asgiws.drivers.exchange cimport HTTPExchange
from asgiws.drivers.http_carrier cimport HTTPCarrier, Pipeline, carry
from asgiws.drivers.http_parts cimport HTTPParts
from asgiws.http.connection cimport HTTPConnection
from asgiws.http.head cimport RequestHead
from asgiws.common cimport octets

cdef Py_ssize_t _HIGH_WATER
cdef Py_ssize_t _UNCOUNTED
cdef int _NEW
cdef int _IDLE
cdef int _HEAD
cdef int _UPLOAD
cdef int _BUSY
cdef int _ALONE
cdef object CLOSED
cdef object EndOfRequest
cdef object NEED_DATA
cdef object PAUSED


cdef class HTTPDriver(Pipeline):
    cdef double _asked
    cdef int _budget
    cdef HTTPCarrier _carrier
    cdef object _client
    cdef Py_ssize_t _counted
    cdef double _deadline
    cdef HTTPExchange _exchange
    cdef bint _last
    cdef int _phase
    cdef bint _pumping
    cdef HTTPExchange _surplus
    cdef object _taking
    cdef bint _uncalled
    cdef object _upgrade

    cdef object _watch_client(self)
    @cython.locals(exchange=HTTPExchange, outlet=Outlet, is_there=bint)
    cdef object _look_for_client(self, double now)
    cdef bint _takes_what_was_sent(self) except -1
    @cython.locals(exchange=HTTPExchange)
    cdef object _end_surplus(self, bint now)
    @cython.locals(exchange=HTTPExchange)
    cdef object _pump(self, bint now)
    @cython.locals(held=Py_ssize_t)
    cdef object _recount(self)
    cpdef object let_go(self)
    @cython.locals(exchange=HTTPExchange)
    cdef bint _take_event(self, bint now) except -1
    @cython.locals(carrier=HTTPCarrier)
    cdef bint _begin(self, RequestHead head) except -1
    cdef object _call(self, HTTPExchange exchange)
    cdef object _wait_for_data(self)
    cdef object _stop_clock(self)
    cdef object _set_deadline(self, double when)
    cdef object _pause_if_flooded(self)
    cdef object _pause_reading(self)
    cdef object _resume_reading(self)
    @cython.locals(exchange=HTTPExchange)
    cdef object _refuse(self, object error, bint now)
    cdef object _close(self, bint linger=*)
    @cython.locals(carrier=HTTPCarrier)
    cdef object _log_incomplete(self)
    cdef object _who(self)
