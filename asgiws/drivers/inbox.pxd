# Types of inbox.py.
cimport cython
from asgiws.bridge.wakeup cimport Waiter
from asgiws.common cimport octets

cdef Py_ssize_t _COMPACT


@cython.final
cdef class Inbox:
    cdef list _events
    cdef Py_ssize_t _head
    cdef object _loop
    cdef object _others
    cdef Waiter _waiter
    cdef readonly Py_ssize_t high
    cdef public bint is_closed
    cdef public bint is_over
    cdef readonly Py_ssize_t low
    cdef readonly Py_ssize_t octets

    cpdef object put(self, object message)
    cpdef object put_event(self, dict event)
    cpdef object put_counted(self, dict event, Py_ssize_t size, object told)
    cpdef bint is_empty(self) except -1
    cpdef bint has_messages(self) except -1
    @cython.locals(events=list, head=Py_ssize_t)
    cpdef object take(self)
    cpdef bint received(self, Py_ssize_t size) except -1
    cpdef object widen(self, Py_ssize_t times)
    @cython.locals(events=list)
    cpdef object drop_messages(self)
    cpdef object clear(self)
    cpdef Waiter wait(self)
    cpdef object give_up(self, Waiter waiter)
    @cython.locals(waiter=Waiter)
    cpdef object wake(self, bint now)
    cpdef object wake_if_any(self, bint now)
    cpdef object wake_all(self)
    cdef Waiter _next(self)
