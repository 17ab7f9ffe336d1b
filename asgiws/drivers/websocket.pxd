# Types of websocket.py.
cimport cython
from asgiws.bridge cimport slots
from asgiws.bridge.calls cimport Call, begin_row
from asgiws.bridge.outlet cimport Driver, Outlet
from asgiws.bridge.tasks cimport Job
from asgiws.bridge.wakeup cimport Waiter
from asgiws.http.connection cimport HTTPConnection
from asgiws.websocket cimport octets
from asgiws.websocket.connection cimport WebSocketConnection
from asgiws.websocket.turn cimport Turn

cdef Py_ssize_t COMPACT
cdef bytearray _NOTHING
cdef Py_ssize_t _SHARE
cdef Py_ssize_t _TURN_EVENTS
cdef Py_ssize_t _LEAST_EVENTS
cdef Py_ssize_t _MESSAGES
cdef int _SEND_CLOSE
cdef int _START_DEADLINE
cdef int _END_TCP
cdef int _DISCONNECT
cdef int CLOSING
cdef int CONNECTING
cdef int OPEN


cdef class WebSocketSession(Driver):
    cdef object _runtime
    cdef object _loop
    cdef Turn _turn
    cdef object _scope
    cdef object _client
    cdef bytes _raw_path
    cdef bytes _query
    cdef object _handshake
    cdef HTTPConnection _http
    cdef WebSocketConnection _ws
    cdef Outlet _outlet
    cdef list _queue
    cdef Py_ssize_t _head
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef Waiter _waiter
    cdef object _others
    cdef bint _reading_paused
    cdef bytearray _rest
    cdef bint _eof
    cdef bint _hung_up
    cdef object _taking
    cdef bint _owes_turn
    cdef object _ahead
    cdef Py_ssize_t _done_ahead
    cdef object _terminal
    cdef object _task
    cdef double _grace_at
    cdef double _close_at
    cdef double _age_at
    cdef double _idle_at
    cdef int _idle_count
    cdef bint _active
    cdef bint _opened
    cdef bint _app_ended
    cdef bint _closed_by_app
    cdef bint _refused_by_app
    cdef int _denial
    cdef bint _told
    cdef Py_ssize_t _counted
    cdef bint _limit_told
    cdef double _ping_interval
    cdef double _ping_timeout
    cdef double _ping_at
    cdef double _pong_at
    cdef unsigned int _pings
    cdef bint _heard
    cdef bytes _unanswered

    cpdef object receive_data(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cdef bint _is_full(self) except -1
    @cython.locals(ws=WebSocketConnection, queue=list)
    cdef bint _pump(self, Py_ssize_t budget) except -1
    @cython.locals(rest=bytearray)
    cdef object _keep(self, bytearray data, Py_ssize_t start, Py_ssize_t end)
    cdef object _look_ahead(self, Py_ssize_t more)
    cdef object _take_last(self)
    cdef object _drop_rest(self)
    cdef object _finish_rest(self)
    @cython.locals(held=Py_ssize_t)
    cdef object _recount(self)
    cpdef object let_go(self)
    cdef object _drop_messages(self)
    @cython.locals(waiter=Waiter)
    cdef object _deliver(self, bint now)
    cdef object _pause_reading(self)
    cdef object _go_on(self)
    cdef object _act(self, int effect, object code=*, object reason=*)
    cdef object _wait_in_line(self, Waiter waiter)
    cdef Waiter _next_waiter(self)
    cdef object _wake_next_soon(self)
    @cython.locals(queue=list, head=Py_ssize_t)
    cdef object _take(self)
    cdef object _took(self, object event)
    cdef object next_message(self)
    cdef Waiter wait(self)
    cdef object give_up(self, Waiter waiter)
    cdef bint must_wait(self)
    @cython.locals(chunks=list)
    cdef object send_now(self, object message)
    @cython.locals(plain=dict)
    cdef list _frames(self, object message)


cdef class _Serve(Job):
    cdef object _scope
    cdef WebSocketSession _session


cdef class Receive(Call):
    @cython.locals(session=WebSocketSession)
    cdef object advance(self)
    cdef bint takes(self) except -1
    @cython.locals(session=WebSocketSession)
    cdef object abandon(self, Waiter waiter)


cdef class Send(Call):
    @cython.locals(session=WebSocketSession)
    cdef object advance(self)
