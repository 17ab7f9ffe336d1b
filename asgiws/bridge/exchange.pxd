# Types of exchange.py.
cimport cython
from asgiws.bridge cimport slots
from asgiws.bridge.calls cimport Call
from asgiws.bridge.tasks cimport Job
from asgiws.bridge.wakeup cimport Waiter


cdef class Exchange(Job):
    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    cdef object begin_send(self, object message)


cdef class Receive(Call):
    @cython.locals(exchange=Exchange)
    cdef object advance(self)
    cdef bint takes(self) except -1
    @cython.locals(exchange=Exchange)
    cdef object abandon(self, Waiter waiter)


cdef class Send(Call):
    @cython.locals(exchange=Exchange)
    cdef object advance(self)
