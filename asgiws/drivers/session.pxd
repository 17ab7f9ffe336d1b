# Types of session.py.
from asgiws.bridge.calls cimport begin_row
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.bridge.wakeup cimport Waiter
from asgiws.drivers.inbox cimport Inbox
from asgiws.drivers.reading cimport Reading
from asgiws.services.runtime cimport Runtime
from asgiws.websocket.connection cimport WebSocketConnection


cdef class Session(Driver):
    cdef Runtime _runtime
    cdef Outlet _outlet
    cdef WebSocketConnection _ws
    cdef Inbox _inbox
    cdef Reading _reading

    cpdef object ended(self, object error)
    cdef object next_message(self)
    cdef object begin_send(self, object message)
    cpdef object recount(self)
    cpdef object end_slow(self, object what, object limit)
    cpdef object close(self, object code, object reason)


cdef class Serve(Exchange):
    cdef Inbox _inbox
    cdef object _scope
    cdef Session _session

    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    cdef object begin_send(self, object message)
