# Types of http.py.
cimport cython
from asgiws.bridge.calls cimport begin_row
from asgiws.bridge.exchange cimport Exchange
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.bridge.wakeup cimport Waiter
from asgiws.http.connection cimport HTTPConnection
from asgiws.http.head cimport RequestHead
from asgiws.websocket cimport octets
from asgiws.websocket.turn cimport Turn

cdef Py_ssize_t _HIGH_WATER
cdef Py_ssize_t _SHARE
cdef int _NEW
cdef int _IDLE
cdef int _HEAD
cdef int _UPLOAD
cdef int _BUSY
cdef int _ALONE
cdef int _START
cdef int _BODY
cdef int _FILE
cdef int _TRAILERS
cdef int _DONE
cdef int _LOST
cdef int _SURPLUS


cdef class _Shared:
    cdef bint access_log
    cdef bint cancels
    cdef object defaults
    cdef object forwarding
    cdef object health
    cdef object hosts
    cdef bint limit_concurrency
    cdef Py_ssize_t limit_pipelined
    cdef object limits
    cdef readonly object parser
    cdef double timeout_head
    cdef double timeout_keep_alive
    cdef double timeout_send
    cdef double timeout_upload
    cdef Turn turn


cdef class HTTPDriver(Driver):
    cdef double _asked
    cdef int _budget
    cdef object _client
    cdef Py_ssize_t _counted
    cdef HTTPCycle _cycle
    cdef double _deadline
    cdef bint _eof
    cdef RequestHead _head
    cdef bint _last
    cdef int _phase
    cdef bint _pumping
    cdef bint _reading_paused
    cdef _Shared _shared
    cdef HTTPCycle _surplus
    cdef object _taken
    cdef object _taking
    cdef bint _uncalled
    cdef object _upgrade
    cdef readonly HTTPConnection http
    cdef readonly Outlet outlet
    cdef readonly object runtime

    cdef object _watch_client(self)
    @cython.locals(cycle=HTTPCycle, is_there=bint)
    cdef object _look_for_client(self, double now)
    @cython.locals(cycle=HTTPCycle)
    cdef object _end_surplus(self, bint now)
    @cython.locals(cycle=HTTPCycle)
    cdef object _pump(self, bint now)
    @cython.locals(held=Py_ssize_t)
    cdef object _recount(self)
    cpdef object let_go(self)
    @cython.locals(cycle=HTTPCycle)
    cdef bint _take_event(self, bint now) except -1
    cdef bint _begin(self, RequestHead head) except -1
    cdef object _call(self, HTTPCycle cycle)
    cdef object _wait_for_data(self)
    cdef object _stop_clock(self)
    cdef object _set_deadline(self, double when)
    cdef object _pause_if_flooded(self)
    cdef object _pause_reading(self)
    cdef object _resume_reading(self)
    @cython.locals(cycle=HTTPCycle)
    cdef object _refuse(self, object error, bint now)
    cpdef object write(self, list pieces)
    cpdef object response_done(self)
    cpdef object head_done(self, HTTPCycle cycle)
    cpdef object lost_done(self, HTTPCycle cycle)
    cpdef object surplus_done(self, HTTPCycle cycle)
    cdef object _log_access(self)
    cdef object body_counts_no_more(self)
    cpdef object body_taken(self)
    cpdef object body_asked_for(self)
    cdef object _cut(self)
    cdef object _close(self)


cdef class HTTPCycle(Exchange):
    cdef bint _disconnected
    cdef HTTPDriver _driver
    cdef bint _ended
    cdef bint _final_taken
    cdef RequestHead _head
    cdef object _hearer
    cdef bint _just_lost
    cdef Outlet _outlet
    cdef list _pieces
    cdef int _stage
    cdef object _task
    cdef bint _told
    cdef object _trailers
    cdef bint _trailers_due
    cdef object _trailers_out
    cdef list _waiters
    cdef readonly Py_ssize_t queued

    cpdef object feed(self, bytes data)
    cpdef object end(self, object trailers)
    cdef object drop_body(self)
    cpdef object tell(self, bint now)
    cpdef object runs_as(self, object task)
    cpdef object alone(self, bint eof)
    cpdef object found(self)
    cdef object _reap(self)
    cdef bint _is_late(self) except -1
    cdef bint _forget(self) except -1
    cpdef object disconnect(self, bint now)
    @cython.locals(waiter=Waiter, waiters=list)
    cdef object _wake(self, bint now)
    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    @cython.locals(pieces=list, message=dict)
    cdef object _take_body(self)
    cdef object _start(self, object message)
    @cython.locals(more=bint, driver=HTTPDriver)
    cdef object _send_body(self, object message)
    @cython.locals(expects_trailers=bint)
    cdef object _body_done(self, bint more)
    cdef object _throw_away(self, object kind, object message)
    cdef object _done(self)
    cdef object send_now(self, object message)


@cython.locals(plain=dict)
cdef object _get(object message, str key, object default)
