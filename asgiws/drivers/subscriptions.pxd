# Types of subscriptions.py.
cimport cython
from asgiws.bridge.wakeup cimport Waiter
from asgiws.drivers.inbox cimport Inbox
from asgiws.drivers.session cimport Session
from asgiws.topics.message cimport Message
from asgiws.topics.sink cimport Sink
from asgiws.websocket.fanout cimport FanOut
from asgiws.websocket.keepalive cimport KeepAlive

cdef Py_ssize_t _EVENT
cdef int _TELL
cdef int _CLOSE
cdef int OPEN


@cython.final
cdef class Encoded:
    cdef public FanOut plain
    cdef public FanOut placed


@cython.final
cdef class Subscriptions:
    cdef dict _many
    cdef SessionSink _one
    cdef list _out
    cdef object _service
    cdef Session _session
    cdef object _waiters
    # The small ones side by side: see sink.pxd.
    cdef bint _owns
    cdef readonly int echoes

    cpdef object take(self, object kind, object message)
    cpdef object writable(self)
    cpdef object end(self)
    @cython.locals(out=list)
    cpdef object add(self, list frames)
    @cython.locals(out=list, session=Session, keepalive=KeepAlive)
    cpdef object flush(self)
    @cython.locals(session=Session, limit=Py_ssize_t, waiting=Py_ssize_t)
    cpdef bint has_room(self) except -1
    cpdef object echoed(self, int count)
    @cython.locals(sink=SessionSink)
    cdef object _publish(self, object message)
    cdef object _unsubscribe(self, object message)
    cpdef object _leave(self, SessionSink sink)
    @cython.locals(inbox=Inbox)
    cpdef object tell(self, dict event)
    @cython.locals(session=Session, gap=dict)
    cpdef object tell_lost(self, SessionSink sink, object count)
    @cython.locals(one=SessionSink)
    cpdef SessionSink _find(self, object topic)
    cpdef Py_ssize_t _count(self) except -1
    cpdef list _sinks(self)
    cpdef object _keep(self, SessionSink sink)
    cpdef object _forget(self, SessionSink sink)
    cpdef object _wake(self)


cdef class SessionSink(Sink):
    cdef public dict gap
    cdef public int echoes
    cdef public int on_gap

    @cython.locals(part=Subscriptions)
    cpdef object lost(self, object count)
    cpdef object gap_told(self)
    cpdef bint expect_echo(self) except -1
    cpdef object drop_echoes(self)
    cpdef object writable(self)
    cpdef object drop(self)


cdef class WireSink(SessionSink):
    @cython.locals(part=Subscriptions, session=Session, encoded=Encoded, fanout=FanOut)
    cpdef object deliver(self, Message message)
    @cython.locals(part=Subscriptions)
    cpdef object flush(self)
    cpdef bint expect_echo(self) except -1
    @cython.locals(part=Subscriptions)
    cpdef object drop_echoes(self)


cdef class FullSink(WireSink):
    cdef object _epoch
    cdef int _held
    cdef bint _is_latest
    cdef dict _kept
    cdef bint _offsets

    cpdef object rejoined(self, object joined)
    @cython.locals(part=Subscriptions, session=Session, is_echo=bint)
    cpdef object deliver(self, Message message)
    @cython.locals(part=Subscriptions, encoded=Encoded, fanout=FanOut)
    cdef object _write(self, Message message)
    @cython.locals(part=Subscriptions)
    cdef object _keep_latest(self, Message message)
    @cython.locals(part=Subscriptions)
    cpdef object writable(self)
    cpdef object drop_echoes(self)
    cpdef object drop(self)


cdef class AppSink(SessionSink):
    cdef object _epoch
    cdef bint _offsets

    cpdef object rejoined(self, object joined)
    @cython.locals(part=Subscriptions, session=Session, inbox=Inbox, event=dict)
    cpdef object deliver(self, Message message)
    @cython.locals(part=Subscriptions)
    cpdef object flush(self)
